# SPDX-License-Identifier: Apache-2.0
"""Decodes NetFlow versions 1, 5 and 7: a header, then records of one fixed layout. Read like data of a template never sent.

* Version 5: sampling in the header (two bits of mode, 14 of interval), engine type and number as observation domain.
* Version 1: no sequence numbers, no domain, no routing data. Records are 52 bytes, softflowd's are 48.
* Version 7 (Catalyst switches): as 5, with flags that say that fields are invalid: those are zero, and absent then. It knows no
  sampling.

The number of records is the header's, or what fits if that is less; either way both are named when they differ. Sequence
numbers count flows, for each engine apart. AS 0 is absent; 23456 (AS_TRANS, RFC 6793 §9) stands for a number of more than 16
bits and is left as the exporter said it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flowgauge.schema.enums import FLOW_FORMAT, SAMPLING_ALGORITHM, code
from flowgauge.wire.assemble import Block
from flowgauge.wire.cutting import cut_fixed
from flowgauge.wire.decoded import StreamReport
from flowgauge.wire.dialect import IPFIX
from flowgauge.wire.elements import Elements
from flowgauge.wire.framing import Messages
from flowgauge.wire.grouping import Index
from flowgauge.wire.intake import Batch, Intake
from flowgauge.wire.judging import judge
from flowgauge.wire.layout import Field, Layout, Layouts
from flowgauge.wire.mapping import Reader
from flowgauge.wire.netflow_legacy_steps import PerDatagram, UptimeTimes, steps_of
from flowgauge.wire.packet_headers_bytes import Windows
from flowgauge.wire.readers import Source, Step
from flowgauge.wire.records import DataSets
from flowgauge.wire.stream_report import heard, numbered
from flowgauge.wire.streams import Streams
from flowgauge.wire.uptimes import compare
from flowgauge.wire.views import Offsets

_PACKET = code(SAMPLING_ALGORITHM, "packet")
_INTERVAL_MASK = 0x3FFF

_COMMON = ((8, 4), (12, 4), (15, 4), (10, 2), (14, 2), (2, 4), (1, 4), (22, 4), (21, 4), (7, 2), (11, 2))
"""Element and length of the fields that all three begin with: addresses, next hop, interfaces, counts, times, ports."""
_PADDING = 210
_NOT_NUMBERED = -1
_NS_PER_MS, _NS_PER_S = 1_000_000, 1_000_000_000
_V1 = (*_COMMON, (_PADDING, 2), (4, 1), (5, 1), (6, 1), (_PADDING, 1))
_V5 = (*_COMMON, (_PADDING, 1), (6, 1), (4, 1), (5, 1), (16, 2), (17, 2), (9, 1), (13, 1))


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """How the records lie in the bytes, and how they are read.

    Attributes:
        steps: fill ``columns``, all but the times.
        times: the fields of start and end.
    """

    layout: Layout
    steps: tuple[Step, ...]
    columns: tuple[str, ...]
    times: tuple[Source, Source]


@dataclass(frozen=True, slots=True)
class Version:
    """One version.

    Attributes:
        header_bytes: before the records.
        layouts: of the records, the usual one first.
        has_sequence, has_engine: whether its header numbers the flows, and tells engine and sampling.
    """

    number: int
    flow_format: int
    header_bytes: int
    layouts: tuple[RecordLayout, ...]
    has_sequence: bool
    has_engine: bool


def _layout(fields: tuple[tuple[int, int], ...], tail: int, *, zero_is_absent: bool = False) -> RecordLayout:
    every = tuple(Field(0, number, length) for number, length in (*fields, (_PADDING, tail)))
    sources = {field.number: Source(index, field.length) for index, field in enumerate(every)}
    steps, columns = steps_of(sources, zero_is_absent=zero_is_absent)
    return RecordLayout(Layout(every, 0, Elements(0), is_options=False), steps, columns, (sources[22], sources[21]))


VERSIONS: Mapping[int, Version] = {
    1: Version(1, code(FLOW_FORMAT, "netflow1"), 16, (_layout(_V1, 10), _layout(_V1, 6)), has_sequence=False, has_engine=False),
    5: Version(5, code(FLOW_FORMAT, "netflow5"), 24, (_layout(_V5, 2),), has_sequence=True, has_engine=True),
    7: Version(
        7, code(FLOW_FORMAT, "netflow7"), 24, (_layout(_V5, 6, zero_is_absent=True),), has_sequence=True, has_engine=False
    ),
}
"""By version number."""


@dataclass(frozen=True, slots=True)
class _Headers:
    """One row a datagram: which one, where its content is, its header's fields, and how many records are to be read."""

    datagram: Offsets
    start: Offsets
    end: Offsets
    uptime: Offsets
    export_s: Offsets
    export_ns: Offsets
    sequence: npt.NDArray[np.uint32]
    domain: npt.NDArray[np.uint32]
    sampling: Offsets
    size: Offsets
    count: Offsets


