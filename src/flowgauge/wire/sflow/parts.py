# SPDX-License-Identifier: Apache-2.0
"""Finds the parts of sFlow containers: the samples of datagrams, the records of samples. Both are (format, length, content)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.intake import Intake
from flowgauge.wire.packet_headers_bytes import Index, Mask, Windows, Words
from flowgauge.wire.views import Offsets

_HEAD_BYTES, _HEAD_WORDS = 8, 2
_COLUMNS = ("owner", "tag", "start", "end", "missing")
"""Of ``Parts``."""


@dataclass(frozen=True, slots=True)
class Containers:
    """What holds parts, one row each.

    Attributes:
        datagram: which one of the batch it is in (or is).
        start, end: bytes of its parts in the buffer.
        count: how many parts it claims, uint32.
        missing: bytes behind ``end`` that are not in the buffer, since the datagram was cut.
    """

    datagram: Index
    start: Offsets
    end: Offsets
    count: Words
    missing: Offsets


@dataclass(frozen=True, slots=True)
class Parts:
    """One row a part.

    Attributes:
        owner: row of its container.
        tag: its format: enterprise × 4096 + number.
        start, end: bytes of its content.
        missing: bytes behind ``end`` that are not in the buffer, since the datagram was cut.
    """

    owner: Index
    tag: Offsets
    start: Offsets
    end: Offsets
    missing: Offsets

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, rows: Index | Mask) -> Parts:
        """The chosen rows."""
        return Parts(self.owner[rows], self.tag[rows], self.start[rows], self.end[rows], self.missing[rows])

    def of(self, tag: int) -> Parts:
        """The parts of one format."""
        chosen = self.tag == tag
        return self if chosen.all() else self.take(chosen.nonzero()[0])


@dataclass(frozen=True, slots=True)
class Rounds:
    """The parts of ``containers`` containers: the first of each, then the second of each that has one, and so on."""

    parts: tuple[Parts, ...]
    containers: int

    def formats(self, below: int) -> npt.NDArray[np.int64]:
        """How many parts there are of each format less than ``below``; the last element counts all others."""
        found = np.zeros(below + 1, np.int64)
        for parts in self.parts:
            if (parts.tag == parts.tag[0]).all():
                found[min(int(parts.tag[0]), below)] += len(parts)
            else:
                found += np.bincount(np.minimum(parts.tag, below), minlength=below + 1)
        return found

    def firsts(self, tag: int) -> Parts:
        """The parts of one format, of each container the first, in the order of containers."""
        found = [part for part in (parts.of(tag) for parts in self.parts) if len(part)]
        if len(found) == 1:
            return found[0]
        if not found:
            return _parts([])
        every = _parts(found)
        _, first = np.unique(every.owner, return_index=True)
        return every.take(first)

    def kept(self, keep: Callable[[Parts], Mask]) -> Rounds:
        """Those that ``keep`` chooses."""
        chosen = (parts.take(keep(parts).nonzero()[0]) for parts in self.parts)
        return Rounds(tuple(parts for parts in chosen if len(parts)), self.containers)

    def in_order(self) -> Parts:
        """All parts, container by container."""
        if len(self.parts) < 2:
            return self.parts[0] if self.parts else _parts([])
        if all(len(parts) == self.containers for parts in self.parts):
            return Parts(*(np.stack([getattr(parts, name) for parts in self.parts], axis=1).reshape(-1) for name in _COLUMNS))
        held = np.zeros(self.containers, np.int64)
        for parts in self.parts:
            held[parts.owner] += 1
        first = np.cumsum(held) - held
        columns = tuple(np.empty(int(held.sum()), np.int64) for _ in _COLUMNS)
        for number, parts in enumerate(self.parts):
            place = first[parts.owner] + number
            for column, name in zip(columns, _COLUMNS, strict=True):
                column[place] = getattr(parts, name)
        return Parts(*columns)


def _parts(found: list[Parts]) -> Parts:
    if not found:
        none = np.zeros(0, np.int64)
        return Parts(none, none, none, none, none)
    return Parts(*(np.concatenate([getattr(part, name) for part in found]) for name in _COLUMNS))


def find(intake: Intake, windows: Windows, within: Containers, what: str, most: int) -> Rounds:
    """The parts of all containers: in each round the next one of every container that has one.

    Lengths are held against the bytes that remain, whatever a count claims. A part that does not fit ends its container and is
    named as ``what``; those before it stay. The part within which the datagram was cut ends there; what is not there of a
    container is not named.

    Args:
        intake: whose problems are added to.
        windows: its buffer.
        within: the containers.
        what: ``sample`` or ``record``.
        most: parts read of one container; each round costs time for the whole batch.
    """
    owner = np.arange(len(within.start))
    at, end, left, lacking = within.start, within.end, within.count, within.missing
    rounds: list[Parts] = []
    for _ in range(most):
        more = left > 0
        if not more.all():
            owner, at, end, left, lacking = owner[more], at[more], end[more], left[more], lacking[more]
        if not len(owner):
            break
        tag, length = windows.words(np.minimum(at, end), _HEAD_WORDS).astype(np.int64)
        start = at + _HEAD_BYTES
        fits = (start <= end) & (start + length <= end + lacking)
        if not fits.all():
            missing = end - at < _HEAD_BYTES
            bad = ~fits & ~(missing & (lacking > 0))
            missing = missing[bad]
            found = np.where(missing, np.maximum((end - at)[bad], 0), length[bad])
            expected = np.where(missing, _HEAD_BYTES, (end + lacking - start)[bad])
            intake.problems.add_all(within.datagram[owner[bad]], at[bad] + 4 * ~missing, f"{what}_length", expected, found)
            owner, start, end, left, length, tag = (each[fits] for each in (owner, start, end, left, length, tag))
            lacking = lacking[fits]
        if len(owner):
            stop = start + length
            rounds.append(Parts(owner, tag, start, np.minimum(stop, end), np.maximum(stop - end, 0)))
        at = start + (length + 3 & ~3)  # XDR fills opaque content up to four bytes
        left = left - 1
    else:
        over = left > 0
        if over.any():
            intake.problems.add_all(within.datagram[owner[over]], at[over], f"{what}_count", f"at most {most}", "more")
    return Rounds(tuple(rounds), len(within.start))
