# SPDX-License-Identifier: Apache-2.0
"""Who held something over time: tenures as they are learned, in any order, and what follows from them for each instant.

A watch event is late by nature: a pod has its address some time before the API says so. A tenure therefore is *certain* from
the event that told it, and *possible* from the earliest time at which it can have begun. For each instant:

1. of the tenures that are certain then, the one of the highest rank that began last holds, of equals the one told last;
2. else of those that are possible then, likewise.

So a new holder ends the tenure of one whose end nobody told, and the possible time of a holder never cuts into the known
time of another. Times are ms since 1970, ends exclusive. Pure; ``history`` keeps many of these.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

FOREVER = 1 << 62
"""End of a tenure that goes on."""

MAX_TENURES = 32
"""Tenures that one address keeps: at one new pod a second and a thousand addresses a node, hours of the past."""


@dataclass(slots=True)
class Tenure(Generic[T]):
    """``holder`` surely held since ``from_ms``, perhaps since ``possible_ms`` (not later), until ``to_ms``."""

    holder: T
    possible_ms: int
    from_ms: int
    to_ms: int = FOREVER
    rank: int = 0


class Stretch(NamedTuple, Generic[T]):
    """A stretch of time [start_ms, end_ms) with one holder; ``certain`` or only possible."""

    start_ms: int
    end_ms: int
    holder: T
    certain: bool


@dataclass(slots=True)
class Timeline(Generic[T]):
    """The tenures of one thing."""

    tenures: list[Tenure[T]] = field(default_factory=list)
    _stretches: tuple[Stretch[T], ...] | None = None

    @property
    def undisputed(self) -> bool:
        """Whether there has been one tenure, and it goes on."""
        return len(self.tenures) == 1 and self.tenures[0].to_ms == FOREVER

    def changed(self) -> None:
        """A tenure was added, removed or ended."""
        self._stretches = None

    def stretches(self) -> tuple[Stretch[T], ...]:
        """Disjoint, in the order of time."""
        if self._stretches is None:
            self._stretches = _swept(self.tenures)
        return self._stretches


def _swept(tenures: list[Tenure[T]]) -> tuple[Stretch[T], ...]:
    if len(tenures) == 1:
        return _alone(tenures[0])
    edges = sorted({edge for one in tenures for edge in (one.possible_ms, one.from_ms, one.to_ms)})
    found: list[Stretch[T]] = []
    for start_ms, end_ms in itertools.pairwise(edges):
        holding = _holder(tenures, start_ms)
        if holding is None:
            continue
        tenure, certain = holding
        last = found[-1] if found else None
        if last and last.end_ms == start_ms and last.holder == tenure.holder and last.certain == certain:
            found[-1] = last._replace(end_ms=end_ms)
        else:
            found.append(Stretch(start_ms, end_ms, tenure.holder, certain))
    return tuple(found)


def _alone(one: Tenure[T]) -> tuple[Stretch[T], ...]:
    """As ``_swept`` of this tenure alone, which is nearly every address's: there is nothing to compare."""
    found: list[Stretch[T]] = []
    sure_ms = min(one.from_ms, one.to_ms)
    if one.possible_ms < sure_ms:
        found.append(Stretch(one.possible_ms, sure_ms, one.holder, certain=False))
    if one.from_ms < one.to_ms:
        found.append(Stretch(one.from_ms, one.to_ms, one.holder, certain=True))
    return tuple(found)


def _holder(tenures: list[Tenure[T]], at_ms: int) -> tuple[Tenure[T], bool] | None:
    told_last = tenures[::-1]
    certain = [one for one in told_last if one.from_ms <= at_ms < one.to_ms]
    if certain:
        return max(certain, key=lambda one: (one.rank, one.from_ms, one.possible_ms)), True
    possible = [one for one in told_last if one.possible_ms <= at_ms < min(one.from_ms, one.to_ms)]
    return (max(possible, key=lambda one: (one.rank, one.possible_ms)), False) if possible else None
