# SPDX-License-Identifier: Apache-2.0
"""Sequence numbers of many senders at once, where each thing sent has a number of its own: sFlow datagrams and samples.

(Where a number counts the records of a message, as in NetFlow and IPFIX, see ``sequence``.) Of each sender the last 64 numbers
are remembered, a bit each. So what comes late is told from what comes twice, and a missing number is called lost only when it
has left this window, or was missing for ``SETTLE_NS``: a counter of losses that has counted is hardly ever wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flowgauge.wire.packet_headers_bytes import Index, Mask, Numbers

SETTLE_NS = 1_000_000_000
"""A number missing for one to two of these is lost; networks reorder within milliseconds."""
MAX_AHEAD = 1 << 20
"""A larger step forward is a sender that began elsewhere, not a million lost datagrams."""
RESTART_MS = 5_000
"""A sender's clock that falls by more was started again; a datagram that is this late counts as such a start."""

_WINDOW = 64
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
Bits = npt.NDArray[np.uint64]


@dataclass(slots=True)
class Items:
    """Numbers by sender, each sender's in order of arrival.

    Attributes:
        slot, number, clock, place: of each number; ``place`` counts from 0 within its sender.
        owner, first, last, size: of each sender: its slot, and where its numbers are.
        order: which of the numbers given is at each place; None when they are as they were given.
    """

    slot: Index
    number: npt.NDArray[np.uint32]
    clock: npt.NDArray[np.uint32]
    place: npt.NDArray[np.int64]
    owner: Index
    first: Index
    last: Index
    size: npt.NDArray[np.int64]
    order: Index | None

    @classmethod
    def sorted(cls, slot: Index, number: npt.NDArray[np.uint32], clock: npt.NDArray[np.uint32]) -> Items:
        """Of n ≥ 1 numbers in order of arrival; ``slot`` of each, below 65,536."""
        order = None
        if (slot[1:] < slot[:-1]).any():
            order = np.argsort(slot.astype(np.uint16), kind="stable")  # of 16 bits numpy sorts by radix, seven times faster
            slot, number, clock = slot[order], number[order], clock[order]
        begins = np.ones(len(slot), np.bool_)
        np.not_equal(slot[1:], slot[:-1], out=begins[1:])
        first = np.flatnonzero(begins)
        size = np.diff(first, append=len(slot))
        place = np.arange(len(slot)) - np.repeat(first, size)
        return cls(slot, number, clock, place, slot[first], first, first + size - 1, size, order)

    def part(self, chosen: Mask) -> Items:
        """Some of the numbers, at least one."""
        return Items.sorted(self.slot[chosen], self.number[chosen], self.clock[chosen])

    def given(self, values: Numbers, at: Index) -> Numbers:
        """Those of ``values``, one a number as they were given, that belong to the numbers ``at`` these places."""
        return values[at if self.order is None else self.order[at]]


@dataclass(slots=True)
class Verdict:
    """What a batch of numbers says: how many came late, twice, and after a restart, and which are lost.

    Attributes:
        lost: pairs of slots and how many numbers of each were found lost.
    """

    late: int = 0
    duplicates: int = 0
    restarts: int = 0
    lost: list[tuple[Index, npt.NDArray[np.int64]]] = field(default_factory=list)


