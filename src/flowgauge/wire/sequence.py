# SPDX-License-Identifier: Apache-2.0
"""What the sequence numbers of one observation domain say: loss, late arrival, duplicate, and restart told apart.

A number counts the data records sent before its message (RFC 7011 §3.1), modulo 2³². A gap is held back for a while before it
is called a loss, since datagrams may overtake each other: a counter of losses that has counted is hardly ever wrong.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

SETTLE_NS = 1_000_000_000
"""A gap not filled after this time is a loss; networks reorder within milliseconds."""
SETTLE_MESSAGES = 64
"""… or after so many further messages of the domain, for captures without times and for bursts."""
MAX_GAP_RECORDS = 1 << 22
"""A larger step forward is an exporter that started again elsewhere, not four million lost records."""
REMEMBERED = 64
"""Messages remembered to know a duplicate."""
MAX_GAPS = 256
"""Gaps held at once; beyond it the oldest is a loss."""
MAX_RESTART_GAP_RECORDS = 1 << 16
"""How far the second message after a restart may be from the first to confirm it."""

MAX_ASIDES = 16
"""Messages of domain 0 remembered of one address; Open vSwitch sends one for each bridge every ten minutes."""

ESTIMATED = "sequence_gap_records_estimated"
"""The counter of records in lost messages, where only messages are numbered."""

_MODULUS = 1 << 32

Asides = deque[tuple[int, int]]
"""Numbers and data records of the latest messages of domain 0 that told of their exporter only."""


@dataclass(slots=True)
class _Gap:
    first: int
    records: int
    since_ns: int
    at_message: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One message: its sequence number, how many data records it holds (-1: not known), export and receive time."""

    sequence: int
    records: int
    export_s: int
    received_ns: int


