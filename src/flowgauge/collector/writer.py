# SPDX-License-Identifier: Apache-2.0
"""The writer thread: batches from the queue to the store, each with a token, again and again until the store has them.

A batch leaves here only when the insert returned (``store_rows_written``: durable and queryable) or was refused for good
(``store_rows_failed``). While the store does not answer, as when its process was killed, the batch is kept and offered again
with the same token, so that an insert whose answer was lost is not counted twice; the queue behind it fills meanwhile.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

from flowgauge.collector.row_queue import RowQueue
from flowgauge.errors import DataError, FlowgaugeError
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.errors import StoreRejected, StoreUnavailable
from flowgauge.store.store import FlowStore

MAX_BATCH_ROWS = 100_000
"""Rows of one insert: beyond it the store's cost per row hardly falls, below it it rises (measured)."""
MAX_WAIT_S = 1.0
"""Age at which a smaller batch is written all the same: a flow is to be seen within 3 s of its export."""
_RETRY_PAUSE_S = 0.5
_TICK_S = 0.1

_log = logs.get("collector")


class Writer:
    """Writes between ``start`` and ``stop``.

    Args:
        store: tried for a short while by each call (``retry_s``); the writer itself goes on without end.
        instance: begins each token, so that those of another start differ.
    """

    def __init__(self, store: FlowStore, rows: RowQueue, ledger: Ledger, instance: str) -> None:
        self._store, self._rows, self._ledger = store, rows, ledger
        self._tokens = (f"{instance}/{number}" for number in itertools.count())
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="write", daemon=True)
        self._limit = logs.RateLimit()
        self.in_hand = 0
        """Rows taken from the queue that the store does not have yet."""
        self.problem = ""
        """Why nothing can be written at the moment, or empty."""

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Closes the queue, writes what is in it, and gives up what the store has not taken after ``timeout_s``."""
        self._give_up_at = time.monotonic() + timeout_s
        self._rows.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 1)
        left = self._rows.rows + self.in_hand
        if left:
            _log.error("flows_given_up", rows=left, detail=self.problem or "the store is too slow")
            self._ledger.add("store_rows_failed", left)

    def ready(self) -> bool:
        """True while it runs; that the store does not answer is no failure of the writer's."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            if not self._until_done(self._store.migrate, "migrate"):
                return
        except FlowgaugeError as error:
            self.problem = str(error)
            _log.error("store_cannot_be_used", error=self.problem)
            return
        while not self._rows.finished:
            batches = self._rows.take(MAX_BATCH_ROWS, MAX_WAIT_S)
            if batches:
                self.in_hand = sum(map(len, batches))
                if not self._write(FlowBatch.concat(batches), next(self._tokens)):
                    return
                self.in_hand = 0

    def _write(self, batch: FlowBatch, token: str) -> bool:
        """Writes or counts as failed; False when it gave up at the end."""

        def insert() -> None:
            self._ledger.add("store_rows_written", self._store.write(batch, token))

        try:
            return self._until_done(insert, token)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one batch, the next must be written
            self._ledger.add("store_rows_failed", len(batch))
            self._warn(
                "store_refused", rows=len(batch), error=str(error), expected=isinstance(error, StoreRejected | DataError)
            )
            return True

    def _until_done(self, call: Callable[[], object], what: str) -> bool:
        """Calls until the store is there; False when the time to give up has come before."""
        while True:
            try:
                call()
            except StoreUnavailable as error:
                self.problem = str(error)
                self._warn("store_unavailable", what=what, error=self.problem, waiting_rows=self._rows.rows + self.in_hand)
                self._ledger.add("store_insert_retries")
                if not self._pause():
                    return False
            else:
                if self.problem:
                    self.problem = ""
                    _log.info("store_answers_again", waiting_rows=self._rows.rows)
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
