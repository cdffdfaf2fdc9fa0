# SPDX-License-Identifier: Apache-2.0
"""Segments: the flows that are written together, and the queues in which they wait, bounded by the rows held in memory.

A segment is known by its token, which stays the same however often it is tried, by whichever instance. Its flows are in
memory, as decoded (``raw``) or as they are stored (``ready``), or in the spool's file, from where they can be read again, or
both. Either copy may be dropped while the other is there; two threads that want to drop one each are kept apart here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.graph import Processed


@dataclass(slots=True, eq=False)
class Segment:
    """Flows that are one insert.

    Attributes:
        token: instance and number; names them in the store for good.
        rows: flows as decoded.
        path, size: file in the spool and its bytes; None and 0 when they are in memory only.
        raw: as decoded; empty when they are not held.
        ready: as they are stored, and what became of the rest; None when they are not held.
        begun_at, sealed_at: when it was begun and ended, by the monotonic clock.
        synced: whether its file would outlive a power cut.
        in_hand: being read or written: its file is not to be shed.
        fresh: on disk only because another process decoded it, and first in its turn: that it is read back says nothing
            about the store.
        damaged: rows that could not be read back, when it was read last.
    """

    token: str
    rows: int = 0
    path: Path | None = None
    size: int = 0
    raw: list[FlowBatch] = field(default_factory=list)
    ready: Processed | None = None
    begun_at: float = field(default_factory=time.monotonic)
    sealed_at: float = 0.0
    synced: bool = False
    in_hand: bool = False
    fresh: bool = False
    damaged: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def held_rows(self) -> int:
        """Rows of it in memory."""
        return len(self.ready.flows) if self.ready is not None else sum(map(len, self.raw))

    @property
    def in_memory(self) -> bool:
        """Whether memory has all of it."""
        return self.ready is not None or bool(self.raw)

    def processed(self, result: Processed) -> None:
        """Holds what is to be stored instead of what was decoded."""
        with self._lock:
            self.ready, self.raw, self.in_hand = result, [], False

    def let_go(self) -> bool:
        """Keeps on disk only; False, and nothing happens, when it is not on disk."""
        with self._lock:
            if self.path is None:
                return False
            self.raw, self.ready = [], None
            return True

    def drop_file(self, *, unless_in_hand: bool = False) -> tuple[Path | None, bool]:
        """Is no longer on disk: (the file that is to be removed, None when there is none; whether its flows are lost)."""
        with self._lock:
            if unless_in_hand and self.in_hand:
                return None, False
            path, self.path = self.path, None
            self.size = 0
            return path, path is not None and not self.in_memory

    def take_in_hand(self) -> None:
        """Its file, if it has one, is not shed from now on."""
        with self._lock:
            self.in_hand = True


class SegmentQueue:
    """Segments in their order; those in it hold about ``max_rows`` rows in memory at most, the rest is on disk.

    One thread puts, one takes. Where a segment is not on disk, a full queue makes the putting thread wait, which fills the
    receive queue and then the socket's buffer: that is the back-pressure of a slow store.
    """

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self._segments: deque[tuple[Segment, int]] = deque()
        self._held = 0
        self._rows = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def rows(self) -> int:
        """Rows that wait, in memory or on disk."""
        return self._rows

    def has_room(self, rows: int) -> bool:
        """Whether so many rows more may be held in memory; an empty memory takes a segment of any size."""
        return not self._held or self._held + rows <= self.max_rows

    def put(self, segment: Segment, timeout_s: float) -> bool:
        """Adds a segment, on disk only if there is no room in memory.

        One that is not on disk waits for room; False when there was none within ``timeout_s``, or after ``close``.
        """
        held = segment.held_rows
        with self._changed:
            if not self.has_room(held):
                if segment.let_go():
                    held = 0
                elif not self._changed.wait_for(lambda: self._closed or self.has_room(held), timeout_s):
                    return False
            if self._closed:
                return False
            self._segments.append((segment, held))
            self._held += held
            self._rows += segment.rows
            self._changed.notify_all()
            return True

    def take(self, max_wait_s: float) -> Segment | None:
        """The oldest segment; None when none came within ``max_wait_s``, or, after ``close``, none is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._segments, max_wait_s)
            if not self._segments:
                return None
            segment, held = self._segments.popleft()
            self._held -= held
            self._rows -= segment.rows
            self._changed.notify_all()
            return segment

    def close(self) -> None:
        """Takes nothing more; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._closed and not self._segments
