# SPDX-License-Identifier: Apache-2.0
"""The supervisor: starts the parts of one machine in order, watches them and restarts what dies.

One thread starts and watches all processes (a child's parent-death signal follows the thread that started it); ``start``,
``stop`` and ``status`` may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flowgauge.errors import EnvironmentProblem
from flowgauge.run.part import Part, PartStatus, State
from flowgauge.run.process import Supervised

_TICK_S = 0.05
_GRACE_S = 15.0
"""How long a part may take to drain what it accepted before it is killed."""

Listener = Callable[[PartStatus], None]


class Supervisor:
    """Runs ``parts``; each waits for those before it to be ready.

    Args:
        parts: in start order; stopped in reverse order.
        log_dir: folder of the log files, made when missing.
        listener: told of each change of state, from the supervisor's thread.
    """

    def __init__(self, parts: Sequence[Part], log_dir: Path, listener: Listener | None = None) -> None:
        self._log_dir = log_dir
        self._supervised = [Supervised(part, log_dir) for part in parts]
        self._listener = listener
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self, timeout_s: float = 60.0) -> None:
        """Starts every part and returns when all are ready.

        Raises:
            EnvironmentProblem: a part failed or was not ready in time; the message holds its last words.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        deadline = time.monotonic() + timeout_s
        while not self._started.wait(_TICK_S):
            problem = self._problem() or ("" if time.monotonic() < deadline else self._not_ready(timeout_s))
            if problem:
                self.stop()
                raise EnvironmentProblem(problem)

    def stop(self, grace_s: float = _GRACE_S) -> None:
        """Ends all parts, last started first, each within ``grace_s`` seconds; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)
        for supervised in reversed(self._supervised):
            supervised.terminate()
            supervised.wait(grace_s)

    def ready(self) -> bool:
        """True while every part is ready."""
        return all(supervised.status.state is State.READY for supervised in self._supervised)

    def status(self) -> list[PartStatus]:
        """How each part stands, in start order."""
        return [supervised.status for supervised in self._supervised]

    def pid(self, name: str) -> int:
        """Process id of a part (0 while it does not run); KeyError for a part that is not supervised."""
        for supervised in self._supervised:
            if supervised.part.name == name:
                return supervised.status.pid
        raise KeyError(name)

    def _run(self) -> None:
        waiting = list(self._supervised)
        running: list[Supervised] = []
        while not self._stopping.is_set():
            if waiting and all(one.status.state is State.READY for one in running):
                running.append(waiting.pop(0))
                running[-1].start()
                self._tell(running[-1].status)
            for supervised in running:
                if supervised.tick():
                    self._tell(supervised.status)
            if not waiting and self.ready():
                self._started.set()
            self._stopping.wait(_TICK_S)

    def _tell(self, status: PartStatus) -> None:
        if self._listener is not None:
            self._listener(status)

    def _problem(self) -> str:
        for supervised in self._supervised:
            if supervised.status.state is State.FAILED:
                return f"{supervised.status.problem}\n{supervised.last_words()}"
        return ""

    def _not_ready(self, timeout_s: float) -> str:
        late = [s for s in self._supervised if s.status.state is not State.READY]
        words = late[0].last_words() if late else ""
        return f"{late[0].part.name if late else 'a part'} was not ready after {timeout_s:.0f} s\n{words}"
