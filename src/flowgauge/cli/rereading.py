# SPDX-License-Identifier: Apache-2.0
"""How the commands of parts with a document are told to stop, and to read it again."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until_told(part: str, settings: Callable[[], T]) -> tuple[threading.Event, queue.SimpleQueue[T]]:
    """What SIGTERM and SIGINT set, and where SIGHUP puts what ``settings`` says then; to be called once, by the main thread.

    A mistake in the document is logged as ``part``'s, and what held before holds on. A terminal that is closed stops it.
    """
    from flowgauge.errors import UsageError
    from flowgauge.runtime import logs, signals

    stop = threading.Event()
    changes: queue.SimpleQueue[T] = queue.SimpleQueue()
    terminal = signals.Terminal()

    def reread() -> None:
        if terminal.is_gone:
            stop.set()
            return
        try:
            changes.put(settings())
        except UsageError as error:
            logs.get(part).error("settings_not_applied", error=str(error))

    signals.on({signal.SIGTERM: stop.set, signal.SIGINT: stop.set, signal.SIGHUP: reread})
    return stop, changes
