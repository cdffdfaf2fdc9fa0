# SPDX-License-Identifier: Apache-2.0
"""Decodes the sets of template-based protocols: learns templates, gathers data sets by layout over the whole batch.

Within a batch everything keeps its order where order matters: data sets before a redefinition are read by the old layout.
Data before the first definition of their template are read by it, in the same batch or (see ``pending``) later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from flowgauge.wire.assemble import Block
from flowgauge.wire.data_decoder import DataDecoder
from flowgauge.wire.decoded import OptionsData
from flowgauge.wire.elements import Elements
from flowgauge.wire.history import History, data_sets
from flowgauge.wire.intake import Batch, Intake
from flowgauge.wire.ipfix import Messages, Sets
from flowgauge.wire.judging import judge
from flowgauge.wire.layout import Layouts
from flowgauge.wire.origins import Origins
from flowgauge.wire.pending import PendingSet
from flowgauge.wire.problems import Problems
from flowgauge.wire.streams import Stream, Streams
from flowgauge.wire.views import ByteView


class TemplateDecoder:
    """The decoder of one template-based protocol.

    Args:
        pen: enterprise number of our own elements.
        version: the protocol's, part of what tells streams apart.
        flow_format: its code in ``enums.FLOW_FORMAT``.
    """

    def __init__(self, pen: int, version: int, flow_format: int) -> None:
        self._elements = Elements(pen)
        self._streams = Streams(Layouts(pen))
        self._version, self._flow_format = version, flow_format

    def decode(self, intake: Intake, messages: Messages, sets: Sets) -> tuple[list[Block], list[OptionsData]]:
        """The records of a batch, and what the exporters say of themselves."""
        if not len(messages):
            return [], []
        senders = intake.origins.source_addr[messages.datagram]
        batch = Batch(intake, messages, *self._streams.of(self._version, senders, messages.domain))
        history = History()
        history.learn(batch, sets)
        data = DataDecoder(batch, self._elements, self._flow_format)
        data.decode(data_sets(batch, sets), history)
        judge(batch, data.records)
        for stream in self._streams.trim():
            _close(stream, intake.counts)
        waiting = [
            (number, kept) for number, ids in history.learned().items() for kept in batch.streams[number].pending.take(ids)
        ]
        if not waiting:
            return data.blocks, data.options
        late = self._recovered(batch, waiting)
        return late.blocks + data.blocks, late.options + data.options

    def finish(self) -> dict[str, int]:
        """Gaps and waiting sets that nothing will fill or explain any more, as increments of counters."""
        counts = Counter[str]()
        for stream in self._streams:
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
        )
        problems = Problems(origins, batch.intake.problems.limit)
        messages = Messages(
            datagram=row,
            start=end - size,
            end=end,
            export_s=np.array([kept.export_s for _, kept in waiting], np.int64),
            sequence=np.zeros(len(row), np.uint32),
            domain=np.array([streams[number].domain for number, _ in waiting], np.uint32),
        )
        set_id = np.array([kept.template_id for _, kept in waiting], np.int64)
        intake = Intake(ByteView(content), max(len(content), 1), origins, problems, batch.intake.counts, batch.intake.scratch)
        index = np.array([number for number, _ in waiting], np.intp)
        data = DataDecoder(Batch(intake, messages, streams, index), self._elements, self._flow_format)
        data.decode(Sets(row, set_id, end - size, end, row), History())
        batch.intake.counts["decode_late_records"] += int(np.maximum(data.records, 0).sum())
        batch.intake.problems.include(problems)
        return data


def _close(stream: Stream, counts: Counter[str]) -> None:
    counts["sequence_gap_records"] += stream.sequence.finish()
    counts["decode_pending_dropped_sets"] += stream.pending.clear()
