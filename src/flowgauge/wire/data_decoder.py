# SPDX-License-Identifier: Apache-2.0
"""The data sets of one batch: grouped by layout, cut into records, options read, sets without a template kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from flowgauge.wire.assemble import WRONG_CLOCK_NS, Block, other_sockets
from flowgauge.wire.connections import Part, settle
from flowgauge.wire.cutting import cut_fixed, cut_variable, fixed_counts
from flowgauge.wire.decoded import OptionsData
from flowgauge.wire.dialect import Dialect
from flowgauge.wire.elements import Elements
from flowgauge.wire.framing import NOT_TOLD, Sets
from flowgauge.wire.grouping import group
from flowgauge.wire.history import UNKNOWN, History
from flowgauge.wire.intake import Batch
from flowgauge.wire.layout import Layout
from flowgauge.wire.options import OptionsReader, SetsRead, Told
from flowgauge.wire.pending import PendingSet
from flowgauge.wire.readers import Step, integers
from flowgauge.wire.records import DataSets, Index, Records
from flowgauge.wire.sampled import sampled
from flowgauge.wire.sampling import rate_of
from flowgauge.wire.streams import Stream
from flowgauge.wire.times import BOOT_ELEMENT, MAX_BOOT_MS
from flowgauge.wire.views import Mask, Octets, Offsets

MAX_ROWS = 1 << 21
"""Flow records of one batch: 30 times what a thousand full datagrams hold; a template of one byte must not fill memory."""
MAX_LAYOUTS = 1024
"""Different layouts read in one batch: compiling one costs as much as a thousand records, and attackers have many ideas."""
SAID = frozenset({
    "exportedOctetTotalCount", "exportedMessageTotalCount", "exportedFlowRecordTotalCount", "observedFlowTotalCount",
    "ignoredPacketTotalCount", "ignoredOctetTotalCount", "notSentFlowTotalCount", "notSentPacketTotalCount",
    "notSentOctetTotalCount",
})  # fmt: skip
"""What an exporter says of its own work and losses (RFC 5102 §5.3, elements 40–42 and 163–168)."""
MAX_KEPT_SETS = 8192
"""Sets of one batch kept for a template to come; more are given up at once, since each costs time."""


class DataDecoder:
    """Decodes the data sets of ``batch``.

    Attributes:
        records: for each message the number of its data records, -1 where a template is missing; set by ``decode``.
        has_flows: whether each message holds data other than options; set by ``decode``.
        blocks, options: what the sets hold.
    """

    def __init__(self, batch: Batch, elements: Elements, dialect: Dialect, read: SetsRead) -> None:
        self._batch, self._dialect = batch, dialect
        self._options_reader = OptionsReader(elements, read)
        self._rows_left = MAX_ROWS
        self.records: Offsets = np.zeros(len(batch.messages), np.int64)
        self.has_flows: Mask = np.zeros(len(batch.messages), np.bool_)
        self.blocks: list[Block] = []
        self.options: list[OptionsData] = []
        self._connections: list[tuple[int, Part]] = []
        self._said_last: dict[int, int] = {}
        """By identity of a stream that of the records it said last."""

    def decode(self, sets: Sets, history: History) -> None:
        """Decodes data sets, each by the template in force at its place."""
        if not len(sets):
            return
        layouts, chosen = history.resolve(self._batch, sets)
        if len(layouts) > MAX_LAYOUTS:
            self._give_up(sets, chosen)
        per_set = np.zeros(len(sets), np.int64)
        # Options first: they may tell what flow records need (the exporter's start).
        for number, layout in sorted(enumerate(layouts[:MAX_LAYOUTS]), key=lambda entry: not entry[1].is_options):
            rows = np.flatnonzero(chosen == number)
            group = sets if len(rows) == len(sets) else sets.take(rows)
            per_set[rows] = self._options(group, layout) if layout.is_options else self._flows(group, layout)
            self.has_flows[group.message] |= not layout.is_options
        self._finish_blocks()
        early = history.early(self._batch, sets)
        if early.any():
            self._batch.intake.counts["decode_unknown_template_sets"] += int(np.count_nonzero(early))
            self._batch.intake.counts["decode_late_records"] += int(per_set[early].sum())
        self.records = np.bincount(sets.message, per_set, len(self._batch.messages)).astype(np.int64)
        unread = (chosen == UNKNOWN) | (chosen >= MAX_LAYOUTS)
        if unread.any():
            self.records[sets.message[unread]] = -1
            self._keep(sets.take(chosen == UNKNOWN))

    def _give_up(self, sets: Sets, chosen: Index) -> None:
        beyond = sets.take(chosen >= MAX_LAYOUTS)
        datagrams = self._batch.messages.datagram[beyond.message]
        self._batch.intake.problems.add_all(datagrams, beyond.start, "batch_layouts", f"{MAX_LAYOUTS} layouts", "more")

    def _flows(self, sets: Sets, layout: Layout) -> Offsets:
        """Cuts the records of one layout; how many each set has."""
        batch, messages = self._batch, self._batch.messages
        told_ms = np.array([stream.boot_ms for stream in batch.streams], np.int64)
        boot_ms = messages.boot_ms[sets.message]
        data = DataSets(
            start=sets.start,
            end=sets.end,
            datagram=messages.datagram[sets.message],
            export_s=messages.export_s[sets.message],
            boot_ms=np.where(boot_ms == NOT_TOLD, told_ms[batch.index[sets.message]], boot_ms),
            cut=sets.cut,
        )
        if any(stream.uptime.in_seconds for stream in batch.streams):
            data = self._with_seconds(data, batch.index[sets.message])
        if layout.variable:
            records = cut_variable(batch.intake.view, layout, data, batch.intake.problems, self._rows_left)
            counts = np.bincount(records.set_row, minlength=len(sets)).astype(np.int64)
        else:
            counts = self._within_bound(fixed_counts(batch.intake.view, layout, data, self._dialect), data)
            records = cut_fixed(batch.intake, layout, data, counts)
        reader = layout.reader
        said, socket = self._exporters(records, reader.exporter, batch.index[sets.message])
        block = Block(
            records,
            reader,
            batch.intake.origins,
            self._dialect.flow_format,
            template_id=sets.set_id,
            domain=messages.domain[sets.message],
            fields=layout.fields,
            exporter=said,
            socket=socket,
            lookup=partial(_layout_of, batch.streams, batch.index[sets.message]),
            sampling=sampled(records, reader, batch.streams, batch.index[sets.message], sets.set_id),
        )
        self.blocks.append(block)
        self._rows_left -= len(records)
        if reader.connection is not None:
            streams = [batch.streams[number] for number in batch.index[sets.message].tolist()]
            part = Part(records, reader.connection, [(each.exporter_addr, each.domain, each.port) for each in streams])
            self._connections.append((len(self.blocks) - 1, part))
        return counts

    def _with_seconds(self, data: DataSets, stream: Index) -> DataSets:
        """The sets, those of exporters whose uptimes count seconds with the start that follows from that."""
        in_seconds = np.array([each.uptime.in_seconds for each in self._batch.streams])[stream]
        export_ms = data.export_s * 1000
        boot_ms = np.where(in_seconds, export_ms - (export_ms - data.boot_ms) * 1000, data.boot_ms)
        return replace(data, boot_ms=boot_ms, in_seconds=in_seconds)

    def _finish_blocks(self) -> None:
        """Settles connection events, and adds the other direction of bidirectional records behind each block."""
        settle([part for _, part in self._connections], self._batch.every.connections)
        for number, part in self._connections:
            self.blocks[number] = replace(self.blocks[number], records=part.records)
        self.blocks = [each for block in self.blocks for each in (block, *self._backwards(block))]

    def _backwards(self, block: Block) -> Iterator[Block]:
        if block.reader.reverse is None:
            return
        counted = np.zeros(len(block.records), np.bool_)
        for source in block.reader.reverse_counters:
            counted |= integers(block.records, source) != 0
        rows = np.flatnonzero(counted)[: max(self._rows_left, 0)]
        self._rows_left -= len(rows)
        yield replace(
            block,
            records=block.records.take(rows),
            reader=block.reader.reverse,
            exporter=None if block.exporter is None else block.exporter[rows],
            socket=None if block.socket is None else block.socket[rows],
            sampling=None if block.sampling is None else (block.sampling[0][rows], block.sampling[1][rows]),
            backwards_of=rows,
        )

    def _exporters(self, records: Records, step: Step | None, stream: Index) -> tuple[Octets | None, Octets | None]:
        """``Block.exporter``, which the streams (``stream``: of each set) remember, and ``Block.socket``."""
        if step is None:
            return None, None
        said = np.zeros((len(records), 16), np.uint8)
        step.fill(records, {"exporter_addr": said})
        keys = np.empty((len(said), 3), np.uint64)
        keys[:, :2], keys[:, 2] = said.view(np.uint64), stream[records.set_row]
        for row in group(keys)[0].tolist():
            if said[row].any():
                self._batch.streams[int(keys[row, 2])].know_as(said[row].tobytes())
        senders = self._batch.intake.origins.source_addr[records.sets.datagram]
        return said, other_sockets(senders[records.set_row], said)

    def _within_bound(self, counts: Offsets, data: DataSets) -> Offsets:
        """The counts, zero for sets beyond the bound on rows."""
        beyond = np.cumsum(counts) > self._rows_left
        if not beyond.any():
            return counts
        self._batch.intake.problems.add_all(
            data.datagram[beyond], data.start[beyond], "batch_records", f"{MAX_ROWS} records", "more"
        )
        return np.where(beyond, 0, counts)

    def _options(self, sets: Sets, layout: Layout) -> Offsets:
        """Reads the options data of one layout; how many records each set has."""
        batch = self._batch
        counts = np.zeros(len(sets), np.int64)
        for row, message in enumerate(sets.message.tolist()):
            start, datagram = int(sets.start[row]), int(batch.messages.datagram[message])
            content = bytes(batch.intake.view.memory[start : int(sets.end[row])])
            records, complete = self._options_reader.set_of(content, layout)
            if not complete and not sets.cut[row]:
                batch.intake.problems.add(
                    datagram, start, "options_record", "records within set and bound", f"{len(records)} of them"
                )
            counts[row] = len(records)
            if records:
                self._learn(batch.streams[int(batch.index[message])], records)
                self._tell(message, records, int(sets.set_id[row]), start)
        batch.intake.counts["decode_options_records"] += int(counts.sum())
        return counts

    def _learn(self, stream: Stream, records: Told) -> None:
        """What the stream said of itself; unless it is what it said last."""
        if self._said_last.get(id(stream)) == id(records):
            return
        self._said_last[id(stream)] = id(records)
        for record in records:
            boot_ms = record.get(BOOT_ELEMENT)
            if isinstance(boot_ms, int):
                stream.boot_ms = min(boot_ms, MAX_BOOT_MS)
            if rate := rate_of(record):
                stream.exporter_rates.put(stream.rates, record, rate)
            for name in SAID & record.keys():
                if isinstance(value := record[name], int):
                    stream.said[name] = value

    def _tell(self, message: int, records: Told, template_id: int, start: int) -> None:
        intake, messages = self._batch.intake, self._batch.messages
        stream, datagram = self._batch.streams[int(self._batch.index[message])], int(messages.datagram[message])
        origins, received_ns = intake.origins, int(intake.origins.received_ns[datagram])
        lag_ns = received_ns - int(messages.export_s[message]) * 1_000_000_000
        told = OptionsData(
            exporter_addr=stream.exporter_addr,
            obs_domain_id=stream.domain,
            records=records,
            received_ns=received_ns,
            template_id=template_id,
            flow_format=self._dialect.flow_format,
            lag_ns=lag_ns if intake.fresh and abs(lag_ns) > WRONG_CLOCK_NS else 0,
            position=origins.position(datagram, start),
            also_addr=tuple(stream.aliases),
        )
        self.options.append(told)

    def _keep(self, sets: Sets) -> None:
        """Keeps sets for a template that may come."""
        batch, origins = self._batch, self._batch.intake.origins
        batch.intake.counts["decode_unknown_template_sets"] += len(sets)
        dropped = max(0, len(sets) - MAX_KEPT_SETS)
        for row, message in enumerate(sets.message[:MAX_KEPT_SETS].tolist()):
            datagram = batch.messages.datagram[message]
            waiting = PendingSet(
                template_id=int(sets.set_id[row]),
                content=bytes(batch.intake.view.memory[int(sets.start[row]) : int(sets.end[row])]),
                received_ns=int(origins.received_ns[datagram]),
                export_s=int(batch.messages.export_s[message]),
                boot_ms=int(batch.messages.boot_ms[message]),
                number=int(origins.number[datagram]),
                offset=int(sets.start[row] - origins.base[datagram]),
                cut=bool(sets.cut[row]),
            )
            if waiting.content:
                dropped += batch.streams[int(batch.index[message])].pending.keep(waiting)
        batch.intake.counts["decode_pending_dropped_sets"] += dropped


def _layout_of(streams: Sequence[Stream], stream: Index, row: int, template_id: int) -> Layout | None:
    """The layout that a template has now; ``stream``: of each set, which of ``streams``; ``row``: which set."""
    held = streams[stream[row]].templates.get(template_id)
    return None if held is None else held.template.layout
