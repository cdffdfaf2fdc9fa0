# SPDX-License-Identifier: Apache-2.0
"""All receive processes of a collector: their sockets, what they hand over, and their counters and reports as one.

::

    exporters ─► kernel, by source address ─► receive process 0 … N-1 ─► spool folders
                                                      │ word of segments, options, counters
                                                      ▼
                                              this process: names, dedup, store
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flowgauge.collector import frames
from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.listener_state import ListenerState
from flowgauge.collector.listeners import udp_listeners
from flowgauge.collector.receive_child import KILL_S, ReceiveChild
from flowgauge.collector.receive_messages import Changed, Exporters, Learned, Loose, Pressure, Sealed, Stop
from flowgauge.collector.segments import Segment
from flowgauge.collector.settings import CollectorSettings
from flowgauge.collector.spool import Spool
from flowgauge.collector.standing import SAVE_S, Standing, StateFile
from flowgauge.collector.udp_socket import Drops, UdpSocket, open_group
from flowgauge.errors import EnvironmentProblem
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.runtime.clock import ClockWatch, now_ns
from flowgauge.runtime.ledger import Ledger

START_S = 60.0
"""How long receive processes may take to start."""
PORT_WAIT_S = 6.0
"""How long a port may still be a former collector's, whose receive processes bring what they have to disk."""
LOOSE_WAIT_S = 1.0
"""How long a segment that found no room on disk waits for room in memory."""
ADOPT_S = 5.0
"""How often folders are looked for that processes of a killed collector left behind; those of our own are known at once."""
_TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Ashore:
    """Where what the processes hand over goes.

    Attributes:
        spool: None when nothing is put on disk.
        put: takes a segment for the pipeline, as ``SegmentQueue.put``.
        waiting, watched, dropped: as for :class:`~flowgauge.collector.reception.Way`.
    """

    spool: Spool | None
    put: Callable[[Segment, float], bool]
    waiting: Callable[[], int]
    watched: Callable[[], bool]
    dropped: Callable[[Segment], None]


class MergedRefusals:
    """Who was turned away, by all processes together. Safe from any thread."""

    def __init__(self) -> None:
        self._told: dict[int, list[Mapping[str, Any]]] = {}

    def tell(self, number: int, refusals: list[Mapping[str, Any]]) -> None:
        """These are all of one process now."""
        self._told = {**self._told, number: refusals}

    def snapshot(self) -> list[dict[str, Any]]:
        """As ``Refusals.snapshot``: an address has one process, so there is nothing to add up."""
        found = [dict(entry) for told in self._told.values() for entry in told]
        return sorted(found, key=lambda entry: -entry["count"])


