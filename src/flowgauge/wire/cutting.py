# SPDX-License-Identifier: Apache-2.0
"""Cuts data sets into records: fixed-length ones by joining bytes, variable-length ones by a walk in lockstep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.wire.dialect import Dialect
from flowgauge.wire.elements import VARIABLE
from flowgauge.wire.intake import Intake
from flowgauge.wire.layout import Layout
from flowgauge.wire.problems import Problems
from flowgauge.wire.records import DataSets, Index, Records, Spans
from flowgauge.wire.views import ByteView, Octets, Offsets, Structured

MAX_SHAPES = 16
"""Different (place in slot, length) of set contents up to which blocks are copied; beyond it, set by set."""
ROWS_AT_ONCE = 64
"""Contents copied by one statement: numpy makes a copy between, which is to stay in the cache."""
MAX_RECORDS_PER_SET = 4096
"""Variable-length records read in one set; a round costs time for the whole batch. 65,535 bytes hold fewer sane ones."""
MAX_PADDING = 3
"""Bytes that align a set to four."""
LONG_LENGTH = 255
"""A length byte that says: two bytes of length follow (RFC 7011 §7)."""


def fixed_counts(view: ByteView, layout: Layout, sets: DataSets, dialect: Dialect) -> Offsets:
    """Records in each set; what remains behind the last whole one is padding (RFC 7011 §3.3.1)."""
    size = sets.end - sets.start
    whole: Offsets = size // layout.min_bytes
    if dialect.pads_blindly and layout.min_bytes <= MAX_PADDING:
        for _ in range(MAX_PADDING):
            size -= (size > 0) & (sets.end - sets.start - size < MAX_PADDING) & (view.octets[sets.start + size - 1] == 0)
        whole = np.minimum(-(-size // layout.min_bytes), whole)
    return whole


def cut_fixed(intake: Intake, layout: Layout, sets: DataSets, counts: Offsets) -> Records:
    """The records of a layout without fields of variable length; valid until the next batch."""
    content, order = _joined(intake, sets.start, counts * layout.min_bytes)
    return Records(np.frombuffer(content, layout.fixed), {}, np.repeat(order, counts[order]), sets)


def _joined(intake: Intake, start: Offsets, length: Offsets) -> tuple[bytes | Octets, Index]:
    """The contents of all sets one after the other, and in which order they are.

    Most sets of a batch lie at the same place of their slot and are equally long: those are copied as blocks, which costs a
    fifth of joining them one by one.
    """
    view, slot = intake.view, intake.slot
    shape = start % slot << 32 | length
    order = np.argsort(shape, kind="stable")
    shape = shape[order]
    firsts = np.flatnonzero(np.concatenate([[True], shape[1:] != shape[:-1]]))
    if len(firsts) > MAX_SHAPES:
        memory = view.memory
        pieces = [memory[a:b] for a, b in zip(start.tolist(), (start + length).tolist(), strict=True)]
        return b"".join(pieces), np.arange(len(start))
    slots = view.octets.reshape(-1, slot)
    rows = (start // slot)[order]
    content = intake.scratch.take(int(length.sum()))
    at = 0
    for first, last in zip(firsts.tolist(), [*firsts[1:].tolist(), len(order)], strict=True):
        begin, size = divmod(int(shape[first]), 1 << 32)
        block = content[at : at + (last - first) * size].reshape(last - first, size)
        if size:  # an empty set at the very end of a slot begins in the next one, and of the last slot there is none
            _copy(slots, rows[first:last], slice(begin, begin + size), block)
        at += block.size
    return content, order


def _copy(slots: Octets, rows: Index, columns: slice, target: Octets) -> None:
    """Copies the same bytes of several slots, which may be named more than once; of neighbouring slots in one go."""
    if rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
        target[...] = slots[rows[0] : rows[-1] + 1, columns]
        return
    for row in range(0, len(rows), ROWS_AT_ONCE):
        chosen = rows[row : row + ROWS_AT_ONCE]
        target[row : row + len(chosen)] = slots[chosen, columns]


def cut_variable(view: ByteView, layout: Layout, sets: DataSets, problems: Problems, max_rows: int) -> Records:
    """The records of a layout with fields of variable length: in each round the next record of every set that has one.

    A record that leaves its set is malformed, unless the set was cut, and ends the set; those before it stay. Up to
    ``min_bytes - 1`` bytes behind the last record are padding. At most ``max_rows`` records are read.
    """
    walk = _Walk(view, layout)
    row = np.arange(len(sets.start))
    start, end = sets.start, sets.end
    for _ in range(MAX_RECORDS_PER_SET):
        more = end - start >= layout.min_bytes
        if not more.all():
            row, start, end = row[more], start[more], end[more]
        if not len(row):
            break
        max_rows -= len(row)
        if max_rows < 0:
            problems.add_all(sets.datagram[row], start, "batch_records", "fewer records in a batch", "more")
            break
        row, start, end, broken = walk.step(row, start, end)
        if len(broken) and sets.cut is not None:
            broken = broken[~sets.cut[broken]]
        if len(broken):
            problems.add_all(sets.datagram[broken], sets.start[broken], "record_length", "record within its set", "longer")
    else:
        problems.add_all(sets.datagram[row], start, "record_count", f"at most {MAX_RECORDS_PER_SET} records", "more")
    return walk.records(sets)


class _Walk:
    """Where the fields of variable-length records are, collected round by round.

    Kept are the place of each field of variable length and of the first of each run of fixed ones, no more: a template of
    many empty fields must not cost memory.
    """

    def __init__(self, view: ByteView, layout: Layout) -> None:
        self._view, self._layout = view, layout
        self._parts = _parts(layout)
        self._rounds: list[tuple[Index, Offsets, Offsets]] = []

    def step(self, row: Index, start: Offsets, end: Offsets) -> tuple[Index, Offsets, Offsets, Index]:
        """Walks over one record of each set; what remains of the sets, and the rows whose record did not fit."""
        at = np.empty((len(self._parts), len(row)), np.int64)
        lengths = np.empty((len(self._parts), len(row)), np.int64)
        position = start
        for number, part in enumerate(self._parts):
            if part.length == VARIABLE:
                lengths[number], position = self._length(position)
            else:
                lengths[number] = part.length
            at[number] = position
            position = position + lengths[number]
        fits = position <= end
        if fits.all():
            self._rounds.append((row, at, lengths))
            return row, position, end, row[:0]
        self._rounds.append((row[fits], at[:, fits], lengths[:, fits]))
        return row[fits], position[fits], end[fits], row[~fits]

    def _length(self, position: Offsets) -> tuple[Offsets, Offsets]:
        """The lengths at ``position`` and where their values begin.

        Beyond its set a record may read anything that is in the buffer: the caller throws it away.
        """
        last = len(self._view.octets) - 1
        length = self._view.octets[np.minimum(position, last)].astype(np.int64)
        position = position + 1
        long = length == LONG_LENGTH
        if long.any():
            length[long] = self._view.u16[np.minimum(position[long], last - 1)]
            position = position + 2 * long
        return length, position

    def records(self, sets: DataSets) -> Records:
        """All records found, their fixed fields packed together."""
        if not self._rounds:
            nothing = np.zeros(0, np.int64)
            spans = {part.field: Spans(self._view, nothing, nothing) for part in self._parts if part.length == VARIABLE}
            return Records(np.zeros(0, self._layout.fixed), spans, np.zeros(0, np.intp), sets)
        row = np.concatenate([rows for rows, _, _ in self._rounds])
        at = np.concatenate([places for _, places, _ in self._rounds], axis=1)
        lengths = np.concatenate([found for _, _, found in self._rounds], axis=1)
        spans = {
            part.field: Spans(self._view, at[number], lengths[number])
            for number, part in enumerate(self._parts)
            if part.length == VARIABLE
        }
        return Records(self._packed(at, len(row)), spans, row, sets)

    def _packed(self, at: Offsets, count: int) -> Structured:
        fixed = self._layout.fixed
        if not fixed.itemsize:
            return np.zeros(count, fixed)
        runs = [(at[number], part.length) for number, part in enumerate(self._parts) if part.length not in (0, VARIABLE)]
        if len(runs) == 1:
            return self._view.rows(*runs[0]).reshape(-1).view(fixed)
        octets = np.empty((count, fixed.itemsize), np.uint8)
        offset = 0
        for place, length in runs:
            octets[:, offset : offset + length] = self._view.rows(place, length)
            offset += length
        return octets.reshape(-1).view(fixed)


@dataclass(slots=True)
class _Part:
    """A field of variable length, or a run of neighbouring fixed ones (``field`` is the first)."""

    field: int
    length: int


def _parts(layout: Layout) -> list[_Part]:
    parts: list[_Part] = []
    for index, field in enumerate(layout.fields):
        if field.length == VARIABLE or not parts or parts[-1].length == VARIABLE:
            parts.append(_Part(index, field.length))
        else:
            parts[-1].length += field.length
    return parts