class SequenceState:
    """The state of one domain. ``observe`` takes messages in order of arrival and adds to ``counts``.

    ``unit`` is the counter of what is missing: records, or messages where these are what numbers count. Lost messages are then
    taken to have held as many records as those that came held on average (``carried``). ``totals`` has what this domain added
    to all counters. What domain 0 tells of the exporter (``asides``) is not missing where it fits into a gap.

    A message from before the expected one fills a gap (it came late), or is known (a duplicate), or else it is kept in mind:
    when the next one follows it, the exporter has restarted; when the next one follows what was expected, it just came late.
    """

    __slots__ = (
        "_asides", "_carried", "_carriers", "_estimate", "_expected", "_gaps", "_messages", "_recent", "_restarted",
        "_skipped", "_unit", "totals",
    )  # fmt: skip

    def __init__(self, unit: str, asides: Asides) -> None:
        self._unit, self._asides = unit, asides
        self.totals: dict[str, int] = {}
        self._expected: int | None = None
        self._restarted: int | None = None
        self._gaps: list[_Gap] = []
        self._messages = 0
        self._recent: deque[tuple[int, int, int]] = deque(maxlen=REMEMBERED)
        self._skipped: list[tuple[Numbers, Numbers, Numbers]] = []
        self._carried, self._carriers, self._estimate = 0, 0, 0.0

    def carried(self, records: int, messages: int) -> None:
        """Notes how many data records so many messages held, templates alone being messages with none."""
        self._carried += records
        self._carriers += messages

    def follows(self, sequence: int) -> bool:
        """Whether a message with this number comes next, and nothing is open."""
        return self._expected == sequence and not self._gaps and self._restarted is None

    def skip(self, sequence: Numbers, records: Numbers, export_s: Numbers) -> None:
        """Takes over messages that follow each other without a gap, given as columns."""
        self._messages += len(sequence)
        self._skipped.append((sequence[-REMEMBERED:].copy(), records[-REMEMBERED:].copy(), export_s[-REMEMBERED:].copy()))
        if len(sequence) >= REMEMBERED:
            self._recent.clear()
            del self._skipped[:-1]
        elif len(self._skipped) >= REMEMBERED:
            self._catch_up()
        self._expected = (int(sequence[-1]) + int(records[-1])) % _MODULUS

    def _catch_up(self) -> None:
        """Remembers what was skipped message by message: only now that somebody asks."""
        for columns in self._skipped:
            self._recent.extend(zip(*(column.tolist() for column in columns), strict=True))
        self._skipped.clear()

    def observe(self, seen: Seen, counts: Counter[str]) -> None:
        """Judges one message."""
        self._messages += 1
        self._catch_up()
        mark = (seen.sequence, seen.records, seen.export_s)
        if self._expected is None:
            self._advance(seen)
        else:
            ahead = (seen.sequence - self._expected) % _MODULUS
            if ahead <= MAX_GAP_RECORDS:
                self._forward(seen, ahead, counts)
            elif mark in self._recent:
                self._count("sequence_duplicate_datagrams", 1, counts)
            elif self._fill(seen):
                self._count("sequence_late_datagrams", 1, counts)
            elif seen.records:  # templates alone prove nothing: they may be late, and shift no number
                self._backward(seen, counts)
        self._recent.append(mark)
        self.settle(seen.received_ns, counts)

    def _forward(self, seen: Seen, ahead: int, counts: Counter[str]) -> None:
        """The message expected, or one behind a gap."""
        if self._restarted is not None:
            self._restarted = None
            self._count("sequence_late_datagrams", 1, counts)
        if ahead:
            self._open_gap(ahead, seen, counts)
        self._advance(seen)

    def _backward(self, seen: Seen, counts: Counter[str]) -> None:
        """A first, or a second, message from before what was expected."""
        if self._restarted is not None:
            ahead = (seen.sequence - self._restarted) % _MODULUS
            if ahead <= MAX_RESTART_GAP_RECORDS:
                self._count("sequence_resets", 1, counts)
                self.finish(counts)
                self._expected, self._restarted = self._restarted, None
                self._forward(seen, ahead, counts)
                return
            self._count("sequence_late_datagrams", 1, counts)
        self._restarted = (seen.sequence + max(seen.records, 0)) % _MODULUS

    def _open_gap(self, records: int, seen: Seen, counts: Counter[str]) -> None:
        self._gaps.append(_Gap(self._expected or 0, records, seen.received_ns, self._messages))
        if len(self._gaps) > MAX_GAPS:
            self._lose([self._gaps.pop(0)], counts)

    def settle(self, now_ns: int, counts: Counter[str]) -> None:
        """Calls gaps that have been open for too long a loss."""
        while self._gaps:
            gap = self._gaps[0]
            gap.since_ns = min(gap.since_ns, now_ns)  # our clock may have been set back
            if now_ns - gap.since_ns < SETTLE_NS and self._messages - gap.at_message < SETTLE_MESSAGES:
                return
            self._lose([self._gaps.pop(0)], counts)

    def finish(self, counts: Counter[str]) -> None:
        """Calls all gaps that are still open a loss."""
        self._lose(self._gaps, counts)
        self._gaps.clear()

    def _lose(self, gaps: Iterable[_Gap], counts: Counter[str]) -> None:
        missing = sum(gap.records - self._aside(gap) for gap in gaps)
        self._count(self._unit, missing, counts)
        if self._carriers:
            self._estimate += missing * self._carried / self._carriers
            whole = int(self._estimate)
            self._estimate -= whole
            self._count(ESTIMATED, whole, counts)

    def _aside(self, gap: _Gap) -> int:
        """How many records of a gap are not missing, since domain 0 had them."""
        found = [each for each in self._asides if 0 < each[1] <= gap.records - (each[0] - gap.first) % _MODULUS]
        for each in found:
            self._asides.remove(each)
        return min(gap.records, sum(records for _, records in found))

    def _count(self, name: str, count: int, counts: Counter[str]) -> None:
        if count:
            counts[name] += count
            self.totals[name] = self.totals.get(name, 0) + count

    def _advance(self, seen: Seen) -> None:
        """After a message with an unknown number of records the next number cannot be known."""
        self._expected = (seen.sequence + seen.records) % _MODULUS if seen.records >= 0 else None

    def _fill(self, seen: Seen) -> bool:
        """Takes a late message out of the gap that it left."""
        for place, gap in enumerate(self._gaps):
            offset = (seen.sequence - gap.first) % _MODULUS
            records = max(seen.records, 0)
            if offset + records > gap.records or offset >= gap.records:
                continue
            after = gap.records - offset - records
            rest = [_Gap(gap.first, offset, gap.since_ns, gap.at_message)] if offset else []
            if after:
                rest.append(_Gap((seen.sequence + records) % _MODULUS, after, gap.since_ns, gap.at_message))
            self._gaps[place : place + 1] = rest
            return True
        return False
