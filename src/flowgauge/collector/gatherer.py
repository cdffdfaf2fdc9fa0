# SPDX-License-Identifier: Apache-2.0
"""Decoded batches become segments: written ahead to the spool at once, handed on when there are enough or it is time.

The size of a segment follows the load: one a second while the store keeps up, so that flows are seen soon; up to ``MAX_ROWS``,
or ``DISK_ROWS``, while others wait already, since names and inserts cost less the more flows share them. Used by the decode
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from flowgauge.collector.segments import Segment
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.clock import now_ns

MAX_ROWS = 100_000
"""Rows of a segment that is held in memory: beyond it an insert's cost per row hardly falls, below it it rises (measured)."""
DISK_ROWS = 300_000
"""… of one on disk only, which is written piece by piece: parts that are three times as large are merged once less."""
MAX_AGE_S = 1.25
"""Age at which a smaller segment is handed on all the same, counted from when its first flow was received: a flow is to be
seen within 3 s of its export. At a low rate the receiver waits for most of it (``receiver.QUIET_FLUSH_S``)."""
MAX_WAITED_S = 1.0
"""What counts of the time before it was decoded, at most: flows may have waited for their template, and clocks are set."""
BUSY_ROWS, BUSY_AGE_S = 20_000, 2.5
"""… and one that has so many rows by then: the store's cost per row falls by a third from 50 000 rows to 100 000."""
PATIENT_AGE_S = 5.0
"""… while segments wait for the store already and nobody watches: this one would only wait, too."""
BACKLOG = 2
"""So many segments that wait are a backlog."""
QUEUE_WAIT_S = 1.0
"""How long a segment that is in memory only waits for room before it is dropped and counted."""


class Ahead(Protocol):
    """The side of the spool to which is written ahead."""

    def begin(self) -> Segment:
        """A new segment."""

    def append(self, segment: Segment, batch: FlowBatch) -> bool:
        """Puts a batch on disk; False when that cannot be."""

    def seal(self, segment: Segment) -> None:
        """Nothing more is added."""


class Onward(Protocol):
    """Who gets the segments."""

    def put(self, segment: Segment, timeout_s: float) -> bool:
        """Takes a segment that was sealed; False when there was no room for it within ``timeout_s``."""


class Gatherer:
    """Gathers for ``onward``.

    Args:
        waiting: how many segments wait for the store.
        watched: whether somebody looks at flows as they pass.
        dropped: called with a segment for which there was no room.
        holds: whether flows on disk stay in memory, too.
    """

    def __init__(self, spool: Ahead, onward: Onward, *, waiting: Callable[[], int], watched: Callable[[], bool],
                 dropped: Callable[[Segment], None], holds: bool = True) -> None:  # fmt: skip
        self._spool, self._onward, self._holds = spool, onward, holds
        self._waiting, self._watched, self._dropped = waiting, watched, dropped
        self._open: Segment | None = None

    def add(self, batch: FlowBatch) -> None:
        """Takes a decoded batch; when this returns it outlives this process, if the disk can be written."""
        if self._open is None:
            self._open = self._spool.begin()
            self._open.begun_at -= _waited_s(batch)
        segment = self._open
        on_disk = self._spool.append(segment, batch)
        if not on_disk and segment.path is not None:
            self.hand_on()  # what is on disk already; the rest is another segment, on disk or not
            self.add(batch)
            return
        if self._holds or not on_disk:
            segment.raw.append(batch)
        segment.rows += len(batch)
        held = self._holds or not on_disk or self._watched()
        if segment.rows >= (MAX_ROWS if held else DISK_ROWS):
            self.hand_on()

    def due_in_s(self) -> float | None:
        """Seconds until the open segment is to be handed on; None when there is none."""
        if self._open is None:
            return None
        max_age_s = BUSY_AGE_S if self._open.rows >= BUSY_ROWS else MAX_AGE_S
        if self._waiting() >= BACKLOG and not self._watched():
            max_age_s = PATIENT_AGE_S
        return max(0.0, self._open.begun_at + max_age_s - time.monotonic())

    def hand_on(self) -> None:
        """Ends the open segment, if there is one."""
        segment, self._open = self._open, None
        if segment is None:
            return
        self._spool.seal(segment)
        if not self._onward.put(segment, QUEUE_WAIT_S):
            self._dropped(segment)


def _waited_s(batch: FlowBatch) -> float:
    """How long ago the first of these flows was received."""
    if "time_received_ns" not in batch:
        return 0.0
    waited_s = (now_ns() - int(batch.array("time_received_ns").min())) / 1e9
    return min(max(waited_s, 0.0), MAX_WAITED_S)
