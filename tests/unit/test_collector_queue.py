# SPDX-License-Identifier: Apache-2.0
"""Segments between decoder and store: bounded memory, back-pressure, and a writer that loses none and doubles none."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from collector_kit import decoded
from flowgauge.collector import writer as module
from flowgauge.collector.no_spool import NoSpool
from flowgauge.collector.segments import Segment, SegmentQueue
from flowgauge.collector.writer import Writer
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.graph import Processed
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.errors import StoreFull, StoreRejected, StoreUnavailable
from store_kit import flows


def raw(rows: int, number: int = 1, path: Path | None = None) -> Segment:
    """A segment as the gatherer hands it on."""
    return Segment(f"x@1/{number}", rows, path, raw=[decoded(rows)])


def ready(rows: int, token: str, **counts: int) -> Segment:
    """A segment that went through the pipeline."""
    return Segment(token, rows, ready=Processed(flows("x", rows), counts))


def test_segments_come_out_in_order() -> None:
    waiting = SegmentQueue(1000)
    for number in range(3):
        assert waiting.put(raw(10, number), 0)
    assert (len(waiting), waiting.rows) == (3, 30)
    found = [segment.token for _ in range(3) if (segment := waiting.take(0)) is not None]
    assert found == ["x@1/0", "x@1/1", "x@1/2"]
    assert waiting.take(0.01) is None
    assert waiting.rows == 0


def test_what_is_in_memory_only_waits_for_room_and_is_then_refused() -> None:
    waiting = SegmentQueue(100)
    assert waiting.put(raw(90), 0)
    assert not waiting.put(raw(20), 0.05)
    assert waiting.rows == 90
    threading.Timer(0.1, lambda: waiting.take(0)).start()
    assert waiting.put(raw(20), 60)
    assert waiting.rows == 20


def test_what_is_on_disk_never_waits_and_takes_no_memory_when_there_is_no_room(tmp_path: Path) -> None:
    waiting = SegmentQueue(100)
    assert waiting.put(raw(90), 0)
    behind = raw(20, path=tmp_path / "1.seg")
    assert waiting.put(behind, 0)
    assert not behind.in_memory
    assert waiting.rows == 110
    within = raw(10, path=tmp_path / "2.seg")
    assert waiting.put(within, 0)
    assert within.in_memory


def test_an_empty_queue_takes_a_segment_of_any_size() -> None:
    assert SegmentQueue(10).put(raw(50), 0)


def test_a_closed_queue_refuses_and_can_be_emptied() -> None:
    waiting = SegmentQueue(1000)
    waiting.put(raw(5), 0)
    waiting.close()
    assert not waiting.put(raw(5), 10)
    assert not waiting.finished
    assert waiting.take(60) is not None
    assert waiting.finished
    assert waiting.take(60) is None


def test_of_two_copies_one_always_stays(tmp_path: Path) -> None:
    """Whichever of memory and file is dropped first, the other cannot be."""
    segment = raw(5, path=tmp_path / "1.seg")
    assert segment.drop_file() == (tmp_path / "1.seg", False)
    assert not segment.let_go()
    assert segment.in_memory
    other = raw(5, path=tmp_path / "2.seg")
    assert other.let_go()
    assert other.drop_file() == (tmp_path / "2.seg", True)  # the caller counts them as lost
    held = raw(5, path=tmp_path / "3.seg")
    held.take_in_hand()
    assert held.drop_file(unless_in_hand=True) == (None, False)


class Store:
    """A store that answers as told, and keeps what it took by token as a real one does."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.kept: dict[str, int] = {}
        self.calls: list[str] = []
        self.migrated = 0
        self.takes = 1 << 30
        """Pieces that it takes before it answers."""

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

    def write_pieces(self, pieces: Iterable[FlowBatch], token: str) -> int:
        """Takes or refuses, perhaps before it has seen all."""
        rows = [len(piece) for piece in itertools.islice(pieces, self.takes)]
        return self.write(flows("x", sum(rows)), token) if rows else 0


class Disk(NoSpool):
    """Has segments of three batches of four rows each, of which the pipeline leaves out one."""

    def pieces(self, segment: Segment) -> Iterator[FlowBatch]:  # noqa: ARG002 - as a spool's
        return (flows("x", 4) for _ in range(3))


