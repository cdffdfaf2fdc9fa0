# SPDX-License-Identifier: Apache-2.0
"""A receive process: from the sockets it was given to its own folder of the spool, and word of it to the collector.

Started by :mod:`flowgauge.collector.receive_child`. Names, dedup and the store's pace are another process's, so that
reception, which cannot wait, has a processor and an interpreter of its own. Signals are not for it: it ends when the collector
says so, or is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

from flowgauge.collector import frames
from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.no_spool import NoSpool
from flowgauge.collector.receive_messages import (
    Begin,
    Changed,
    Counted,
    Exporters,
    Learned,
    Line,
    Loose,
    Pressure,
    Ready,
    Refused,
    Sealed,
    Stop,
)
from flowgauge.collector.reception import Reception, Seat, Way
from flowgauge.collector.segments import Segment
from flowgauge.collector.spool import Spool
from flowgauge.collector.standing import TELL_S
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.flow.arrow import share_memory
from flowgauge.pipeline.exporters import ExporterDirectory, Heard
from flowgauge.pipeline.options import AgentReport, telling
from flowgauge.runtime import garbage, logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.decoded import OptionsData

TICK_S = 1.0
"""How often it tells its counters, if they moved."""
ORPHAN_STOP_S = 5.0
"""How long it may take to bring what it has received to disk when the collector is gone."""
NICER = -5
"""What it adds to its nice value, where it may: datagrams that nobody fetches are lost, while the store can wait."""

_log = logs.get("collector")


class Announcer:
    """Tells the collector of segments, and is answerable for them until then."""

    def __init__(self, line: Line, spool: Spool | None) -> None:
        self._line, self._spool = line, spool

    def put(self, segment: Segment, timeout_s: float) -> bool:  # noqa: ARG002 - as a queue's: the collector reads at once
        """Hands a segment over; one that nobody takes stays on disk."""
        if segment.path is None:
            bodies = tuple(map(frames.frame, segment.raw))
            full = self._spool is not None and self._spool.full
            return self._line.send(Loose(segment.token, segment.rows, bodies, full))
        sealed = Sealed(segment.token, segment.rows, segment.path, segment.size)
        if self._spool is not None:
            self._spool.hand_over(segment)
        return self._line.send(sealed)


class TellingDirectory(ExporterDirectory):
    """Passes on what it learns, and knows which exporters were heard since it was asked last."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line
        self._told: dict[tuple[bytes, int], int] = {}

    def learn(self, received: Iterable[OptionsData]) -> list[AgentReport]:
        """As a directory does."""
        found = tuple(map(telling, received))
        if found:
            self._line.send(Learned(found))
        return super().learn(found)

    def heard(self) -> list[Heard]:
        """Exporters with flows since the last call."""
        found: list[Heard] = []
        before, self._told = self._told, {}
        for one in self.snapshot():
            key = (one.addr, one.domain)
            self._told[key] = one.flows
            new = one.flows - before.get(key, 0)
            if new:
                sampling = one.flow_sampling, one.flow_sampling_source
                found.append(Heard(*key, new if new > 0 else one.flows, one.seen_ns, one.flow_format, *sampling))
        return found


class ReceiveProcess:
    """Runs until it is told to stop, or nobody is left to tell."""

    def __init__(self, line: Line, begin: Begin) -> None:
        settings = begin.settings
        self._line, self._pressure = line, Pressure()
        self._ledger = Ledger("collector", begin.instance)
        folder = settings.data_dir / "spool" if settings.data_dir and settings.collector.spool.enable else None
        self._spool = Spool(folder, settings.collector.spool, self._ledger) if folder else None
        self._directory = TellingDirectory(line)
        way = Way(
            spool=self._spool or NoSpool(begin.instance), onward=Announcer(line, self._spool), holds=False,
            waiting=lambda: self._pressure.waiting, watched=lambda: self._pressure.watched, dropped=self._dropped,
        )  # fmt: skip
        sockets = tuple(map(UdpSocket.inherited, begin.descriptors))
        seat = Seat(begin.number, begin.processes, sockets)
        self._reception = Reception(settings, self._ledger, self._directory, AgentLedgers(), way=way, seat=seat)
        self._counted: Counted | None = None
        self._told_at = 0.0

    def run(self) -> int:
        """Its exit status; UsageError or EnvironmentProblem when it cannot receive."""
        garbage.look_seldom()
        if self._spool is not None:
            self._spool.start()
        self._reception.start()
        self._tell_counters()
        self._line.send(Ready())
        timeout_s = ORPHAN_STOP_S
        with contextlib.suppress(EOFError):
            timeout_s = self._serve()
        self._reception.stop(timeout_s)
        self._tell_counters()
        self._tell_exporters()
        if self._spool is not None:
            self._spool.checkpoint()
            self._spool.stop(told=False)
        return 0 if timeout_s else 1

    def _serve(self) -> float:
        """Does as it is told; how long stopping may take, 0 when something is broken."""
        while True:
            match self._line.receive(TICK_S):
                case Stop(timeout_s):
                    return timeout_s
                case Pressure() as pressure:
                    self._pressure = pressure
                case Changed(settings):
                    logs.configure(settings.log_level)
                    self._reception.apply(settings)
            self._tell_counters()
            if time.monotonic() - self._told_at >= TELL_S:
                self._tell_exporters()
            if broken := self._reception.broken():
                _log.error("receive_process_broken", parts=broken)
                return 0.0

    def _tell_counters(self) -> None:
        problem = self._spool.problem if self._spool is not None else ""
        now = Counted(self._ledger.snapshot(), tuple(self._reception.listeners()), problem)
        if now != self._counted:
            self._counted = now
            self._line.send(now)

    def _tell_exporters(self) -> None:
        self._told_at = time.monotonic()
        told = Exporters(self._directory.heard(), self._reception.standing.reports(), self._reception.refusals.snapshot())
        if told.heard or told.reports or told.refusals:
            self._line.send(told)

    def _dropped(self, segment: Segment) -> None:
        """Nobody took it: it is on disk for the next collector, or lost with its process."""
        if segment.path is None:
            _log.error("flows_given_up", rows=segment.rows, detail="the collector is gone, and the disk cannot be written")


def main(descriptor: int) -> int:
    """The process whose line to the collector is ``descriptor``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal or a service manager sends them to all processes at once
    line = Line(descriptor)
    try:
        begin = line.receive()
    except EOFError:
        return 1
    assert isinstance(begin, Begin)  # noqa: S101 - it is the first message
    logs.configure(begin.settings.log_level)
    share_memory()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICER)
    try:
        return ReceiveProcess(line, begin).run()
    except (UsageError, EnvironmentProblem) as error:
        line.send(Refused(str(error), isinstance(error, UsageError)))
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