class Numbering:
    """The state of senders; who is at which of the places is the caller's business.

    Attributes:
        known: whether a place has heard of its sender.
    """

    def __init__(self) -> None:
        self.known = np.zeros(0, np.bool_)
        self._next = self._clock = np.zeros(0, np.uint32)
        self._strayed = np.zeros(0, np.bool_)
        self._seen = np.zeros(0, np.uint64)
        self._old = np.zeros(0, np.uint64)  # missing at the last tick already
        self._told = np.zeros(0, np.uint64)  # missing and counted as lost
        self._ticked_ns = 0

    def observe(self, items: Items) -> Verdict:
        """Takes the numbers of a batch."""
        self._grow(int(items.owner[-1]) + 1)
        verdict = Verdict()
        fresh = ~self.known[items.owner]
        self._begin(items.owner[fresh], items.number[items.first[fresh]])
        ahead = self._ahead(items)
        smooth = np.logical_and.reduceat(ahead == items.place, items.first)
        if smooth.any():
            size = items.size[smooth]
            self._advance(items.owner[smooth], size, np.where(size < _WINDOW, _below(size), _ALL), verdict)
            self._recover(items.owner[smooth], verdict)
        if not smooth.all():
            uneven = np.repeat(~smooth, items.size)
            self._uneven(items.part(uneven), ahead[uneven], verdict)
        self._clock[items.owner] = items.clock[items.last]
        return verdict

    def tick(self, now_ns: int) -> npt.NDArray[np.int64]:
        """Calls lost what has been missing since the last tick but one; how many, per slot. At most once a ``SETTLE_NS``."""
        self._ticked_ns = min(self._ticked_ns, now_ns)  # our clock may have been set back
        if now_ns - self._ticked_ns < SETTLE_NS:
            return np.zeros(0, np.int64)
        lost = self._settle(self._old)
        self._old = ~self._seen
        self._ticked_ns = now_ns
        return lost

    def finish(self) -> npt.NDArray[np.int64]:
        """All that is still missing is lost; how many, per slot."""
        return self._settle(np.full_like(self._seen, _ALL))

    def forget(self, slot: Index) -> npt.NDArray[np.int64]:
        """Ends with these senders; what of theirs was still missing, per slot given."""
        self._grow(int(slot.max(initial=-1)) + 1)
        lost: npt.NDArray[np.int64] = np.bitwise_count(~self._seen[slot] & ~self._told[slot]).astype(np.int64)
        self.known[slot] = False
        self._seen[slot] = _ALL
        return lost

    def _grow(self, slots: int) -> None:
        """Makes room for as many places, at least twice as many as before."""
        if slots <= len(self.known):
            return
        more = max(slots, 2 * len(self.known), 64) - len(self.known)
        for name in ("known", "_next", "_clock", "_strayed", "_seen", "_old", "_told"):
            array = getattr(self, name)
            fill = np.full(more, _ALL if name == "_seen" else 0, array.dtype)
            setattr(self, name, np.concatenate([array, fill]))

    def _settle(self, among: Bits) -> npt.NDArray[np.int64]:
        missing = ~self._seen & ~self._told & among
        self._told |= missing
        lost: npt.NDArray[np.int64] = np.bitwise_count(missing).astype(np.int64)
        return lost

    def _begin(self, slot: Index, number: Numbers) -> None:
        """Nothing before the first number heard is missing."""
        self.known[slot] = True
        self._next[slot] = number
        self._seen[slot], self._old[slot], self._told[slot] = _ALL, 0, 0
        self._strayed[slot] = False

    def _ahead(self, items: Items) -> npt.NDArray[np.int64]:
        """How far each number is from the next one expected; below 0: it is from before. Modulo 2³²."""
        ahead: npt.NDArray[np.int64] = (items.number - self._next[items.slot]).view(np.int32).astype(np.int64)
        return ahead

    def _fell(self, items: Items) -> Mask:
        """Numbers behind a fall of their sender's clock; when it wraps after 49.7 days the difference is small."""
        past = np.empty_like(items.clock)
        past[1:] = items.clock[:-1]
        past[items.first] = self._clock[items.owner]
        falls = np.cumsum(((items.clock - past).view(np.int32) < -RESTART_MS) & (past > 0))
        before = np.where(items.first > 0, falls[items.first - 1], 0)
        return falls > np.repeat(before, items.size)

    def _uneven(self, items: Items, ahead: npt.NDArray[np.int64], verdict: Verdict) -> None:
        """Senders of which some number is not the one expected.

        A number far from the others is a stray. A sender has restarted when its clock says so, or when two strays came last;
        a single one is kept in mind until the next number says what it was.
        """
        fell = self._fell(items)
        stray = (ahead < -_WINDOW) | (ahead > MAX_AHEAD) | fell
        if not stray.any():
            self._recover(items.owner, verdict)
            self._take(items, ahead, verdict)
            return
        index = np.arange(len(stray))
        good = np.maximum.reduceat(np.where(stray, -1, index), items.first)
        trailing = np.where(good >= 0, items.last - good, items.size)
        restarted = (trailing >= 2) | np.logical_or.reduceat(fell, items.first)
        restarted |= self._strayed[items.owner] & (trailing == items.size)
        restarted &= trailing > 0
        tail = index > np.repeat(np.where(trailing > 0, items.last - trailing, len(index)), items.size)
        self._recover(items.owner[good >= 0], verdict)
        self._strayed[items.owner] = ~restarted & (trailing > 0)
        verdict.late += int(np.count_nonzero(stray & ~tail))
        self._part(items, ~stray, ahead, verdict)
        if restarted.any():
            self._restart(items, restarted, tail & np.repeat(restarted, items.size), trailing, verdict)

    def _restart(self, items: Items, restarted: Mask, tail: Mask, trailing: npt.NDArray[np.int64], verdict: Verdict) -> None:
        """Begins anew with the numbers in ``tail``, which come last of their senders."""
        owner = items.owner[restarted]
        verdict.restarts += len(owner)
        verdict.lost.append((owner, self.forget(owner)))
        self._begin(owner, items.number[(items.last - trailing + 1)[restarted]])
        ahead = self._ahead(items)
        self._part(items, tail & (ahead >= -_WINDOW) & (ahead <= MAX_AHEAD), ahead, verdict)

    def _recover(self, owner: Index, verdict: Verdict) -> None:
        """A number as expected says that the stray before it had just come late."""
        verdict.late += int(np.count_nonzero(self._strayed[owner]))
        self._strayed[owner] = False

    def _part(self, items: Items, chosen: Mask, ahead: npt.NDArray[np.int64], verdict: Verdict) -> None:
        if chosen.any():
            part = items.part(chosen)
            self._take(part, ahead[chosen], verdict)

    def _take(self, items: Items, ahead: npt.NDArray[np.int64], verdict: Verdict) -> None:
        """Takes numbers within the window or ahead of it: each sender's in rising order, repetitions once."""
        group = np.repeat(np.arange(len(items.owner)), items.size)
        place = group << 32 | (ahead + _WINDOW)
        overtaken = place < np.maximum.accumulate(place)
        order = np.argsort(place, kind="stable")
        group, ahead, overtaken = group[order], ahead[order], overtaken[order]
        again = np.zeros(len(ahead), np.bool_)
        again[1:] = (ahead[1:] == ahead[:-1]) & (group[1:] == group[:-1])
        before = (ahead < 0) & ~again
        bit = _ONE << (np.where(before, -1 - ahead, 0)).astype(np.uint64)
        known = before & (self._seen[items.owner][group] & bit != 0)
        verdict.duplicates += int(np.count_nonzero(known | again))
        verdict.late += int(np.count_nonzero((before | overtaken) & ~known & ~again))
        self._seen[items.owner] |= np.bitwise_or.reduceat(np.where(before, bit, 0), items.first)
        steps = np.maximum(ahead[items.last] + 1, 0)
        behind = steps[group] - 1 - ahead
        fresh = (ahead >= 0) & ~again
        recent = fresh & (behind < _WINDOW)
        bits = np.where(recent, _ONE << np.where(recent, behind, 0).astype(np.uint64), 0)
        passed = np.add.reduceat((fresh & ~recent).astype(np.int64), items.first)
        verdict.lost.append((items.owner, np.maximum(steps - _WINDOW, 0) - passed))
        self._advance(items.owner, steps, np.bitwise_or.reduceat(bits, items.first), verdict)

    def _advance(self, owner: Index, steps: npt.NDArray[np.int64], bits: Bits, verdict: Verdict) -> None:
        """Moves windows on; what leaves them unseen is lost. ``bits``: which of the new numbers were seen."""
        seen, told, old = self._seen[owner], self._told[owner], self._old[owner]
        whole = steps >= _WINDOW
        shift = np.where(whole, 0, steps).astype(np.uint64)
        leaving = np.where(whole, _ALL, ~(_ALL >> shift))
        verdict.lost.append((owner, np.bitwise_count(~seen & ~told & leaving).astype(np.int64)))
        self._seen[owner] = np.where(whole, 0, seen << shift) | bits
        self._told[owner] = np.where(whole, 0, told << shift)
        self._old[owner] = np.where(whole, 0, old << shift)
        self._next[owner] += steps.astype(np.uint32)


def _below(count: npt.NDArray[np.int64]) -> Bits:
    """As many bits, from the lowest; ``count`` < 64."""
    return (_ONE << np.minimum(count, _WINDOW - 1).astype(np.uint64)) - _ONE
