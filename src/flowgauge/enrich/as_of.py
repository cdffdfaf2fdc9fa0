# SPDX-License-Identifier: Apache-2.0
"""Stretches of time as arrays, and which of them a flow belongs to: the vectorised half of a lookup. Pure.

A flow belongs to the stretch with which it shares the most time, of equal ones the earliest: one that ends just when an
address changes hands is the first holder's, clocks that are a little off notwithstanding. A flow that shares none belongs
to the nearest stretch within ``LINGER_MS`` after it or ``EARLY_MS`` before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.timeline import FOREVER, Stretch
from flowgauge.schema.enums import IDENTITY_CONFIDENCE, code

LINGER_MS = 60_000
"""Peers go on sending to an address whose holder is gone, a minute or more, until their retransmissions give up."""

EARLY_MS = 2_000
"""How far the clocks of nodes and API server may be apart, when flows of a new holder come before it is known."""

Ints = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
T = TypeVar("T")

CERTAIN, _LIKELY, _GUESS = (code(IDENTITY_CONFIDENCE, label) for label in ("exact", "likely", "guess"))

ALWAYS = np.iinfo(np.int64).min
"""Before any time."""


@dataclass(frozen=True, slots=True)
class Found:
    """For each row the value, 0 without one, and the code of ``enums.IDENTITY_CONFIDENCE``."""

    value: Ints
    confidence: Bytes


def settled_since(stretches: Sequence[Stretch[T]]) -> tuple[int, Stretch[T] | None]:
    """(From when on there is one answer to flows that begin then or later; the stretch that it is, None for nobody)."""
    if not stretches:
        return ALWAYS, None
    last = stretches[-1]
    return (last.start_ms, last) if last.end_ms == FOREVER else (last.end_ms + LINGER_MS + 1, None)


def certainty(stretch: Stretch[T] | None) -> int:
    """The code of ``enums.IDENTITY_CONFIDENCE`` for a flow within a stretch, 0 for one in none."""
    return 0 if stretch is None else CERTAIN if stretch.certain else _LIKELY


class AsOf:
    """The stretches of keys from 0 on, for flows of the time from ``from_ms`` to ``to_ms``.

    A key with a stretch that spans all of that time is *settled*, which costs its rows one lookup: the common case.

    Args:
        settled, confidence: of each key what is known of it already, 0 where nothing is; changed by ``add``.
    """

    def __init__(self, settled: Ints, confidence: Bytes, from_ms: int, to_ms: int) -> None:
        self._from_ms, self._to_ms = from_ms, to_ms
        self._settled, self._confidence = settled, confidence
        self._open_keys: list[int] = []
        self._counts: list[int] = []
        self._times: list[tuple[int, int, bool, int]] = []

    def add(self, key: int, stretches: Sequence[Stretch[T]], value_of: Callable[[T], int]) -> None:
        """The stretches of a key, disjoint and in order; ``value_of`` numbers their holders, from 1."""
        if not stretches:
            return
        last = stretches[-1]
        if last.start_ms <= self._from_ms and last.end_ms > self._to_ms:
            self._settled[key], self._confidence[key] = value_of(last.holder), certainty(last)
            return
        self._open_keys.append(key)
        self._counts.append(len(stretches))
        self._times += [(start_ms, end_ms, certain, value_of(holder)) for start_ms, end_ms, holder, certain in stretches]

    def settle(self, keys: Times, values: Times) -> None:
        """Keys whose last stretch surely spans all of the time, and what its holder's number is."""
        self._settled[keys], self._confidence[keys] = values, CERTAIN

    def freeze(self) -> FrozenAsOf:
        """What was added, as arrays."""
        slot = np.full(len(self._settled), -1, np.int32)
        slot[self._open_keys] = np.arange(len(self._open_keys))
        counts = np.array(self._counts, np.int32)
        times = np.array(self._times, np.int64).reshape(-1, 4)
        return FrozenAsOf(self._settled, self._confidence, slot, counts, times)


class FrozenAsOf:
    """Made by :class:`AsOf`; ``slot`` of a key is where its ``counts`` and ``times`` are, -1 for one that is settled."""

    def __init__(self, settled: Ints, certainty: Bytes, slot: Ints, counts: Ints, times: Times) -> None:
        self._settled, self._certainty, self._slot, self._counts = settled, certainty, slot, counts
        self._firsts = (np.cumsum(counts) - counts).astype(np.int32)
        self._start, self._end = np.ascontiguousarray(times[:, 0]), np.ascontiguousarray(times[:, 1])
        self._confidence = np.where(times[:, 2], CERTAIN, _LIKELY).astype(np.uint8)
        self._value = times[:, 3].astype(np.int32)

    def at(self, keys: Ints, start_ms: Times, end_ms: Times) -> Found:
        """The value of each row's key for a flow from ``start_ms`` to ``end_ms``, all of shape (n,)."""
        value, confidence = self._settled[keys], self._certainty[keys]
        if len(self._counts):
            rows = np.flatnonzero(self._slot[keys] >= 0)
            value[rows], confidence[rows] = self._search(self._slot[keys[rows]], start_ms[rows], end_ms[rows])
        return Found(value, confidence)

    def _search(self, slots: Ints, start_ms: Times, end_ms: Times) -> tuple[Ints, Bytes]:
        first, count = self._firsts[slots], self._counts[slots]
        best, best_score = np.full(len(slots), -1, np.int32), np.zeros(len(slots), np.int64)
        near, near_score = best.copy(), np.full(len(slots), np.iinfo(np.int64).max)
        for number in range(int(count.max(initial=0))):
            there = number < count
            at = first + np.minimum(number, count - 1)
            shared = np.minimum(self._end[at], end_ms + 1) - np.maximum(self._start[at], start_ms)
            better = there & (shared > best_score)
            best, best_score = np.where(better, at, best), np.where(better, shared, best_score)
            late, early = start_ms - self._end[at], self._start[at] - end_ms
            distance = np.maximum(late, early)
            closer = there & (distance < near_score) & (late <= LINGER_MS) & (early <= EARLY_MS)
            near, near_score = np.where(closer, at, near), np.where(closer, distance, near_score)
        guessed = best < 0
        found = np.where(guessed, near, best)
        confidence = np.where(guessed, _GUESS, self._confidence[found])
        value = np.where(found >= 0, self._value[found], 0)
        return value.astype(np.int32), np.where(value > 0, confidence, 0).astype(np.uint8)
