# SPDX-License-Identifier: Apache-2.0
"""Of settings that wait to be taken over only the last matter: each are whole, and taking over may last longer than writing."""

from __future__ import annotations

import queue
from typing import TypeVar

T = TypeVar("T")


def newest(waiting: queue.SimpleQueue[T]) -> T | None:
    """The last of what waits, which leaves nothing waiting; None where nothing does. Its caller is the only reader."""
    found = None
    while not waiting.empty():
        found = waiting.get()
    return found
