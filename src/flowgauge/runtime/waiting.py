# SPDX-License-Identifier: Apache-2.0
"""Waiting for a descriptor without looking again and again whether to stop: a thread with nothing to do sleeps."""

from __future__ import annotations

import os
import select


class Waiting:
    """One thread waits until ``descriptor`` can be read; any other may end that with ``wake``, for good."""

    def __init__(self, descriptor: int) -> None:
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        for one in (descriptor, self._woken):
            self._poll.register(one, select.POLLIN)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether there is something to read, or ``wake`` was called, within ``timeout_s``; None waits without end."""
        return bool(self._poll.poll(None if timeout_s is None else timeout_s * 1000))

    def wake(self) -> None:
        """Ends the wait that goes on, and every later one at once."""
        os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        """Gives its own descriptor back; nobody waits any more."""
        os.close(self._woken)
