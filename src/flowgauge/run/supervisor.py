# SPDX-License-Identifier: Apache-2.0
"""The supervisor: starts the parts of one machine in order, watches them and restarts what dies.

One thread starts, watches and ends all processes (a child's parent-death signal follows the thread that started it); all
public methods may be called from any thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowgauge.errors import EnvironmentProblem
from flowgauge.run.part import Part, PartStatus, State
from flowgauge.run.process import Supervised

_TICK_S = 0.05
_GRACE_S = 15.0
"""How long a part may take to drain what it accepted before it is killed."""

_REFUSED_S = 3.0
"""For how long a part must have been refused something before the start is given up: what refuses it may just be starting."""

Listener = Callable[[PartStatus], None]


@dataclass(frozen=True, slots=True)
class _Order:
    """What ``change`` asks of the supervisor's thread."""

    parts: tuple[Part, ...]
    restart: frozenset[str]
    reread: frozenset[str]
    obeyed: threading.Event = field(default_factory=threading.Event)


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
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._grace_s = _GRACE_S
        self._stopping = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self, timeout_s: float = 60.0) -> None:
        """Starts every part and returns when all are ready (an optional one may have died).

        Raises:
            EnvironmentProblem: a part failed or was not ready in time; the message holds its last words.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        problem = self._wait(timeout_s)
        if problem:
            self.stop()
            raise EnvironmentProblem(problem)

    def change(
        self, parts: Sequence[Part], restart: Collection[str] = (), reread: Collection[str] = (), timeout_s: float = 60.0
    ) -> str:
        """Goes over to other parts while the rest goes on, and returns when all are ready again.

        A part that is gone, described differently or named in ``restart`` is stopped, the last first, so that each drains
        into those it sends to; then the new ones are started in order.

        Args:
            parts: the whole, in start order.
            restart: names of parts to start anew though they are described as before.
            reread: names of parts that get SIGHUP.
            timeout_s: how long to wait.

        Returns:
            What went wrong, or an empty text.
        """
        order = _Order(tuple(parts), frozenset(restart), frozenset(reread))
        self._orders.put(order)
        order.obeyed.wait(timeout_s)
        return self._wait(timeout_s)

    def stop(self, grace_s: float = _GRACE_S) -> None:
        """Ends all parts, last started first, each within ``grace_s`` seconds; safe to call twice."""
        self._grace_s = grace_s
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def ready(self) -> bool:
        """True while every part is ready (an optional one may have died)."""
        return all(supervised.settled for supervised in self._supervised)

    def problem(self) -> str:
        """Why a part was given up without which the others are no use; empty while there is none."""
        for supervised in self._supervised:
            if supervised.status.state is State.FAILED and not supervised.part.optional:
                return supervised.status.problem
        return ""

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
        while not self._stopping.is_set():
            while not self._orders.empty():
                self._obey(self._orders.get())
            self._start_next()
            for supervised in self._supervised:
                if supervised.tick():
                    self._tell(supervised.status)
            if self.ready():
                self._settled.set()
            self._stopping.wait(_TICK_S)
        # Here, not in ``stop``: when this thread ends, the kernel ends all of its children at once.
        _end(self._supervised, self._grace_s)

    def _start_next(self) -> None:
        """Starts the first part that was never started, once all before it are settled."""
        for supervised in self._supervised:
            if supervised.status.state is State.STOPPED:
                supervised.start()
                self._tell(supervised.status)
            if not supervised.settled:
                return

    def _obey(self, order: _Order) -> None:
        self._settled.clear()
        present = {one.part.name: one for one in self._supervised if one.part.name not in order.restart}
        wanted: list[Supervised] = []
        for part in order.parts:
            kept = present.get(part.name)
            wanted.append(kept if kept is not None and kept.part == part else Supervised(part, self._log_dir))
        _end([one for one in self._supervised if one not in wanted], _GRACE_S)
        self._supervised = wanted
        for supervised in wanted:
            if supervised.part.name in order.reread and supervised.status.state is not State.STOPPED:
                supervised.reread()
        order.obeyed.set()

    def _tell(self, status: PartStatus) -> None:
        if self._listener is not None:
            self._listener(status)

    def _wait(self, timeout_s: float) -> str:
        """Waits until all parts are settled; the problem when they are not."""
        since = time.monotonic()
        deadline = since + timeout_s
        while not self._settled.wait(_TICK_S):
            now = time.monotonic()
            refused = self._refused()
            since = since if refused else now
            vain = refused if now - since >= _REFUSED_S else ""
            problem = self.problem() or vain or ("" if now < deadline else self._not_ready(timeout_s))
            if self._stopping.is_set():
                return problem or "stopped before all parts were ready"
            if problem:
                return problem
        return ""

    def _refused(self) -> str:
        """What a part for which the others wait is refused; empty while none is."""
        refused = (one for one in self._supervised if one.status.refused and not one.settled)
        return next((f"{one.part.name}: {one.status.refused}" for one in refused), "")

    def _not_ready(self, timeout_s: float) -> str:
        late = [one for one in self._supervised if not one.settled]
        words = late[0].last_words() if late else ""
        return f"{late[0].part.name if late else 'a part'} was not ready after {timeout_s:.0f} s\n{words}"


def _end(supervised: Sequence[Supervised], grace_s: float) -> None:
    """Ends processes one after the other, last started first: each drains into those it sends to."""
    for one in reversed(supervised):
        one.terminate()
        one.wait(grace_s)
