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
SILENT_S = 120.0
"""A node not heard for so long is told of no more: its last values are in the store."""


class NodeKernels:
    """Latest counters by node. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._nodes: dict[str, tuple[float, dict[str, int]]] = {}

    def learn(self, node: str, counters: Mapping[str, int]) -> None:
        """Takes in what an agent told."""
        with self._lock:
            known = self._nodes.pop(node, (0.0, {}))[1]
            known.update({name: value for name, value in counters.items() if name in known or len(known) < MAX_COUNTERS})
            self._nodes[node] = (self._clock(), known)  # last in the dict: heard most recently
            if len(self._nodes) > MAX_NODES:
                del self._nodes[next(iter(self._nodes))]

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Node → counters, of the nodes that are heard."""
        since = self._clock() - SILENT_S
        with self._lock:
            return {node: dict(counters) for node, (heard, counters) in self._nodes.items() if heard >= since}
