# SPDX-License-Identifier: Apache-2.0
"""The ledger thread: writes the collector's own counters and the agents' to the store, where completeness is read from.

Values are cumulative, so a write that failed loses nothing: the next one tells as much. A counter that has not moved is
written once in ``REPEAT_S`` all the same, since silence would mean that nothing is known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.node_kernels import CounterTold
from flowgauge.errors import FlowgaugeError
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.runtime import logs
from flowgauge.runtime.clock import ClockWatch, now_ns
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema.flow_query import Window
from flowgauge.store.store import KERNEL, FlowStore, LedgerRow

INTERVAL_S = 2.0
REPEAT_S = 20.0
MAX_VALUE = (1 << 63) - 1
"""A counter is a 64-bit number in the store; what an exporter claims beyond it is cut."""
RECENT_MS = 120_000
"""Agents that reported so lately when the collector starts are taken to be there still."""

Place = tuple[str, str, str]
"""Component, instance, counter."""

_log = logs.get("collector")


class Former(Protocol):
    """What the spool knows of collectors that died."""

    @property
    def former_ledgers(self) -> dict[str, dict[str, int]]:
        """Instance → counters that the store may not have."""

    def told(self, instances: set[str]) -> None:
        """The store has them."""


class LedgerWriter:
    """Writes between ``start`` and ``stop``.

    Args:
        store: with a short retry of its own; not the writer's, whose retries count as those of flows.
        former: ledgers of collectors that died before they could tell the store; None when there are none.
        parts: instance → counters of what else this collector consists of.
        kernels: node → what its kernel counts.
    """

    def __init__(
        self, store: FlowStore, ledger: Ledger, agents: AgentLedgers, former: Former | None = None, *,
        parts: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
        kernels: Callable[[], Mapping[str, Mapping[str, CounterTold]]] = dict,
    ) -> None:  # fmt: skip
        self._store, self._ledger, self._agents = store, ledger, agents
        self._former, self._parts, self._kernels = former, parts, kernels
        self._written: dict[Place, tuple[int, float]] = {}
        self.told = False
        """Whether the store has the values of the last write."""
        self._clock = ClockWatch()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._limit = logs.RateLimit()

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Writes the last values, unless the store needs longer than ``timeout_s``; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def ready(self) -> bool:
        """True while it runs."""
        return self._thread.is_alive()

    def write(self) -> bool:
        """Writes what has moved; whether the store has it."""
        now = time.monotonic()
        former = self._former.former_ledgers if self._former is not None else {}
        kernels = {(KERNEL, node, name): told for node, of in self._kernels().items() for name, told in of.items()}
        current = self._current(former) | {place: min(told.value, MAX_VALUE) for place, told in kernels.items()}
        due = {place: value for place, value in current.items() if self._is_due(place, value, now)}
        firsts = {
            place: told.first for place, told in kernels.items() if place not in self._written and told.first < current[place]
        }
        time_ms = now_ns() // 1_000_000
        try:
            rows = [*firsts.items(), *due.items()]  # of one time: the larger value is the later one
            self._store.write_ledger([LedgerRow(time_ms, *place, value) for place, value in rows])
        except FlowgaugeError as error:
            allowed, held_back = self._limit.allow("ledger")
            if allowed:
                _log.warning("ledger_not_written", error=str(error), held_back=held_back)
            return False
        self._written = {place: self._written[place] for place in current if place in self._written}
        self._written.update({place: (value, now) for place, value in due.items()})
        if self._former is not None and former:
            self._former.told(set(former))
        return True

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stopping.wait(INTERVAL_S)
            self._look_at_clock()
            self.told = False  # also while the store hangs: a stop does not wait for ever
            try:
                self.told = self.write()
            except Exception:  # noqa: BLE001 - the next write must be tried all the same
                _log.exception("ledger_write_failed")

    def _look_at_clock(self) -> None:
        if moved_ns := self._clock.moved_ns():
            self._ledger.add("clock_steps", 1)
            _log.warning("clock_was_set", forward_s=round(moved_ns / 1e9, 3))

    def _current(self, former: Mapping[str, Mapping[str, int]]) -> dict[Place, int]:
        sources: list[tuple[str, str, Mapping[str, int]]] = [
            (self._ledger.component, self._ledger.instance, self._ledger.snapshot())
        ]
        collectors = {**self._parts(), **former}
        sources += [(self._ledger.component, instance, counters) for instance, counters in collectors.items()]
        sources += [("agent", instance, counters) for instance, counters in self._agents.snapshot().items()]
        return {
            (component, instance, counter): min(value, MAX_VALUE)
            for component, instance, counters in sources
            for counter, value in counters.items()
        }

    def _is_due(self, place: Place, value: int, now: float) -> bool:
        written, at = self._written.get(place, (-1, 0.0))
        return value != written or now - at >= REPEAT_S


def remember_agents(store: FlowStore, directory: ExporterDirectory) -> None:
    """Tells the directory which agents were there until now, so that dedup is right from the first flow on after a restart."""
    time_ns = now_ns()
    now_ms = time_ns // 1_000_000
    try:
        changes = store.ledger(Window(now_ms - RECENT_MS, now_ms + 1))
    except FlowgaugeError as error:
        _log.info("agents_not_remembered", error=str(error))
        return
    nodes = {change.instance.rpartition("@")[0] for change in changes if change.component == "agent"}
    directory.know_agents(nodes, time_ns)
    if nodes:
        _log.info("agents_remembered", nodes=sorted(nodes)[:20], count=len(nodes))
