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
from collections.abc import Callable
from typing import Protocol

from flowgauge.collector.process import processed
from flowgauge.collector.segments import Segment, SegmentQueue
from flowgauge.errors import DataError, FlowgaugeError
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.graph import Pipeline, Processed
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.errors import StoreRejected, StoreUnavailable
from flowgauge.store.store import FlowStore

_RETRY_PAUSE_S = 0.5
_TICK_S = 0.1
_WAIT_S = 60.0
"""A queue tells when something comes, and when it is closed."""

_log = logs.get("collector")


class Behind(Protocol):
    """The side of the spool from which is written to the store."""

    def read(self, segment: Segment) -> FlowBatch | None:
        """The flows of a segment on disk, None when none can be read."""

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
                self._count(segment)

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
        result = segment.ready or self._read_back(segment)
        if result is None:
            self._spool.acknowledge(segment)
            return True
        segment.ready = result
        rows = 0

        def insert() -> None:
            nonlocal rows
            rows = self._store.write(result.flows, segment.token)

        try:
            if len(result.flows) and not self._until_done(insert, segment.token):
                return False
            counter, count = "store_rows_written", rows
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one segment, the next must be written
            counter, count = "store_rows_failed", len(result.flows)
            self._warn("store_refused", rows=len(result.flows), error=str(error),
                       expected=isinstance(error, StoreRejected | DataError))  # fmt: skip
        if self._settled() is None:  # `stop` has given it up, and counted it
            return False
        self._ledger.add(counter, count)
        self._count(segment)
        self._spool.acknowledge(segment)
        return True

    def _count(self, segment: Segment) -> None:
        """What became of the flows of a segment that are not in its insert, and of which."""
        for name, count in (segment.ready.counts if segment.ready is not None else {}).items():
            self._ledger.add(name, count)

    def _read_back(self, segment: Segment) -> Processed | None:
        """What is to be stored of a segment on disk; None when there is nothing (it was shed, or is damaged)."""
        flows = self._spool.read(segment)
        return processed(self._pipeline, flows) if flows is not None else None

    def _until_done(self, call: Callable[[], object], what: str) -> bool:
        """Calls until the store is there; False when the time to give up has come before."""
        while True:
            try:
                call()
            except StoreUnavailable as error:
                self.problem = str(error)
                self._warn("store_unavailable", what=what, error=self.problem, waiting_rows=self.waiting_rows)
                self._ledger.add("store_insert_retries")
                if not self._pause():
                    return False
            else:
                if self.problem:
                    self.problem = ""
                    _log.info("store_answers_again", waiting_rows=self.waiting_rows)
                return True

    def _pause(self) -> bool:
        """Waits before the next try; False when there is to be none."""
        until = time.monotonic() + _RETRY_PAUSE_S
        while time.monotonic() < min(until, self._give_up_at):
            time.sleep(_TICK_S)
        return time.monotonic() < self._give_up_at

    def _warn(self, event: str, **facts: object) -> None:
        allowed, held_back = self._limit.allow(event)
        if allowed:
            _log.warning(event, held_back=held_back, **facts)
