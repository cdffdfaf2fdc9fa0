# SPDX-License-Identifier: Apache-2.0
"""Decodes the sets of template-based protocols: learns templates, gathers data sets by layout over the whole batch.

Within a batch everything keeps its order where order matters: data sets before a redefinition are read by the old layout.
Data before the first definition of their template are read by it, in the same batch or (see ``pending``) later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from flowgauge.wire.assemble import Block
from flowgauge.wire.data_decoder import DataDecoder
from flowgauge.wire.decoded import OptionsData, StreamReport
from flowgauge.wire.dialect import Dialect
from flowgauge.wire.elements import Elements
from flowgauge.wire.framing import Messages, Sets
from flowgauge.wire.grouping import Index
from flowgauge.wire.history import History, data_sets
from flowgauge.wire.intake import Batch, Intake
from flowgauge.wire.judging import judge
from flowgauge.wire.layout import Layouts
from flowgauge.wire.options import SetsRead
from flowgauge.wire.origins import Origins
from flowgauge.wire.pending import PendingSet
from flowgauge.wire.problems import Problems
from flowgauge.wire.stream_report import templated
from flowgauge.wire.streams import Stream, Streams
from flowgauge.wire.uptimes import compare
from flowgauge.wire.views import ByteView, Offsets


class TemplateDecoder:
    """The decoder of one template-based protocol.

    Args:
        dialect: which one.
        elements: the information elements that are known.
        layouts: shared with the decoders of other protocols.

    Attributes:
        streams: what it remembers of exporters.
    """

    def __init__(self, dialect: Dialect, elements: Elements, layouts: Layouts) -> None:
        self._dialect, self._elements = dialect, elements
        self._read = SetsRead(elements)
        self.streams = Streams(dialect, layouts)

    def decode(self, intake: Intake, datagram: Index, start: Offsets, end: Offsets) -> tuple[list[Block], list[OptionsData]]:
        """The records of datagrams that begin with the protocol's version, and what the exporters say of themselves."""
        messages = self._dialect.messages(intake.view, datagram, start, end, intake.problems)
        if not len(messages):
            return [], []
        sets = self._dialect.sets(intake.view, messages, intake.problems)
        senders = intake.origins.source_addr[messages.datagram]
        ports, now_ns = intake.origins.source_port[messages.datagram], int(intake.origins.received_ns.max())
        batch = Batch(intake, messages, *self.streams.of(senders, messages.domain, ports, now_ns), self.streams)
        if self._dialect.header_has_uptime:
            compare(batch)
        history = History()
        history.learn(batch, sets)
        self._read.begin()
        data = DataDecoder(batch, self._elements, self._dialect, self._read)
        data.decode(data_sets(sets), history)
        has_flows = None if self._dialect.numbers_messages else data.has_flows
        judge(batch, data.records, has_flows, by_message=self._dialect.numbers_messages)
        for stream in self.streams.trim():
            _close(stream, intake.counts)
        waiting = [
            (number, kept) for number, ids in history.learned().items() for kept in batch.streams[number].pending.take(ids)
        ]
        if not waiting:
            return data.blocks, data.options
        late = self._recovered(batch, waiting)
        return late.blocks + data.blocks, late.options + data.options

    def expire(self, before_ns: int) -> int:
        """Forgets templates announced last before a time; how many."""
        return sum(stream.templates.expire(before_ns) for stream in self.streams)

    def reports(self) -> Iterator[StreamReport]:
        """How each stream stands."""
        return (templated(stream, self._dialect.flow_format) for stream in self.streams)

    def finish(self) -> dict[str, int]:
        """Gaps and waiting sets that nothing will fill or explain any more, as increments of counters."""
        counts = Counter[str]()
        for stream in self.streams:
            _close(stream, counts)
        return {name: count for name, count in counts.items() if count}

    def _recovered(self, batch: Batch, waiting: Sequence[tuple[int, PendingSet]]) -> DataDecoder:
        """Decodes the waiting sets (with their streams) of templates that have just come, as a batch of their own."""
        streams = batch.streams
        content = np.frombuffer(b"".join(kept.content for _, kept in waiting), np.uint8)
        size = np.array([len(kept.content) for _, kept in waiting], np.int64)
        end, row = np.cumsum(size), np.arange(len(waiting))
        senders = b"".join(streams[number].exporter_addr for number, _ in waiting)
        origins = Origins(
            source_addr=np.frombuffer(senders, np.uint8).reshape(-1, 16),
            received_ns=np.array([kept.received_ns for _, kept in waiting], np.int64),
            number=np.array([kept.number for _, kept in waiting], np.int64),
            base=end - size - np.array([kept.offset for _, kept in waiting], np.int64),
            source_port=np.zeros(len(row), np.uint16),
        )
        problems = Problems(origins, batch.intake.problems.limit)
        messages = Messages(
            datagram=row,
            start=end - size,
            end=end,
            export_s=np.array([kept.export_s for _, kept in waiting], np.int64),
            sequence=np.zeros(len(row), np.uint32),
            domain=np.array([streams[number].domain for number, _ in waiting], np.uint32),
            boot_ms=np.array([kept.boot_ms for _, kept in waiting], np.int64),
            missing=np.zeros(len(row), np.int64),
        )
        cut = np.array([kept.cut for _, kept in waiting], np.bool_)
        set_id = np.array([kept.template_id for _, kept in waiting], np.int64)
        intake = Intake(ByteView(content), max(len(content), 1), origins, problems, batch.intake.counts, batch.intake.scratch)
        index = np.array([number for number, _ in waiting], np.intp)
        data = DataDecoder(Batch(intake, messages, streams, index, batch.every), self._elements, self._dialect, self._read)
        data.decode(Sets(row, set_id, end - size, end, row, cut), History())
        batch.intake.counts["decode_late_records"] += int(np.maximum(data.records, 0).sum())
        batch.intake.problems.include(problems)
        return data


def _close(stream: Stream, counts: Counter[str]) -> None:
    stream.sequence.finish(counts)
    counts["decode_pending_dropped_sets"] += stream.pending.clear()
