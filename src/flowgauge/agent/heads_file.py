# SPDX-License-Identifier: Apache-2.0
"""Packet heads as blocks of a pcapng file, with the names of both ends as a comment.

Before: :mod:`flowgauge.agent.heads_columns`; after: :mod:`flowgauge.wire.captures.pcapng_write`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from flowgauge import __version__
from flowgauge.agent.capture_packets import ETHERNET_HEADER
from flowgauge.agent.capture_ring import OUTGOING, VLAN_VALID, Frames
from flowgauge.agent.heads_columns import times_ns
from flowgauge.agent.heads_cut import HEAD_BYTES
from flowgauge.wire.captures import pcapng_write

_TAG_AT, _TAG_BYTES = 12, 4
_DOT1Q = 0x8100


class HeadsFile:
    """One file: which interfaces it has so far.

    Args:
        node: whose devices they are.
        devices: ifIndex → name.
    """

    def __init__(self, node: str, devices: Mapping[int, str]) -> None:
        self._node, self._devices = node, devices
        self._numbers: dict[tuple[int, int], int] = {}
        self._lost = 0

    def begin(self) -> bytes:
        """What a file begins with."""
        return pcapng_write.section(f"flowgauge {__version__}")

    def blocks(self, frames: Frames, comments: Sequence[str]) -> Iterator[bytes]:
        """A block for each head, and before the first of a device one for the device."""
        names = ("at", "captured", "length", "ifindex", "hardware", "packet_type", "status", "vlan_tci", "vlan_tpid")
        rows = zip(*(frames[name].tolist() for name in names), times_ns(frames).tolist(), comments, strict=True)
        whole, size = frames.tobytes(), frames.dtype.itemsize
        for row, (at, captured, length, ifindex, hardware, kind, status, tci, tpid, time_ns, comment) in enumerate(rows):
            link = pcapng_write.ETHERNET if hardware in ETHERNET_HEADER else pcapng_write.RAW_IP
            if (number := self._numbers.get((ifindex, link))) is None:
                number = self._numbers[ifindex, link] = len(self._numbers)
                name = self._devices.get(ifindex, f"device {ifindex}")
                yield pcapng_write.interface(name, f"node {self._node}", link, HEAD_BYTES + _TAG_BYTES)
            data = whole[row * size + at : row * size + at + captured]
            added = 0
            if status & VLAN_VALID and link == pcapng_write.ETHERNET:
                tag = struct.pack("!HH", tpid or _DOT1Q, tci)
                data, added = data[:_TAG_AT] + tag + data[_TAG_AT:], _TAG_BYTES
            direction = pcapng_write.OUTBOUND if kind == OUTGOING else pcapng_write.INBOUND
            yield pcapng_write.packet(number, time_ns, data, length + added, direction=direction, comment=comment)

    def mark(self, time_ns: int, lost: int) -> bytes:
        """Says that every head until ``time_ns`` has been told, but ``lost`` of them since the last mark."""
        self._lost += lost
        return pcapng_write.mark(time_ns, self._lost)

    def end(self, time_ns: int) -> bytes:
        """Says of the first device how many heads were lost, of whichever."""
        return pcapng_write.statistics(0, time_ns, self._lost) if self._numbers else b""
