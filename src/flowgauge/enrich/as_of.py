# SPDX-License-Identifier: Apache-2.0
"""Stretches of time as arrays, and which of them a flow belongs to: the vectorised half of a lookup. Pure.

A flow belongs to the stretch with which it shares the most time, of equal ones the earliest: one that ends just when an
address changes hands is the first holder's, clocks that are a little off notwithstanding. A flow that shares none belongs
to the nearest stretch within ``LINGER_MS`` after it or ``EARLY_MS`` before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.schema.enums import IDENTITY_CONFIDENCE, code

LINGER_MS = 60_000
"""Peers go on sending to an address whose holder is gone, a minute or more, until their retransmissions give up."""

EARLY_MS = 2_000
"""How far the clocks of nodes and API server may be apart, when flows of a new holder come before it is known."""

Ints = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_EXACT, _LIKELY, _GUESS = (code(IDENTITY_CONFIDENCE, label) for label in ("exact", "likely", "guess"))


@dataclass(frozen=True, slots=True)
class Found:
    """For each row the stretch, -1 without one, and the code of ``enums.IDENTITY_CONFIDENCE``."""

    stretch: Ints
    confidence: Bytes


class AsOf:
    """The stretches of many keys.

    Args:
        per_key: for each key (start, end, certain) of its stretches, disjoint and in order; their numbers run through.
    """

    def __init__(self, per_key: Sequence[Sequence[tuple[int, int, bool]]]) -> None:
        self._count = np.fromiter(map(len, per_key), np.int32, len(per_key))
        self._first = (np.cumsum(self._count) - self._count).astype(np.int32)
        flat = [stretch for stretches in per_key for stretch in stretches]
        self._start, self._end = (np.array([one[side] for one in flat], np.int64) for side in (0, 1))
        self._confidence = np.array([_EXACT if one[2] else _LIKELY for one in flat], np.uint8)

    def at(self, keys: Ints, start_ms: Times, end_ms: Times) -> Found:
        """The stretch of each row's key (-1: none) for a flow from ``start_ms`` to ``end_ms``, all of shape (n,)."""
        stretch = np.full(len(keys), -1, np.int32)
        confidence = np.zeros(len(keys), np.uint8)
        if not len(keys) or not len(self._start):
            return Found(stretch, confidence)
        settled, settled_confidence = self._settled(int(start_ms.min()), int(end_ms.max()))
        known = (keys >= 0) & (self._count[keys] > 0)
        stretch[known] = settled[keys[known]]
        confidence[known] = settled_confidence[keys[known]]
        rows = np.flatnonzero(known & (stretch < 0))
        if len(rows):
            stretch[rows], confidence[rows] = self._search(keys[rows], start_ms[rows], end_ms[rows])
        return Found(stretch, confidence)

    def _settled(self, from_ms: int, to_ms: int) -> tuple[Ints, Bytes]:
        """For each key its stretch that spans all of the batch's time, else -1: the common case, one lookup an address."""
        spans = np.flatnonzero((self._start <= from_ms) & (self._end > to_ms))
        keys = np.searchsorted(self._first + self._count, spans, side="right")
        found = np.full(len(self._count), -1, np.int32)
        confidence = np.zeros(len(self._count), np.uint8)
        found[keys], confidence[keys] = spans, self._confidence[spans]
        return found, confidence

    def _search(self, keys: Ints, start_ms: Times, end_ms: Times) -> tuple[Ints, Bytes]:
        first, count = self._first[keys], self._count[keys]
        best, best_score = np.full(len(keys), -1, np.int32), np.zeros(len(keys), np.int64)
        near, near_score = best.copy(), np.full(len(keys), np.iinfo(np.int64).max)
        for number in range(int(count.max())):
            there = number < count
            at = first + np.minimum(number, count - 1)
            shared = np.minimum(self._end[at], end_ms + 1) - np.maximum(self._start[at], start_ms)
            better = there & (shared > best_score)
            best, best_score = np.where(better, at, best), np.where(better, shared, best_score)
            late, early = start_ms - self._end[at], self._start[at] - end_ms
            distance = np.maximum(late, early)
            closer = there & (distance < near_score) & (late <= LINGER_MS) & (early <= EARLY_MS)
            near, near_score = np.where(closer, at, near), np.where(closer, distance, near_score)
        guessed = (best < 0) & (near >= 0)
        found = np.where(guessed, near, best).astype(np.int32)
        confidence = np.where(guessed, _GUESS, np.where(found >= 0, self._confidence[found], 0))
        return found, confidence.astype(np.uint8)
