# SPDX-License-Identifier: Apache-2.0
"""The queue of flows between the pipeline and the store's writer, bounded in rows.

One thread puts, one takes. A full queue makes the putting thread wait, which fills the receive queue and then the socket's
buffer: that is the back-pressure of a slow store.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from flowgauge.flow.batch import FlowBatch


class RowQueue:
    """Holds batches of at most ``max_rows`` rows altogether."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self._batches: deque[FlowBatch] = deque()
        self._rows = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    def put(self, batch: FlowBatch, timeout_s: float) -> bool:
        """Adds ``batch``, waiting for room; False when there was none within ``timeout_s``, or after ``close``."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_room(len(batch)), timeout_s) or self._closed:
                return False
            self._batches.append(batch)
            self._rows += len(batch)
            self._changed.notify_all()
            return True

    def take(self, max_rows: int, max_wait_s: float) -> list[FlowBatch]:
        """What is there once it is ``max_rows`` rows, or ``max_wait_s`` after the first came; at least one batch.

        An empty list means that nothing came for ``max_wait_s``; after ``close``, that nothing is left.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._batches, max_wait_s):
                return []
            deadline = time.monotonic() + max_wait_s
            self._changed.wait_for(lambda: self._closed or self._rows >= max_rows, deadline - time.monotonic())
            taken: list[FlowBatch] = []
            rows = 0
            while self._batches and (not taken or rows + len(self._batches[0]) <= max_rows):
                taken.append(self._batches.popleft())
                rows += len(taken[-1])
            self._rows -= rows
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Takes nothing more; what is there can still be taken, without waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._closed and not self._batches

    def _has_room(self, rows: int) -> bool:
        """An empty queue takes a batch of any size."""
        return not self._batches or self._rows + rows <= self.max_rows
