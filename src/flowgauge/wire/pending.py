# SPDX-License-Identifier: Apache-2.0
"""Data sets whose template has not come yet: kept within bounds, given back when it does.

Over UDP data may precede its template by as long as the exporter's refresh interval (minutes on routers), above all after a
restart of the collector.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from flowgauge.wire.budget import Budget

MAX_BYTES = 16 << 20
"""Bytes kept in all, about 300,000 records; the share of one domain below keeps it from using all."""
MAX_BYTES_OF_ADDRESS = 4 << 20
"""… of one address."""
MAX_STREAM_BYTES = 1 << 20
"""Bytes kept of one domain, about 20,000 records; beyond it its oldest set goes."""
MAX_STREAM_SETS = 4096
"""Sets kept of one domain: tiny ones cost more than their bytes."""


@dataclass(frozen=True, slots=True)
class PendingSet:
    """One data set as it came, in datagram ``number`` from byte ``offset`` on; ``cut``: that was cut within it."""

    template_id: int
    content: bytes
    received_ns: int
    export_s: int
    boot_ms: int
    number: int = 0
    offset: int = 0
    cut: bool = False


class Pending:
    """The waiting sets of one domain."""

    __slots__ = ("_budget", "_bytes", "_sets")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._sets: deque[PendingSet] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._sets)

    @property
    def since_ns(self) -> int:
        """When the oldest of them came; 0 when there is none."""
        return self._sets[0].received_ns if self._sets else 0

    def keep(self, waiting: PendingSet) -> int:
        """Keeps a set; how many (older ones, or this one) had to go for it."""
        size, dropped = len(waiting.content), 0
        while self._sets and (self._bytes + size > MAX_STREAM_BYTES or len(self._sets) >= MAX_STREAM_SETS):
            self._forget(self._sets.popleft())
            dropped += 1
        if size > self._budget.room or size > MAX_STREAM_BYTES:
            return dropped + 1
        self._sets.append(waiting)
        self._bytes += size
        self._budget.take(size)
        return dropped

    def take(self, template_ids: set[int]) -> list[PendingSet]:
        """Gives back the sets of these templates, oldest first."""
        taken = [waiting for waiting in self._sets if waiting.template_id in template_ids]
        if taken:
            kept = [waiting for waiting in self._sets if waiting.template_id not in template_ids]
            for waiting in taken:
                self._forget(waiting)
            self._sets = deque(kept)
        return taken

    def clear(self) -> int:
        """Gives up everything; how many sets that were."""
        count = len(self._sets)
        while self._sets:
            self._forget(self._sets.popleft())
        return count

    def _forget(self, waiting: PendingSet) -> None:
        self._bytes -= len(waiting.content)
        self._budget.take(-len(waiting.content))
