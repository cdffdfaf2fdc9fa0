# SPDX-License-Identifier: Apache-2.0
"""One receive process as the collector sees it: started, listened to, started again when it dies.

The collector opened its sockets and holds them, too: while the process is away datagrams wait in the kernel's buffer, and the
others get none of its exporters. Its folder of the spool is adopted when it has ended, however it has.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from flowgauge.collector.receive_messages import Begin, Counted, Line, Ready, Refused
from flowgauge.collector.settings import CollectorSettings
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.errors import EnvironmentProblem, FlowgaugeError, UsageError
from flowgauge.runtime import logs
from flowgauge.runtime.clock import now_ns

PAUSES_S = (0.1, 0.3, 1.0, 2.0, 5.0)
"""Pause before the n-th start within a minute; the last repeats."""
MAX_STARTS_PER_MINUTE = 12
"""A process that dies more often is broken, not unlucky: the collector ends, and says so."""
KILL_S = 2.0
"""How much longer than it was given a process may take to stop."""

_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Arrow's own allocator begins with two huge pages and takes longer for small batches; Arrow asks when it is loaded."""

_log = logs.get("collector")


class Listener(Protocol):
    """Who is told what the process says."""

    def heard(self, number: int, message: object) -> None:
        """A message that is not about its start or its counters."""

    def ended(self, number: int, instance: str) -> None:
        """It has ended, and its folder is nobody's."""


class ReceiveChild:
    """A receive process between ``start`` and ``stop``, one after the other.

    Attributes:
        counted: what the process that runs told last.
        instance: its name in the ledger.
        problem: why it was given up; None while it was not.
    """

    def __init__(self, number: int, processes: int, sockets: Sequence[UdpSocket], settings: CollectorSettings,
                 listener: Listener) -> None:  # fmt: skip
        self.number, self._processes, self._sockets = number, processes, sockets
        self.settings, self._listener = settings, listener
        self.counted = Counted({}, (), "")
        self.instance = ""
        self.problem: FlowgaugeError | None = None
        self.pid = 0
        self._line: Line | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._starts: deque[float] = deque(maxlen=MAX_STARTS_PER_MINUTE)
        self._was_ready = False
        self._ready = threading.Event()
        """Set while it receives, and when it was given up."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"receive-{number}", daemon=True)

    def start(self) -> None:
        """Starts it."""
        self._thread.start()

    def until_ready(self, timeout_s: float) -> None:
        """Waits; raises what kept it from starting."""
        in_time = self._ready.wait(timeout_s)
        if self.problem is not None:
            raise self.problem
        if not in_time:
            raise EnvironmentProblem(f"receive process {self.number} was not ready after {timeout_s:.0f} s")

    def alive(self) -> bool:
        """Whether it runs, or is about to again."""
        return self._thread.is_alive() and self.problem is None

    def send(self, message: object) -> None:
        """Tells it something, if it is there."""
        line = self._line
        if line is not None:
            line.send(message)

    def end(self) -> None:
        """It is not started again when it ends now."""
        self._stopping.set()

    def join(self, until: float) -> None:
        """Waits until it has ended and everything it said is dealt with; kills it after ``until`` (monotonic)."""
        self._thread.join(max(0.0, until - time.monotonic()))
        process = self._process
        if self._thread.is_alive() and process is not None:
            _log.error("receive_process_killed", number=self.number, detail="it did not stop in time")
            process.kill()
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause_s = self._pause_s()
            if pause_s is None:
                self._give_up(EnvironmentProblem(f"receive process {self.number} died {MAX_STARTS_PER_MINUTE} times a minute"))
                return
            if self._stopping.wait(pause_s):
                return
            self._begin()
            self._listen()
            self._end()
            if self.problem is not None:
                return

    def _pause_s(self) -> float | None:
        """How long to wait before the next start; None: no more."""
        now = time.monotonic()
        recent = sum(1 for at in self._starts if now - at < 60)
        if recent == MAX_STARTS_PER_MINUTE:
            return None
        self._starts.append(now)
        return PAUSES_S[min(recent, len(PAUSES_S)) - 1] if recent else 0.0

    def _begin(self) -> None:
        self.instance = f"{self.settings.name}-receive-{self.number}@{now_ns() // 1_000_000}"
        self.counted = Counted({}, (), "")
        ours, theirs = socket.socketpair()
        descriptors = tuple(sock.descriptor() for sock in self._sockets)
        with theirs:
            # -P: the folder in which the user happens to be must not be searched for modules.
            argv = [sys.executable, "-P", "-m", "flowgauge.collector.receive_process", str(theirs.fileno())]
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(), *descriptors), env={**os.environ, **_ENVIRONMENT}
            )
        self.pid = self._process.pid
        self._line = Line(ours.detach())
        self._line.send(Begin(self.settings, self.instance, self.number, self._processes, descriptors))

    def _listen(self) -> None:
        """Until it is gone."""
        assert self._line is not None  # noqa: S101 - `_begin` made it
        while True:
            try:
                message = self._line.receive()
            except EOFError:
                return
            match message:
                case Counted():
                    self.counted = message
                case Ready():
                    self._was_ready = True
                    self._ready.set()
                case Refused(text, usage):
                    if not self._was_ready:
                        self._give_up(UsageError(text) if usage else EnvironmentProblem(text))
                    else:
                        _log.error("receive_process_cannot_start", number=self.number, error=text)
                case _:
                    self._deliver(message)

    def _deliver(self, message: object) -> None:
        try:
            self._listener.heard(self.number, message)
        except Exception:  # noqa: BLE001 - a mistake of ours must not end reception; what is on disk is found again
            _log.exception("word_of_receive_process_lost", number=self.number, message=type(message).__name__)

    def _end(self) -> None:
        assert self._process is not None  # noqa: S101 - `_begin` made it
        line, self._line = self._line, None
        if line is not None:
            line.close()
        status = self._process.wait()
        self.pid = 0
        if not self._stopping.is_set() and self._was_ready:
            _log.error("receive_process_died", number=self.number, status=status, detail="it is started again")
        self._listener.ended(self.number, self.instance)

    def _give_up(self, problem: FlowgaugeError) -> None:
        self.problem = problem
        self._ready.set()
