# SPDX-License-Identifier: Apache-2.0
"""The counters that agents send as options data, by instance: what the collector shows, and writes to the store for them."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from flowgauge.pipeline.options import AgentReport

MAX_INSTANCES = 4_096
"""Instances remembered (about 2 kB each): agents, and their former starts. Beyond it the one heard least recently goes."""


class AgentLedgers:
    """Latest counters of each agent's instance (``node-a@<start ms>``). Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, dict[str, int]] = {}

    def learn(self, reports: Iterable[AgentReport]) -> None:
        """Takes in reports. Datagrams may overtake each other; counters never go back."""
        with self._lock:
            for report in reports:
                known = self._counters.pop(report.instance, {})
                for name, value in report.counters.items():
                    known[name] = max(value, known.get(name, 0))
                self._counters[report.instance] = known  # last in the dict: heard most recently
                if len(self._counters) > MAX_INSTANCES:
                    del self._counters[next(iter(self._counters))]

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Instance → counters."""
        with self._lock:
            return {instance: dict(counters) for instance, counters in self._counters.items()}
