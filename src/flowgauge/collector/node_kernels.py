# SPDX-License-Identifier: Apache-2.0
"""What nodes' kernels count, as agents told it last: the ledger thread writes it to the store beside the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

MAX_NODES = 4_096
"""Nodes remembered; beyond it the one heard least recently goes."""
MAX_COUNTERS = 4_096
"""Counters of one node (four a device, about 100 B each); names beyond it are not taken."""
MAX_ALTOGETHER = 500_000
"""Counters of all nodes; with so many no new ones are taken: whoever reaches the port can invent nodes and devices."""
SILENT_S = 120.0
"""A counter not heard for so long is told of no more, and makes room: its node or device is gone, its last value in the store.
Agents tell each counter every minute at least."""


class NodeKernels:
    """Latest counters by node. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._nodes: dict[str, dict[str, tuple[float, int]]] = {}
        self._count = 0

    def learn(self, node: str, counters: Mapping[str, int]) -> None:
        """Takes in what an agent told."""
        now = self._clock()
        with self._lock:
            known = self._nodes.pop(node, {})
            before = len(known)
            most = min(MAX_COUNTERS, MAX_ALTOGETHER - self._count + before)
            for name, value in counters.items():
                if name in known or len(known) < most:
                    known[name] = now, value
            self._count += len(known) - before
            self._nodes[node] = known  # last in the dict: heard most recently
            if len(self._nodes) > MAX_NODES:
                self._count -= len(self._nodes.pop(next(iter(self._nodes))))

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Node → counters, of what is heard; the rest is forgotten."""
        since = self._clock() - SILENT_S
        with self._lock:
            heard = ((node, {name: one for name, one in of.items() if one[0] >= since}) for node, of in self._nodes.items())
            self._nodes = {node: counters for node, counters in heard if counters}
            self._count = sum(map(len, self._nodes.values()))
            return {node: {name: value for name, (_, value) in of.items()} for node, of in self._nodes.items()}