def without_the_first(batch: FlowBatch) -> Processed:
    return Processed(batch.take(np.arange(1, len(batch))), {"pipeline_late": 1})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Pauses are short; a folder."""
    monkeypatch.setattr(module, "_WAIT_S", 0.02)
    monkeypatch.setattr(module, "_RETRY_PAUSE_S", 0.01)
    return tmp_path


@pytest.fixture
def written(quick: Path) -> Callable[..., tuple[Store, dict[str, int]]]:
    def write(
        *answers: Exception | None, sizes: tuple[int, ...] = (10, 20), stop_s: float = 60.0, late: int = 0
    ) -> tuple[Store, dict[str, int]]:
        store, ledger, waiting = Store(*answers), Ledger("collector", "x@1"), SegmentQueue(10_000)
        writer = Writer(store, waiting, NoSpool("x@1"), lambda batch: Processed(batch, {}), ledger)  # type: ignore[arg-type]
        writer.start()
        for number, size in enumerate(sizes):
            waiting.put(ready(size, f"x@1/{number}", pipeline_late=late), 1)
            deadline = time.monotonic() + 0.3
            while writer.waiting and time.monotonic() < deadline:
                time.sleep(0.005)
        writer.stop(stop_s)
        return store, ledger.snapshot()

    return write


def test_each_segment_is_written_with_its_token(written: Callable[..., tuple[Store, dict[str, int]]]) -> None:
    store, counted = written()
    assert store.kept == {"x@1/0": 10, "x@1/1": 20}
    assert counted == {"store_rows_written": 30}
    assert store.migrated == 1


def test_what_the_pipeline_left_out_is_counted_with_the_rest(written: Callable[..., tuple[Store, dict[str, int]]]) -> None:
    _, counted = written(StoreUnavailable("away"), StoreRejected("no"), late=3)
    assert counted == {"store_rows_failed": 10, "store_rows_written": 20, "pipeline_late": 6, "store_insert_retries": 1}


def test_a_store_that_is_away_gets_the_same_segment_with_the_same_token(
    written: Callable[..., tuple[Store, dict[str, int]]],
) -> None:
    store, counted = written(StoreUnavailable("away"), StoreFull("full"), StoreUnavailable("away"), sizes=(10,))
    assert store.calls == ["x@1/0"] * 4
    assert counted == {"store_rows_written": 10, "store_insert_retries": 3}


def test_a_refused_segment_is_counted_and_the_next_one_written(written: Callable[..., tuple[Store, dict[str, int]]]) -> None:
    for refusal in (StoreRejected("no"), ValueError("a mistake of ours")):
        store, counted = written(refusal)
        assert store.kept == {"x@1/1": 20}
        assert counted == {"store_rows_failed": 10, "store_rows_written": 20}


def test_what_the_store_did_not_take_until_the_end_is_counted(written: Callable[..., tuple[Store, dict[str, int]]]) -> None:
    away = [StoreUnavailable("away")] * 10_000
    store, counted = written(*away, sizes=(10, 20), stop_s=0.2, late=2)
    assert store.kept == {}
    assert counted["store_rows_failed"] == 30
    assert counted["pipeline_late"] == 4


@pytest.mark.parametrize(
    ("answers", "takes", "counted", "migrated"),
    [
        ([], 9, {"store_rows_written": 9, "pipeline_late": 3}, 1),
        ([StoreUnavailable("away")] * 2, 9, {"store_rows_written": 9, "pipeline_late": 3, "store_insert_retries": 2}, 3),
        ([StoreRejected("no")], 9, {"store_rows_failed": 9, "pipeline_late": 3}, 1),
        ([StoreRejected("no")], 1, {"store_rows_failed": 9, "pipeline_late": 3}, 1),
    ],
    ids=["taken", "away twice", "refused", "refused at the first piece"],
)
def test_a_segment_on_disk_goes_piece_by_piece_and_is_counted_once(
    quick: Path, answers: list[Exception], takes: int, counted: dict[str, int], migrated: int
) -> None:
    store, ledger, waiting = Store(*answers), Ledger("collector", "x@1"), SegmentQueue(10_000)
    store.takes = takes
    writer = Writer(store, waiting, Disk("x@1"), without_the_first, ledger)  # type: ignore[arg-type]
    writer.start()
    waiting.put(Segment("x@1/1", 12, quick / "1.seg"), 1)
    writer.stop(60.0)
    assert ledger.snapshot() == counted
    assert store.migrated == migrated


def test_an_insert_that_returns_after_the_end_is_not_counted_a_second_time() -> None:
    begun, answered, returned = (threading.Event() for _ in range(3))

    class Slow(Store):
        def write(self, batch: FlowBatch, token: str) -> int:
            """Takes, and says so late."""
            begun.set()
            answered.wait(60)
            try:
                return super().write(batch, token)
            finally:
                returned.set()

    store, ledger, waiting = Slow(), Ledger("collector", "x@1"), SegmentQueue(10_000)
    writer = Writer(store, waiting, NoSpool("x@1"), lambda batch: Processed(batch, {}), ledger)  # type: ignore[arg-type]
    writer.start()
    waiting.put(ready(10, "x@1/0"), 1)
    assert begun.wait(60)
    writer.stop(0.0)
    answered.set()
    assert returned.wait(60)
    deadline = time.monotonic() + 60
    while writer.ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ledger.snapshot() == {"store_rows_failed": 10}
