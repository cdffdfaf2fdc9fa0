# SPDX-License-Identifier: Apache-2.0
"""The bounded queue before the store, and the writer behind it: no row twice, none lost, whatever the store does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from flowgauge.collector import writer as module
from flowgauge.collector.row_queue import RowQueue
from flowgauge.collector.writer import Writer
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.errors import StoreFull, StoreRejected, StoreUnavailable
from store_kit import flows


def rows(batches: list[FlowBatch]) -> int:
    return sum(map(len, batches))


def test_batches_come_out_in_order_and_no_more_rows_than_asked() -> None:
    waiting = RowQueue(1000)
    for size in (10, 20, 30, 40):
        assert waiting.put(flows("x", size), 0)
    assert [len(batch) for batch in waiting.take(60, 0.01)] == [10, 20, 30]
    assert [len(batch) for batch in waiting.take(5, 0.01)] == [40]  # at least one
    assert waiting.take(5, 0.01) == []
    assert waiting.rows == 0


def test_a_full_queue_makes_the_one_who_puts_wait_and_then_refuses() -> None:
    waiting = RowQueue(100)
    assert waiting.put(flows("x", 90), 0)
    assert not waiting.put(flows("x", 20), 0.05)
    assert waiting.rows == 90
    threading.Timer(0.1, lambda: waiting.take(1, 0)).start()
    assert waiting.put(flows("x", 20), 10)
    assert waiting.rows == 20


def test_an_empty_queue_takes_a_batch_of_any_size() -> None:
    assert RowQueue(10).put(flows("x", 50), 0)


def test_take_returns_at_once_when_there_is_enough() -> None:
    waiting = RowQueue(1000)
    threading.Timer(0.1, lambda: waiting.put(flows("x", 100), 0)).start()
    assert rows(waiting.take(100, 60)) == 100


def test_a_closed_queue_refuses_and_can_be_emptied() -> None:
    waiting = RowQueue(1000)
    waiting.put(flows("x", 5), 0)
    waiting.close()
    assert not waiting.put(flows("x", 5), 10)
    assert not waiting.finished
    assert rows(waiting.take(1, 60)) == 5
    assert waiting.finished
    assert waiting.take(1, 60) == []


class Store:
    """A store that answers as told, and keeps what it took by token as a real one does."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.kept: dict[str, int] = {}
        self.calls: list[str] = []
        self.migrated = 0

    def migrate(self) -> None:
        """Counts."""
        self.migrated += 1

    def write(self, batch: FlowBatch, token: str) -> int:
        """Takes or refuses."""
        self.calls.append(token)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.kept.setdefault(token, len(batch))
        return len(batch)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Store, dict[str, int]]]:
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.02)
    monkeypatch.setattr(module, "_RETRY_PAUSE_S", 0.01)

    def write(
        *answers: Exception | None, sizes: tuple[int, ...] = (10, 20), stop_s: float = 10.0
    ) -> tuple[Store, dict[str, int]]:
        store, ledger, waiting = Store(*answers), Ledger("collector", "x@1"), RowQueue(10_000)
        writer = Writer(store, waiting, ledger, "x@1")  # type: ignore[arg-type]
        writer.start()
        for size in sizes:
            waiting.put(flows("x", size), 1)
            deadline = time.monotonic() + 0.3
            while waiting.rows and time.monotonic() < deadline:
                time.sleep(0.005)
        writer.stop(stop_s)
        return store, ledger.snapshot()

    return write


def test_each_batch_has_a_token_of_its_own(written: Callable[..., tuple[Store, dict[str, int]]]) -> None:
    store, counted = written()
    assert store.kept == {"x@1/0": 10, "x@1/1": 20}
    assert counted == {"store_rows_written": 30}
    assert store.migrated == 1


def test_a_store_that_is_away_gets_the_same_batch_with_the_same_token(
    written: Callable[..., tuple[Store, dict[str, int]]],
) -> None:
    store, counted = written(StoreUnavailable("away"), StoreFull("full"), StoreUnavailable("away"), sizes=(10,))
    assert store.calls == ["x@1/0"] * 4
    assert counted == {"store_rows_written": 10, "store_insert_retries": 3}


def test_a_refused_batch_is_counted_and_the_next_one_written(written: Callable[..., tuple[Store, dict[str, int]]]) -> None:
    for refusal in (StoreRejected("no"), ValueError("a mistake of ours")):
        store, counted = written(refusal)
        assert store.kept == {"x@1/1": 20}
        assert counted == {"store_rows_failed": 10, "store_rows_written": 20}


def test_what_the_store_did_not_take_until_the_end_is_counted(written: Callable[..., tuple[Store, dict[str, int]]]) -> None:
    away = [StoreUnavailable("away")] * 10_000
    store, counted = written(*away, sizes=(10, 20), stop_s=0.2)
    assert store.kept == {}
    assert counted["store_rows_failed"] == 30