class LegacyDecoder:
    """The decoder of one of these versions."""

    def __init__(self, version: int) -> None:
        self._version = VERSIONS[version]
        like_ipfix = replace(IPFIX, version=version, flow_format=self._version.flow_format)
        self._streams = Streams(like_ipfix, Layouts(Elements(0)))

    def decode(self, intake: Intake, datagram: Index, start: Offsets, end: Offsets) -> list[Block]:
        """The records of datagrams that begin with the version."""
        found = _headers(intake, self._version, datagram, start, end)
        if not len(found.datagram):
            return []
        unit_ns = np.where(self._judge(intake, found), _NS_PER_S, _NS_PER_MS)
        blocks = []
        for kind in self._version.layouts:
            rows = np.flatnonzero((found.size == kind.layout.min_bytes) & (found.count > 0))
            if len(rows):
                blocks.append(_block(intake, self._version, kind, _taken(found, rows), unit_ns[rows]))
        return blocks

    def reports(self) -> Iterator[StreamReport]:
        """How each stream stands."""
        told = numbered if self._version.has_sequence else heard
        return (told(stream, self._version.flow_format) for stream in self._streams)

    def finish(self) -> dict[str, int]:
        """Gaps in the numbers that nothing fills any more, as increments of counters."""
        counts = Counter[str]()
        for stream in self._streams:
            stream.sequence.finish(counts)
        return {name: count for name, count in counts.items() if count}

    def _judge(self, intake: Intake, found: _Headers) -> npt.NDArray[np.bool_]:
        """Judges the datagrams' numbers and clocks; of which the uptime counts seconds."""
        senders = intake.origins.source_addr[found.datagram]
        boot_ms = found.export_s * 1000 - found.uptime
        messages = Messages(
            datagram=found.datagram,
            start=found.start,
            end=found.end,
            export_s=found.export_s,
            sequence=found.sequence,
            domain=found.domain,
            boot_ms=boot_ms,
            missing=intake.problems.missing[found.datagram],
        )
        batch = Batch(intake, messages, *self._streams.of(senders, found.domain), self._streams)
        compare(batch)
        judge(batch, found.count if self._version.has_sequence else np.full(len(found.datagram), _NOT_NUMBERED))
        for stream in self._streams.trim():
            stream.sequence.finish(intake.counts)
        in_seconds: npt.NDArray[np.bool_] = np.array([stream.uptime.in_seconds for stream in batch.streams])[batch.index]
        return in_seconds


def _headers(intake: Intake, version: Version, datagram: Index, start: Offsets, end: Offsets) -> _Headers:
    """Reads the headers; datagrams without a whole one are named and left out."""
    problems = intake.problems
    whole = end - start >= version.header_bytes
    if not whole.all():
        short = ~whole & (problems.missing[datagram] == 0)
        problems.add_all(datagram[short], start[short], "datagram_header", str(version.header_bytes), (end - start)[short])
        datagram, start, end = datagram[whole], start[whole], end[whole]
    words = Windows(intake.view.octets).words(start, version.header_bytes // 4).astype(np.int64)
    claimed = words[0] & 0xFFFF
    content = end - start - version.header_bytes
    sent = content + problems.missing[datagram]
    size = _record_bytes(version, sent, claimed)
    fitting = sent // size
    differs = (claimed > fitting) | (sent - claimed * size >= size)
    if differs.any():
        problems.add_all(datagram[differs], start[differs] + 2, "record_count", fitting[differs], claimed[differs])
    nothing = np.zeros(len(start), np.int64)
    engine = words[5] if version.has_engine else nothing
    return _Headers(
        datagram=datagram,
        start=start + version.header_bytes,
        end=end,
        uptime=words[1],
        export_s=words[2],
        export_ns=words[2] * 1_000_000_000 + words[3],
        sequence=(words[4] if version.has_sequence else nothing).astype(np.uint32),
        domain=(engine >> 16).astype(np.uint32),
        sampling=engine & _INTERVAL_MASK,
        size=size,
        count=np.minimum(claimed, content // size),
    )


def _record_bytes(version: Version, content: Offsets, claimed: Offsets) -> Offsets:
    """The length of records: the usual one, unless the content has room for as many as are claimed only of the other."""
    usual, *others = (kind.layout.min_bytes for kind in version.layouts)
    size = np.full(len(content), usual, np.int64)
    for other in others:
        exact = (content == claimed * other) & (claimed > 0)
        size[exact | (content < claimed * usual) & (content >= claimed * other)] = other
    return size


def _taken(found: _Headers, rows: Index) -> _Headers:
    if len(rows) == len(found.datagram):
        return found
    return _Headers(*(getattr(found, name)[rows] for name in _Headers.__slots__))


def _block(intake: Intake, version: Version, kind: RecordLayout, found: _Headers, unit_ns: Offsets) -> Block:
    nothing = np.zeros(len(found.datagram), np.int64)
    sets = DataSets(found.start, found.end, found.datagram, found.export_s, nothing)
    records = cut_fixed(intake, kind.layout, sets, found.count)
    each = _records_of_each(found.count, records.set_row)
    steps: list[Step] = [*kind.steps, UptimeTimes(*kind.times, found.uptime, found.export_ns, unit_ns, each)]
    columns = (*kind.columns, "time_start_ns", "time_end_ns")
    if version.has_engine:
        algorithm = np.where(found.sampling > 0, _PACKET, 0)
        steps += [PerDatagram("sampling_rate", found.sampling, each), PerDatagram("sampling_algorithm", algorithm, each)]
        columns = (*columns, "sampling_rate", "sampling_algorithm")
    return Block(
        records=records,
        reader=Reader(tuple(steps), columns, (), ours=False, counts=True),
        origins=intake.origins,
        flow_format=version.flow_format,
        template_id=nothing,
        domain=found.domain,
    )


def _records_of_each(count: Offsets, row: Index) -> int:
    """How many records each datagram has, where all have as many and come in order; else 0."""
    each = int(count[0])
    in_order = (count == each).all() and (row[::each] == np.arange(len(count))).all()
    return each if in_order else 0
