# SPDX-License-Identifier: Apache-2.0
"""The writer thread: segments to the store in their order, each with its token, again and again until the store has them.

A segment leaves the spool only when the insert returned (``store_rows_written``: durable and queryable) or was refused for
good (``store_rows_failed``). While the store does not answer, as when its process was killed, the segment is kept and offered
again with the same token, so that an insert whose answer was lost is not counted twice; those behind it wait meanwhile. One
segment is on its way at a time: at most one can be in the store without our knowing it, so a store needs to remember tokens
for no longer than a collector takes to start again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from flowgauge.collector.passing import OnDisk, Passing
from flowgauge.collector.segments import Segment, SegmentQueue
from flowgauge.errors import DataError, FlowgaugeError
from flowgauge.pipeline.graph import Pipeline
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.errors import StoreRejected, StoreUnavailable
from flowgauge.store.store import FlowStore

_RETRY_PAUSE_S = 0.5
_EASE, _EASE_S = 4, 5.0
"""After a try that takes long itself, the pause is longer by so many times that, at most so long."""
_TICK_S = 0.1
_WAIT_S = 60.0
"""A queue tells when something comes, and when it is closed."""

_log = logs.get("collector")


class Behind(OnDisk, Protocol):
    """The side of the spool from which is written to the store."""

    def acknowledge(self, segment: Segment) -> None:
        """The store has the segment."""


class Writer:
    """Writes between ``start`` and ``stop``.

    Args:
        store: tried for a short while by each call (``retry_s``); the writer itself goes on without end.
        pipeline: for segments that are on disk only.
    """

    def __init__(self, store: FlowStore, ready: SegmentQueue, spool: Behind, pipeline: Pipeline, ledger: Ledger) -> None:
        self._store, self._ready, self._spool, self._pipeline, self._ledger = store, ready, spool, pipeline, ledger
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="write", daemon=True)
        self._limit = logs.RateLimit()
        self._in_hand: Segment | None = None
        self._settling = threading.Lock()
        self.problem = ""
        """Why nothing can be written at the moment, or empty."""

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Closes the queue, writes what is in it, and gives up what the store has not taken after ``timeout_s``.

        What is on disk is not lost by that: the next collector writes it. A segment whose insert has not returned by then
        counts as failed, though the store may still take it.
        """
        self._give_up_at = time.monotonic() + timeout_s
        self._ready.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 1)
        left = [given_up] if (given_up := self._settled()) is not None else []
        while (segment := self._ready.take(0)) is not None:
            left.append(segment)
        lost = [segment for segment in left if segment.path is None]
        if lost:
            rows = sum(segment.held_rows for segment in lost)
            _log.error("flows_given_up", rows=rows, detail=self.problem or "the store is too slow")
            self._ledger.add("store_rows_failed", rows)
            for segment in lost:
                self._count(segment.ready.counts if segment.ready is not None else {})

    def _settled(self) -> Segment | None:
        """The segment in hand, to whoever asks first: what became of it is counted once."""
        with self._settling:
            segment, self._in_hand = self._in_hand, None
            return segment

    def ready(self) -> bool:
        """True while it runs; that the store does not answer is no failure of the writer's."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Segments that the store does not have yet."""
        return len(self._ready) + (self._in_hand is not None)

    @property
    def waiting_rows(self) -> int:
        """Flows in them, as decoded."""
        in_hand = self._in_hand
        return self._ready.rows + (in_hand.rows if in_hand is not None else 0)

    def _run(self) -> None:
        try:
            if not self._until_done(self._store.migrate, "migrate"):
                return
        except FlowgaugeError as error:
            self.problem = str(error)
            _log.error("store_cannot_be_used", error=self.problem)
            return
        while not self._ready.finished:
            self._in_hand = segment = self._ready.take(_WAIT_S)
            if segment is not None and not self._write(segment):
                return
            self._in_hand = None

    def _write(self, segment: Segment) -> bool:
        """Writes a segment, or counts it as failed; False when it gave up at the end."""
        segment.take_in_hand()
        passing = Passing(segment, self._spool, self._pipeline)
        rows = 0

        def insert() -> None:
            nonlocal rows
            rows = self._insert(passing, segment.token)

        try:
            if not self._until_done(insert, segment.token, dear=passing.held is None):
                return False
            counter, count = "store_rows_written", rows
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one segment, the next must be written
            counter, count = "store_rows_failed", passing.all_rows()
            self._warn("store_refused", rows=count, error=str(error), expected=isinstance(error, StoreRejected | DataError))
        if self._settled() is None:  # `stop` has given it up, and counted it
            return False
        self._ledger.add(counter, count)
        self._count(passing.counts)
        self._spool.acknowledge(segment)
        return True

    def _insert(self, passing: Passing, token: str) -> int:
        """One try; pieces are made again only for a store that is there."""
        if passing.held is not None:
            return self._store.write(passing.held, token) if len(passing.held) else 0
        if passing.tried:
            self._store.migrate()
        return self._store.write_pieces(passing.pieces(), token)

    def _count(self, counts: Mapping[str, int]) -> None:
        """What became of the flows of a segment that are not in its insert, and of which."""
        for name, count in counts.items():
            self._ledger.add(name, count)

    def _until_done(self, call: Callable[[], object], what: str, *, dear: bool = False) -> bool:
        """Calls until the store is there; False when the time to give up has come before.

        ``dear``: a try takes the processor for a while, so there is the longer a pause after it.
        """
        while True:
            began = time.monotonic()
            try:
                call()
            except StoreUnavailable as error:
                self.problem = str(error)
                self._warn("store_unavailable", what=what, error=self.problem, waiting_rows=self.waiting_rows)
                self._ledger.add("store_insert_retries")
                ease_s = min(_EASE_S, _EASE * (time.monotonic() - began)) if dear else 0.0
                if not self._pause(_RETRY_PAUSE_S + ease_s):
                    return False
            else:
                if self.problem:
                    self.problem = ""
                    _log.info("store_answers_again", waiting_rows=self.waiting_rows)
                return True

    def _pause(self, pause_s: float) -> bool:
        """Waits before the next try; False when there is to be none."""
        until = time.monotonic() + pause_s
        while time.monotonic() < min(until, self._give_up_at):
            time.sleep(_TICK_S)
        return time.monotonic() < self._give_up_at

    def _warn(self, event: str, **facts: object) -> None:
        allowed, held_back = self._limit.allow(event)
        if allowed:
            _log.warning(event, held_back=held_back, **facts)
