# SPDX-License-Identifier: Apache-2.0
"""Signals as calls in a thread of their own.

A Python signal handler interrupts the main thread anywhere, also where it holds a lock that the handler's work needs (an
event's, the log's, a queue's). So handlers here do nothing; the interpreter writes the number to a socket, and a thread that
reads it does the work, like any other thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping


class Terminal:
    """The terminal at standard input, if the process is started on one.

    A terminal that is closed sends SIGHUP, which asks services to read their document again.
    """

    def __init__(self) -> None:
        self._was_there = os.isatty(0)

    @property
    def is_gone(self) -> bool:
        """Whether it was closed: then nobody has asked for anything."""
        return self._was_there and not os.isatty(0)


def on(actions: Mapping[signal.Signals, Callable[[], None]]) -> None:
    """Has each signal's action called from now on, one after the other; to be called once, by the main thread.

    An action must not raise. A terminal that is closed (SIGHUP) does as SIGTERM unless told otherwise, or ignored (``nohup``).
    """
    if signal.SIGTERM in actions and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        actions = {signal.SIGHUP: actions[signal.SIGTERM], **actions}
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    for number in actions:
        signal.signal(number, lambda *_: None)
        signal.siginterrupt(number, False)
    threading.Thread(target=_serve, args=(reader, dict(actions)), name="signals", daemon=True).start()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Signals wait, or go to another thread, while this one is in a call that they would end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(reader: socket.socket, actions: Mapping[signal.Signals, Callable[[], None]]) -> None:
    while arrived := reader.recv(64):
        for number in arrived:
            with contextlib.suppress(ValueError):
                if action := actions.get(signal.Signals(number)):
                    action()