class ReceiveFleet:
    """Receives between ``start`` and ``stop``; told to by :class:`~flowgauge.collector.main.CollectorProcess`."""

    def __init__(self, settings: CollectorSettings, ledger: Ledger, directory: ExporterDirectory, agents: AgentLedgers,
                 ashore: Ashore) -> None:  # fmt: skip
        self.standing, self.refusals = Standing(), MergedRefusals()
        self._settings, self._processes, self._ledger = settings, settings.receive_processes, ledger
        self._directory, self._agents, self._ashore = directory, agents, ashore
        self._groups: list[list[UdpSocket]] = []
        self._children: list[ReceiveChild] = []
        self._ended: dict[str, Mapping[str, int]] = {}
        self._drops: list[Drops] = []
        self._names, self._names_saved, self._names_at = StateFile(settings.names_path, "names"), 0, time.monotonic()
        self._pressure = Pressure()
        self._clock = ClockWatch()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="receive-fleet", daemon=True)

    def launch(self) -> None:
        """Opens the sockets and starts the processes, which takes a second; EnvironmentProblem when a port is taken."""
        for one in udp_listeners(self._settings):
            self._groups.append(self._open(one.address, one.port))
        self._drops = [Drops(sock, self._ledger) for group in self._groups for sock in group]
        for number in range(self._processes):
            sockets = [group[number] for group in self._groups]
            self._children.append(ReceiveChild(number, self._processes, sockets, self._settings, self))
        self._names.restore(self._directory, now_ns())
        for child in self._children:
            child.start()
        self._thread.start()

    def start(self) -> None:
        """Returns when all of them receive; raises what keeps one of them from it."""
        for child in self._children:
            child.until_ready(START_S)

    def stop(self, timeout_s: float) -> None:
        """Lets the processes hand on what they have received, and end; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        until = time.monotonic() + timeout_s
        for child in self._children:
            child.end()
            child.send(Stop(max(1.0, timeout_s)))
        for child in self._children:
            child.join(until + KILL_S)
        self._keep_names()
        for drops in self._drops:
            drops.count()
        for group in self._groups:
            for sock in group:
                sock.close()

    def broken(self) -> list[str]:
        """Processes that were given up."""
        return [f"receive process {child.number}" for child in self._children if not child.alive()]

    def pids(self) -> list[int]:
        """Of the processes; 0 for one that does not run at the moment."""
        return [child.pid for child in self._children]

    def listeners(self) -> list[ListenerState]:
        """How they stand; those for UDP with the buffers of all processes together."""
        udp = [
            ListenerState(f"UDP {group[0].address[1]}", group[0].address, buffer_bytes=sum(one.buffer_bytes for one in group))
            for group in self._groups
        ]
        first = self._children[0].counted.listeners if self._children else ()
        return [*udp, *(state for state in first if state.buffer_bytes is None)]

    def spool_problem(self) -> str:
        """Why a process cannot write to disk at the moment; empty when all can."""
        return next((child.counted.spool_problem for child in self._children if child.counted.spool_problem), "")

    def ledgers(self) -> dict[str, Mapping[str, int]]:
        """Instance → counters: of the processes that run, and of those that ended since the start."""
        return {**self._ended, **{child.instance: child.counted.counters for child in self._children if child.instance}}

    def counters(self) -> Counter[str]:
        """The sum of all of them."""
        total: Counter[str] = Counter()
        for counters in self.ledgers().values():
            total.update(counters)
        return total

    def apply(self, settings: CollectorSettings) -> None:
        """Tells the processes, also those that are started later."""
        self._settings = settings
        for child in self._children:
            child.settings = settings
            child.send(Changed(settings))

    def heard(self, number: int, message: object) -> None:
        """See :class:`~flowgauge.collector.receive_child.Listener`."""
        match message:
            case Sealed(token, rows, path, size):
                self._take(Segment(token, rows, path, size, sealed_at=time.monotonic(), fresh=True))
            case Loose(token, rows, bodies, full):
                self._take_loose(Segment(token, rows, raw=[frames.unframe(body) for body in bodies]), full=full)
            case Learned(options):
                self._agents.learn(self._directory.learn(options))
            case Exporters(heard, reports, refusals):
                self._directory.count_elsewhere(heard)
                self.standing.tell(reports, process=number)
                self.refusals.tell(number, list(refusals))

    def ended(self, number: int, instance: str) -> None:
        """See :class:`~flowgauge.collector.receive_child.Listener`."""
        self._ended[instance] = dict(self._children[number].counted.counters)
        self._adopt(ended=instance)

    def _take(self, segment: Segment) -> None:
        if self._ashore.spool is None or self._ashore.spool.take_over(segment):
            self._ashore.put(segment, LOOSE_WAIT_S)

    def _take_loose(self, segment: Segment, *, full: bool) -> None:
        if self._ashore.spool is not None:
            self._ashore.spool.full = full
        segment.sealed_at = time.monotonic()
        if not self._ashore.put(segment, LOOSE_WAIT_S):
            self._ashore.dropped(segment)

    def _adopt(self, ended: str = "") -> None:
        """What processes left behind that ended: ours, or those of a collector that was killed."""
        if self._ashore.spool is not None:
            for segment in self._ashore.spool.adopt(self.ledgers(), ended):
                self._ashore.put(segment, 0)

    def _keep_names(self) -> None:
        """Saves what exporters told of themselves, if there is anything new."""
        self._names_at = time.monotonic()
        if self._names_saved != self._directory.changes:
            self._names_saved = self._directory.changes
            self._names.save(self._directory)

    def _look_after(self) -> None:
        adopt_at = time.monotonic()
        while not self._stopping.wait(_TICK_S):
            now = time.monotonic()
            if moved_ns := self._clock.moved_ns():
                self._directory.clock_was_set(now_ns(), moved_ns)
            for drops in self._drops:
                drops.count()
            pressure = Pressure(self._ashore.waiting(), self._ashore.watched())
            if pressure != self._pressure:
                self._pressure = pressure
                for child in self._children:
                    child.send(pressure)
            if now >= adopt_at:
                adopt_at = now + ADOPT_S
                self._adopt()
            if now - self._names_at >= SAVE_S:
                self._keep_names()

    def _open(self, host: str, port: int) -> list[UdpSocket]:
        deadline = time.monotonic() + PORT_WAIT_S
        while True:
            try:
                return open_group(host, port, self._settings.collector.receive_buffer_bytes, self._processes)
            except EnvironmentProblem:
                if time.monotonic() > deadline or not self._somebody_ends():
                    raise
            time.sleep(_TICK_S)

    def _somebody_ends(self) -> bool:
        """Whether receive processes of a former collector may be there still."""
        return self._ashore.spool is not None and self._ashore.spool.others_run()
