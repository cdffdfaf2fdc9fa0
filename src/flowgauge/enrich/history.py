# SPDX-License-Identifier: Apache-2.0
"""Timelines by key (address; address and port), within bounds: the oldest past is forgotten first, and counted.

Not thread-safe: ``kubernetes`` holds the lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from flowgauge.enrich.timeline import FOREVER, MAX_TENURES, Stretch, Tenure, Timeline

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

MAX_ENDED = 500_000
"""Tenures that have ended and are still kept, about 200 B each: at ten pods a second half a day."""


class History(Generic[K, T]):
    """All timelines.

    Args:
        forgotten: told each key of which nothing is known any more.
        touched: told each key about which something changes.

    Attributes:
        dropped: tenures that were forgotten because there were too many.
    """

    def __init__(
        self, touched: Callable[[K], None], forgotten: Callable[[K], None] | None = None, *, max_ended: int = MAX_ENDED
    ) -> None:
        self.dropped = 0
        self._timelines: dict[K, Timeline[T]] = {}
        self._ended: deque[tuple[K, Tenure[T]]] = deque()
        self._touched, self._forgotten, self._max_ended = touched, forgotten, max_ended

    def __len__(self) -> int:
        return len(self._timelines)

    def stretches(self, key: K) -> tuple[Stretch[T], ...]:
        """Who held ``key`` when; empty for a key of which nothing is known."""
        timeline = self._timelines.get(key)
        return timeline.stretches() if timeline is not None else ()

    def undisputed(self, keys: Iterable[K]) -> list[Tenure[T] | None]:
        """For each key its tenure, if it is the only one that is known and goes on; else None."""
        timelines = map(self._timelines.get, keys)
        return [one.tenures[0] if one is not None and one.undisputed else None for one in timelines]

    def timeline(self, key: K) -> Timeline[T]:
        """The timeline of a key of which something is known; it stays the same object as long as anything is."""
        return self._timelines[key]

    def begin(self, key: K, tenure: Tenure[T]) -> Tenure[T]:
        """Adds a tenure, which may have ended already; returns it."""
        timeline = self._timelines.setdefault(key, Timeline())
        timeline.tenures.append(tenure)
        self._changed(key)
        if tenure.to_ms != FOREVER:
            self._remember_ended(key, tenure)
        if len(timeline.tenures) > MAX_TENURES:
            self._drop(key, min(timeline.tenures, key=lambda one: (one.to_ms, one.from_ms)))
        return tenure

    def end(self, key: K, tenure: Tenure[T], to_ms: int) -> None:
        """Ends a tenure that was begun with ``key``."""
        tenure.to_ms = to_ms
        self._changed(key)
        self._remember_ended(key, tenure)

    def rerank(self, key: K, tenure: Tenure[T], rank: int) -> None:
        """Gives a tenure that was begun with ``key`` another rank."""
        tenure.rank = rank
        self._changed(key)

    def _changed(self, key: K) -> None:
        self._touched(key)
        timeline = self._timelines.get(key)
        if timeline is not None:
            timeline.changed()

    def _remember_ended(self, key: K, tenure: Tenure[T]) -> None:
        self._ended.append((key, tenure))
        if len(self._ended) > self._max_ended:
            self._drop(*self._ended.popleft())

    def _drop(self, key: K, tenure: Tenure[T]) -> None:
        timeline = self._timelines.get(key)
        kept = [] if timeline is None else [one for one in timeline.tenures if one is not tenure]
        if timeline is None or len(kept) == len(timeline.tenures):
            return  # it was dropped before, as the oldest of its address
        self.dropped += 1
        timeline.tenures = kept
        self._changed(key)
        if not kept:
            del self._timelines[key]
            if self._forgotten is not None:
                self._forgotten(key)
