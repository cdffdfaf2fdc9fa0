# SPDX-License-Identifier: Apache-2.0
"""Gives each of many things (agents, data sources) a small number, under which arrays keep its state."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import numpy.typing as npt

from flowgauge.wire.packet_headers_bytes import Index

MAX_PLACES = 1 << 16
"""Things remembered of one kind; beyond it an eighth of them, not heard of for longest, goes. About 100 bytes each."""

_NOWHERE = -1
_SLOT_BITS = 16
_MIX = np.uint64(0x9E3779B97F4A7C15)
Keys = npt.NDArray[np.int64]


class Places:
    """Places by key.

    Args:
        forget: is told which places are about to be given to others.
    """

    def __init__(self, forget: Callable[[Index], None]) -> None:
        self._forget = forget
        self._place: dict[Hashable, int] = {}
        self._key: list[Hashable] = []
        self._used = np.zeros(0, np.int64)
        self._free: list[int] = []
        self._turn = 0

    def begin(self) -> None:
        """Begins a batch: what is asked for from now on is not forgotten before the next one."""
        self._turn += 1

    def of(self, keys: Sequence[Hashable]) -> Index:
        """The place of each of these different keys, new ones among them; -1 when even forgetting makes no room."""
        found = np.array([self._place.get(key, _NOWHERE) for key in keys], np.intp)
        old = found >= 0
        self._used[found[old]] = self._turn
        for row in np.flatnonzero(~old).tolist():
            found[row] = self._new(keys[row])
        return found

    def touch(self, places: Index) -> None:
        """Notes that these were heard of."""
        self._used[places] = self._turn

    def keys(self) -> dict[Hashable, int]:
        """All places by key, for reports."""
        return dict(self._place)

    def _new(self, key: Hashable) -> int:
        if len(self._place) >= MAX_PLACES:
            self._evict()
        if self._free:
            place = self._free.pop()
            self._key[place] = key
        elif len(self._key) < MAX_PLACES:
            place = len(self._key)
            self._key.append(key)
            if place >= len(self._used):
                self._used = np.concatenate([self._used, np.zeros(max(64, len(self._used)), np.int64)])
        else:
            return _NOWHERE
        self._place[key] = place
        self._used[place] = self._turn
        return place

    def _evict(self) -> None:
        count = MAX_PLACES // 8
        oldest = np.argpartition(self._used[:MAX_PLACES], count)[:count]
        oldest = oldest[self._used[oldest] < self._turn]
        for place in oldest.tolist():
            del self._place[self._key[place]]
        self._free += oldest.tolist()
        if len(oldest):
            self._forget(oldest)


class NumberPlaces:
    """The same for keys that are integers, a whole batch at once: those met before are found without a loop."""

    def __init__(self, forget: Callable[[Index], None]) -> None:
        self._places = Places(self._forgotten)
        self._tell = forget
        self._cached_key = np.full(1 << _SLOT_BITS, -1, np.int64)
        self._cached_place = np.zeros(1 << _SLOT_BITS, np.intp)

    def of(self, keys: Keys) -> Index:
        """The place of each key (≥ 0), repetitions allowed; -1 when there is no room."""
        cell = (keys.view(np.uint64) * _MIX >> np.uint64(64 - _SLOT_BITS)).astype(np.intp)
        found = self._cached_place[cell]
        hit = self._cached_key[cell] == keys
        self._places.begin()
        self._places.touch(found if hit.all() else found[hit])
        missed = np.flatnonzero(~hit)
        if len(missed):
            distinct, inverse = np.unique(keys[missed], return_inverse=True)
            place = self._places.of(distinct.tolist())
            found[missed] = place[inverse.reshape(-1)]
            kept = missed[found[missed] >= 0]
            self._cached_key[cell[kept]], self._cached_place[cell[kept]] = keys[kept], found[kept]
        return found

    def keys(self) -> dict[Hashable, int]:
        """All places by key, for reports."""
        return self._places.keys()

    def _forgotten(self, places: Index) -> None:
        self._cached_key[np.isin(self._cached_place, places)] = -1
        self._tell(places)
