# SPDX-License-Identifier: Apache-2.0
"""Records that hold a piece of the packet instead of fields: frames (315, 104) and IP packets (313), one packet a record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.elements import VARIABLE
from flowgauge.wire.packet_headers import layer3_bytes, parse
from flowgauge.wire.packet_headers_bytes import Windows, with_slack
from flowgauge.wire.packet_headers_found import COLUMNS_OF_HEADS
from flowgauge.wire.packet_headers_link import ETHERNET_FRAME, IPV4, IPV6, NOTHING
from flowgauge.wire.readers import Columns, Source, Sources, integers
from flowgauge.wire.records import Records
from flowgauge.wire.views import Octets, Offsets

_IP_SECTION = 313
_FRAME_SECTIONS = (315, 104)
_FRAME_SIZE, _IP_LENGTH = 312, 224

COLUMNS = (*COLUMNS_OF_HEADS, "bytes", "packets")


@dataclass(frozen=True, slots=True)
class PacketSection:
    """Fills ``columns`` from the packet's head.

    Attributes:
        section: the piece of the packet.
        is_frame: whether it begins with the Ethernet header, else with that of IP.
        length: of the whole frame, or of the IP packet, where the record says it; the piece is shorter.
        columns: those that no field of the record fills.
    """

    section: Source
    is_frame: bool
    length: Source | None
    columns: tuple[str, ...]

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        buffer, start, end = _places(records, self.section)
        windows = Windows(with_slack(buffer, int(end.max(initial=0))))
        heads = parse(windows, start, end, self._kinds(buffer, start, end))
        for column in self.columns:
            if column in COLUMNS_OF_HEADS:
                out[column][...] = getattr(heads, COLUMNS_OF_HEADS[column])
        if "packets" in self.columns:
            out["packets"][...] = 1
        if "bytes" in self.columns:
            whole = integers(records, self.length).astype(np.int64) if self.length else end - start
            plain = layer3_bytes(heads, start, whole, np.zeros(len(start), np.int64))
            if self.length is None:  # how long the frame was, only the packet itself says (Junos Evolved)
                plain = np.where(heads.l3_bytes > 0, heads.l3_bytes, plain)
            out["bytes"][...] = plain if self.is_frame or self.length is None else np.maximum(whole, 0)

    def _kinds(self, buffer: Octets, start: Offsets, end: Offsets) -> npt.NDArray[np.int32]:
        if self.is_frame:
            return np.full(len(start), ETHERNET_FRAME, np.int32)
        version = np.where(end > start, buffer[np.minimum(start, len(buffer) - 1)] >> 4, 0)
        return np.select([version == 4, version == 6], [IPV4, IPV6], NOTHING).astype(np.int32)


def packet_section(sources: Sources, filled: frozenset[str]) -> PacketSection | None:
    """The step for a template with these fields; ``filled``: columns that fields fill. None where there is no such piece."""
    if "src_addr" in filled:
        return None
    columns = tuple(name for name in COLUMNS if name not in filled)
    for number in (*_FRAME_SECTIONS, _IP_SECTION):
        found = sources.get((0, number))
        if found:
            is_frame = number != _IP_SECTION
            length = sources.get((0, _FRAME_SIZE if is_frame else _IP_LENGTH))
            return PacketSection(found[0], is_frame, length[0] if length else None, columns)
    return None


def _places(records: Records, source: Source) -> tuple[Octets, Offsets, Offsets]:
    """A buffer, and where in it each record's piece begins and ends."""
    if source.length == VARIABLE:
        spans = records.spans[source.index]
        return spans.view.octets, spans.start, spans.start + spans.length
    raw = np.ascontiguousarray(records.fixed[source.name])
    start = np.arange(len(raw), dtype=np.int64) * source.length
    return raw.view(np.uint8).reshape(-1), start, start + source.length
