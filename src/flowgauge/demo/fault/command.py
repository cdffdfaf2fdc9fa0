# SPDX-License-Identifier: Apache-2.0
"""``flowgauge demo fault``: finds the running demo, begins a fault, waits, and ends it whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time
from pathlib import Path

from flowgauge.demo import scene_file
from flowgauge.demo.fault.killed import lock_path
from flowgauge.demo.fault.kinds import KINDS
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.runtime import instance, signals

_POLL_S = 0.2


def listing() -> str:
    """Every kind with its summary."""
    width = max(map(len, KINDS))
    return "\n".join(f"{kind:<{width}}  {fault.summary}" for kind, fault in KINDS.items())


def put(kind: str, duration_s: float | None) -> None:
    """Puts a fault into the running demo for so long; None: until Ctrl-C or SIGTERM. It ends with the demo at the latest.

    Raises:
        UsageError: there is no such kind, it is there already, no demo runs, or it is not root's.
        EnvironmentProblem: the kernel refused something; nothing of the fault is left then.
    """
    fault = KINDS.get(kind)
    if fault is None:
        raise UsageError(f"there is no fault {kind!r}; there are {', '.join(KINDS)}")
    folder = _folder()
    stop = threading.Event()
    signals.on({signal.SIGINT: stop.set, signal.SIGTERM: stop.set})
    with contextlib.ExitStack() as undo:
        _alone(folder, kind, undo)
        try:
            done = fault.begin(scene_file.read(folder), undo)
        except OSError as error:
            raise EnvironmentProblem(f"the fault cannot be put into the scene: {error}") from error
        until = "until Ctrl-C" if duration_s is None else f"for {duration_s:.0f} s"
        _say(f"{kind}: {done}, {until}; see: flowgauge troubles '{fault.filter}'")
        _wait(folder, stop, duration_s)
    _say(f"{kind}: removed{'' if scene_file.exists(folder) else ', since the demo ends'}")


def _wait(folder: Path, stop: threading.Event, duration_s: float | None) -> None:
    deadline = None if duration_s is None else time.monotonic() + duration_s
    while not stop.wait(_POLL_S) and scene_file.exists(folder):
        if deadline is not None and time.monotonic() >= deadline:
            return


def _alone(folder: Path, kind: str, undo: contextlib.ExitStack) -> None:
    """Refuses a second fault of a kind: it would take over the first one's rule, and what that dropped would be forgotten."""
    lock = undo.enter_context(lock_path(folder, kind).open("w", encoding="ascii"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with us, also when we are killed
    except BlockingIOError as error:
        raise UsageError(f"the fault {kind} is in the demo already: end that one first, or choose another kind") from error


def _folder() -> Path:
    """The folder of the running demo."""
    running = instance.find()
    if running is None or running.kind != "demo":
        raise UsageError("no demo is running; start one with: sudo ./flowgauge demo")
    if os.geteuid() != 0:
        raise UsageError("a fault changes the scene's network, which needs root: sudo ./flowgauge demo fault …")
    return Path(running.data_dir)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is the output
