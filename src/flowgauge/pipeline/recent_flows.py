# SPDX-License-Identifier: Apache-2.0
"""Which flows were observed lately, and from when to when: a bounded memory of hashes, for a whole batch at once.

A hash has two places where it may be, and takes the one that was used less recently. So a flow is forgotten only when both were
taken since by flows that lasted longer: seldom while at most half of the places are in use. Whoever adds learns how many.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.flow.hashes import Hashes, mixed

PLACES = 1 << 19
"""Flows remembered at most, 24 bytes each (12 MB); a cluster of 5,000 pods has some 100,000 at once."""
RECENT_MS = 600_000
"""A flow that ended so long before another one took its place was not needed any more: exporters that cut flows after half an
hour are rare, most do after one or two minutes."""

Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_TRIES = 3
"""How often flows that came together and want the same place are parted."""
_SECOND = np.uint64(0xD6E8FEB86659FD93)


class RecentFlows:
    """The memory; used by one thread. Memory is taken with the first flow.

    Args:
        places: how many, a power of two.
    """

    def __init__(self, places: int = PLACES) -> None:
        self._size = places
        self._hash = np.zeros(0, np.uint64)
        self._first = self._last = np.zeros(0, np.int64)

    @property
    def used(self) -> bool:
        """Whether there is any."""
        return bool(len(self._hash))

    def add(self, hashes: Hashes, start_ms: Times, end_ms: Times) -> int:
        """Takes in observations; how many others that ended lately had to go for them, or found no room themselves."""
        if not len(hashes):
            return 0
        if not self.used:
            self._hash = np.zeros(self._size, np.uint64)
            self._first, self._last = np.zeros(self._size, np.int64), np.zeros(self._size, np.int64)
        recent_ms = int(end_ms.max()) - RECENT_MS
        evicted = 0
        for _ in range(_TRIES):
            kept, gone = self._put(hashes, start_ms, end_ms, recent_ms)
            evicted += gone
            hashes, start_ms, end_ms = hashes[~kept], start_ms[~kept], end_ms[~kept]
            if not len(hashes):
                return evicted
        return evicted + len(np.unique(hashes))

    def _put(self, hashes: Hashes, start_ms: Times, end_ms: Times, recent_ms: int) -> tuple[Mask, int]:
        """Which of these have a place now, and how many of those that ended after ``recent_ms`` had to go."""
        one, other = self._places(hashes)
        in_other = (self._hash[one] != hashes) & ((self._hash[other] == hashes) | (self._last[other] < self._last[one]))
        place = np.where(in_other, other, one)
        fresh = self._hash[place] != hashes
        taken = place[fresh]
        gone = len(np.unique(taken[(self._last[taken] > recent_ms) & (self._hash[taken] != 0)]))
        self._hash[taken], self._first[taken], self._last[taken] = hashes[fresh], start_ms[fresh], end_ms[fresh]
        kept = self._hash[place] == hashes  # of several new ones in one place, the last
        np.minimum.at(self._first, place[kept], start_ms[kept])
        np.maximum.at(self._last, place[kept], end_ms[kept])
        return kept, gone

    def seen(self, hashes: Hashes, start_ms: Times, end_ms: Times) -> Mask:
        """Which of these flows were observed at any time between their start and end."""
        if not self.used:
            return np.zeros(len(hashes), np.bool_)
        found = np.zeros(len(hashes), np.bool_)
        for place in self._places(hashes):
            found |= (self._hash[place] == hashes) & (self._first[place] <= end_ms) & (self._last[place] >= start_ms)
        return found

    def _places(self, hashes: Hashes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        mask = np.uint64(self._size - 1)
        return (hashes & mask).astype(np.intp), (mixed(hashes ^ _SECOND) & mask).astype(np.intp)
