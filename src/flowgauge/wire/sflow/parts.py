# SPDX-License-Identifier: Apache-2.0
"""Finds the parts of sFlow containers: the samples of datagrams, the records of samples. Both are (format, length, content)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.wire.intake import Intake
from flowgauge.wire.packet_headers_bytes import Index, Mask, Windows
from flowgauge.wire.views import Offsets

_HEAD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Containers:
    """What holds parts, one row each.

    Attributes:
        datagram: which one of the batch it is in (or is).
        start, end: bytes of its parts in the buffer.
        count: how many parts it claims.
    """

    datagram: Index
    start: Offsets
    end: Offsets
    count: Offsets


@dataclass(frozen=True, slots=True)
class Parts:
    """One row a part, those of a container one after the other, containers in order.

    Attributes:
        owner: row of its container.
        tag: its format: enterprise × 4096 + number.
        start, end: bytes of its content.
    """

    owner: Index
    tag: Offsets
    start: Offsets
    end: Offsets

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, rows: Index | Mask) -> Parts:
        """The chosen rows."""
        return Parts(self.owner[rows], self.tag[rows], self.start[rows], self.end[rows])

    def firsts(self, tag: int) -> Parts:
        """The parts of one format, of each container the first."""
        rows = np.flatnonzero(self.tag == tag)
        owner = self.owner[rows]
        again = owner[1:] == owner[:-1]
        if again.any():
            rows = rows[np.concatenate([[True], ~again])]
        return self.take(rows)


def find(intake: Intake, windows: Windows, within: Containers, what: str, most: int) -> Parts:
    """The parts of all containers: in each round the next one of every container that has one.

    Lengths are held against the bytes that remain, whatever a count claims. A part that does not fit ends its container and is
    named as ``what``; those before it stay.

    Args:
        intake: whose problems are added to.
        windows: its buffer.
        within: the containers.
        what: ``sample`` or ``record``.
        most: parts read of one container; each round costs time for the whole batch.
    """
    owner = np.arange(len(within.start))
    at, end, left = within.start, within.end, within.count
    rounds: list[tuple[Index, Offsets, Offsets, Offsets]] = []
    for _ in range(most):
        more = left > 0
        if not more.all():
            owner, at, end, left = owner[more], at[more], end[more], left[more]
        if not len(owner):
            break
        head = windows.take(np.minimum(at, end), _HEAD_BYTES).view(">u4")
        length = head[:, 1].astype(np.int64)
        start = at + _HEAD_BYTES
        fits = start + length <= end
        if not fits.all():
            bad = ~fits
            missing = (end - at)[bad] < _HEAD_BYTES
            found = np.where(missing, np.maximum((end - at)[bad], 0), length[bad])
            expected = np.where(missing, _HEAD_BYTES, (end - start)[bad])
            intake.problems.add_all(within.datagram[owner[bad]], at[bad] + 4 * ~missing, f"{what}_length", expected, found)
            owner, start, end, left, length = owner[fits], start[fits], end[fits], left[fits], length[fits]
            head = head[fits]
        rounds.append((owner, head[:, 0].astype(np.int64), start, start + length))
        at = start + (length + 3 & ~3)  # XDR fills opaque content up to four bytes
        left = left - 1
    else:
        over = left > 0
        if over.any():
            intake.problems.add_all(within.datagram[owner[over]], at[over], f"{what}_count", f"at most {most}", "more")
    return _in_order(rounds, len(within.start))


def _in_order(rounds: list[tuple[Index, Offsets, Offsets, Offsets]], containers: int) -> Parts:
    """Parts found round by round, put container by container."""
    if len(rounds) == 1:
        return Parts(*rounds[0])
    if not rounds:
        none = np.zeros(0, np.int64)
        return Parts(none, none, none, none)
    held = np.zeros(containers, np.int64)
    for owner, *_ in rounds:
        held[owner] += 1
    first = np.cumsum(held) - held
    total = int(held.sum())
    columns = tuple(np.empty(total, np.int64) for _ in range(4))
    for number, found in enumerate(rounds):
        place = first[found[0]] + number
        for column, values in zip(columns, found, strict=True):
            column[place] = values
    return Parts(*columns)
