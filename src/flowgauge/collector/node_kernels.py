# SPDX-License-Identifier: Apache-2.0
"""What nodes' kernels count, as agents told it last: the ledger thread writes it to the store beside the ledger.

What is heard of for the first time is no difference to 0. So it is kept what the counter was shortly before, where its agent
tells that, else what it was then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

MAX_NODES = 4_096
"""Nodes remembered; beyond it the one heard least recently goes."""
MAX_COUNTERS = 4_096
"""Counters of one node (four a device, about 100 B each); names beyond it are not taken."""
MAX_ALTOGETHER = 500_000
"""Counters of all nodes; with so many no new ones are taken: whoever reaches the port can invent nodes and devices."""
SILENT_S = 120.0
"""A counter not heard for so long is told of no more, and makes room: its node or device is gone, its last value in the store.
Agents tell each counter every minute at least."""


class CounterTold(NamedTuple):
    """A counter as it is, and what it was shortly before it was heard of first."""

    value: int
    first: int


class _Counter(NamedTuple):
    heard_s: float
    value: int
    first: int


class NodeKernels:
    """Latest counters by node. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._nodes: dict[str, dict[str, _Counter]] = {}
        self._count = 0

    def learn(self, node: str, counters: Mapping[str, int], before: Mapping[str, int]) -> None:
        """Takes in what an agent told, and what it told of the time shortly before."""
        now = self._clock()
        with self._lock:
            known = self._nodes.pop(node, {})
            count = len(known)
            most = min(MAX_COUNTERS, MAX_ALTOGETHER - self._count + count)
            for name, value in counters.items():
                if name in known or len(known) < most:
                    known[name] = _Counter(now, value, known[name].first if name in known else before.get(name, value))
            self._count += len(known) - count
            self._nodes[node] = known  # last in the dict: heard most recently
            if len(self._nodes) > MAX_NODES:
                self._count -= len(self._nodes.pop(next(iter(self._nodes))))

    def snapshot(self) -> dict[str, dict[str, CounterTold]]:
        """Node → counters, of what is heard; the rest is forgotten."""
        since = self._clock() - SILENT_S
        with self._lock:
            heard = (
                (node, {name: one for name, one in of.items() if one.heard_s >= since}) for node, of in self._nodes.items()
            )
            self._nodes = {node: counters for node, counters in heard if counters}
            self._count = sum(map(len, self._nodes.values()))
            return {
                node: {name: CounterTold(one.value, one.first) for name, one in of.items()} for node, of in self._nodes.items()
            }
