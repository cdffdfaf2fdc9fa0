# SPDX-License-Identifier: Apache-2.0
"""The spool on a real disk: what was appended is read back, whatever was cut off, and its folder finds its next owner."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from agent_kit import until
from collector_kit import decoded
from flowgauge.collector import frames, gatherer
from flowgauge.collector import spool as module
from flowgauge.collector.gatherer import Gatherer
from flowgauge.collector.no_spool import NoSpool
from flowgauge.collector.segments import Segment, SegmentQueue
from flowgauge.collector.spool import Spool
from flowgauge.config.model import Spool as Settings
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger

MiB = 1 << 20


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Starts spools over one folder, as one collector after the other; those that were not stopped are, at the end."""
    made: list[Spool] = []

    def start(start_ms: int = 1, **settings: object) -> Spool:
        spool = Spool(tmp_path / "spool", Settings(**settings), Ledger("collector", f"box@{start_ms}"))  # type: ignore[arg-type]
        spool.start()
        spool.adopted = spool.adopt()  # type: ignore[attr-defined]
        made.append(spool)
        return spool

    yield start
    for spool in made:
        spool.stop(told=True)


def die(spool: Spool) -> None:
    """As kill -9 leaves it: nothing is flushed, noted or removed, and the kernel gives the lock back."""
    spool._stopping.set()
    spool._thread.join()
    assert spool._own is not None
    spool._own.release()
    for folder in spool._former.values():
        folder.release()


def put(spool: Spool, *sizes: int, seal: bool = True, held: bool = False) -> Segment:
    """A segment of batches of these sizes."""
    segment = spool.begin()
    for size in sizes:
        batch = decoded(size, src_port=list(range(size)))
        assert spool.append(segment, batch)
        segment.rows += size
        if held:
            segment.raw.append(batch)
    if seal:
        spool.seal(segment)
    return segment


def same(one: FlowBatch, other: FlowBatch) -> bool:
    def equal(name: str) -> bool:
        a, b = one[name], other[name]
        return a.to_list() == b.to_list() if isinstance(a, Names) and isinstance(b, Names) else np.array_equal(a, b)  # type: ignore[arg-type]

    return set(one) == set(other) and all(map(equal, one))


def random_flows(rows: int) -> FlowBatch:
    """Flows that do not compress."""
    random = np.random.default_rng(rows)
    return decoded(rows).with_columns({
        "src_addr": random.integers(0, 256, (rows, 16), np.uint8), "dst_addr": random.integers(0, 256, (rows, 16), np.uint8),
        "bytes": random.integers(0, 1 << 40, rows).astype(np.uint64),
    })  # fmt: skip


def test_what_is_appended_is_read_back(spools: Callable[..., Spool]) -> None:
    spool = spools()
    batches = [decoded(7), decoded(5, flow_format="ipfix", vlan_id=[1, 2, 3, 4, 5]), decoded(1)]
    segment = spool.begin()
    for batch in batches:
        assert spool.append(segment, batch)
    spool.seal(segment)
    found = spool.read(segment)
    assert found is not None
    assert same(found, FlowBatch.concat(batches))
    assert spool._ledger.snapshot() == {"spool_rows_replayed": 13}


def test_a_flow_takes_less_than_100_bytes_even_if_nothing_repeats(tmp_path: Path) -> None:
    assert len(frames.frame(random_flows(10_000))) < 100 * 10_000


def test_an_acknowledged_segment_is_gone_and_an_empty_folder_with_it(spools: Callable[..., Spool], tmp_path: Path) -> None:
    spool = spools()
    segment = put(spool, 10)
    assert (spool.segments, spool.bytes) == (1, segment.size)
    spool.acknowledge(segment)
    assert (spool.segments, spool.bytes) == (0, 0)
    spool.stop(told=True)
    assert list((tmp_path / "spool").iterdir()) == []


def test_the_next_collector_adopts_what_a_killed_one_left_in_order_with_its_tokens(spools: Callable[..., Spool]) -> None:
    first = spools(5)
    put(first, 10)
    put(first, 20, 5)
    put(first, 3, seal=False)  # the open one, too
    die(first)
    second = spools(7)
    assert [(one.token, one.rows) for one in second.adopted] == [("box@5/1", 10), ("box@5/2", 25), ("box@5/3", 3)]  # type: ignore[attr-defined]
    assert second._ledger.snapshot()["spool_rows_adopted"] == 38
    put(second, 1)
    die(second)
    third = spools(9)
    assert [one.token for one in third.adopted] == ["box@5/1", "box@5/2", "box@5/3", "box@7/1"]  # type: ignore[attr-defined]


def test_collectors_that_ended_with_nothing_leave_no_folder(spools: Callable[..., Spool], tmp_path: Path) -> None:
    """As in a loop of starts while the store is away: folders, their locks and warnings would add up."""
    for number in range(1, 4):
        die(spools(number))
    left = spools(4)
    put(left, 3)
    die(left)
    spools(5)
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == ["box@4", "box@5"]


def test_a_running_collectors_folder_is_not_adopted(spools: Callable[..., Spool]) -> None:
    put(spools(1), 10)
    assert spools(2).adopted == []  # type: ignore[attr-defined]


def test_counters_of_a_killed_collector_are_told_once_and_exactly(spools: Callable[..., Spool], tmp_path: Path) -> None:
    first = spools(1)
    first._ledger.add("sequence_gap_records", 3)
    segment, left = put(first, 10), put(first, 20)
    first._ledger.add("store_rows_written", 10)
    first.acknowledge(segment)
    die(first)
    second = spools(2)
    assert second.former_ledgers == {"box@1": {"sequence_gap_records": 3, "store_rows_written": 10}}
    second.told({"box@1"})
    assert second.former_ledgers == {}
    assert (tmp_path / "spool" / "box@1").exists()  # its segment is not in the store yet
    (adopted,) = second.adopted  # type: ignore[attr-defined]
    assert adopted.token == left.token
    second.acknowledge(adopted)
    assert not (tmp_path / "spool" / "box@1").exists()


def test_a_ledger_as_earlier_versions_noted_it_is_read(spools: Callable[..., Spool], tmp_path: Path) -> None:
    first = spools(1)
    put(first, 10)
    die(first)
    folder = tmp_path / "spool" / "box@1"
    (folder / "ledger").unlink()
    (folder / "ledger.json").write_text('{"counters": {"store_rows_written": 7}, "acknowledged": ""}')
    second = spools(2)
    assert [segment.rows for segment in second.adopted] == [10]  # type: ignore[attr-defined]
    assert second.former_ledgers == {"box@1": {"store_rows_written": 7}}


def test_killed_between_count_and_removal_a_segment_is_not_counted_again(spools: Callable[..., Spool]) -> None:
    first = spools(1)
    counted, left = put(first, 10), put(first, 20)
    first._ledger.add("store_rows_written", 10)
    first.checkpoint(counted.token)
    die(first)
    second = spools(2)
    assert [one.token for one in second.adopted] == [left.token]  # type: ignore[attr-defined]
    # The same for a segment that was adopted itself.
    second._ledger.add("store_rows_written", 20)
    second.checkpoint(left.token)
    die(second)
    assert spools(3).adopted == []  # type: ignore[attr-defined]


def test_what_a_crash_cut_off_or_the_disk_damaged_costs_only_itself(spools: Callable[..., Spool]) -> None:
    spool = spools()
    whole, torn, rotten, nonsense = put(spool, 10, 20), put(spool, 10, 20), put(spool, 10, 20, 30), put(spool, 10)
    os.truncate(torn.path, torn.size - 7)  # type: ignore[arg-type]
    data = bytearray(rotten.path.read_bytes())  # type: ignore[union-attr]
    first = 16 + int.from_bytes(data[8:12], "little")
    data[first + 40] ^= 0xFF  # within the second frame
    rotten.path.write_bytes(data)  # type: ignore[union-attr]
    nonsense.path.write_bytes(b"not a segment")  # type: ignore[union-attr]
    rows = [len(found) if (found := spool.read(one)) is not None else 0 for one in (whole, torn, rotten, nonsense)]
    assert rows == [30, 10, 40, 0]
    assert "spool_rows_damaged" not in spool._ledger.snapshot()  # it can be read again, by the next collector, too
    for one in (whole, torn, rotten, nonsense):
        spool.read(one)
        spool.acknowledge(one)
    assert spool._ledger.snapshot()["spool_rows_damaged"] == 40


def test_a_full_spool_sheds_the_oldest_that_is_nowhere_else_and_counts_it(spools: Callable[..., Spool]) -> None:
    spool = spools(max_bytes=16 * MiB)
    spool.max_bytes = 0
    room = 3 * len(frames.frame(random_flows(1000)))
    segments = []
    for number in range(5):
        segment = spool.begin()
        spool.max_bytes = room
        batch = random_flows(1000)
        assert spool.append(segment, batch)
        segment.rows = 1000
        if number == 1:
            segment.raw.append(batch)
        spool.seal(segment)
        segments.append(segment)
    assert [one.path is not None for one in segments] == [False, False, True, True, True]
    assert spool._ledger.snapshot() == {"spool_rows_shed": 1000}  # the second is in memory still
    assert spool.bytes <= room
    segments[2].take_in_hand()  # being written: not shed
    spool.append(spool.begin(), random_flows(2000))
    assert segments[2].path is not None


def test_or_refuses_the_newest(spools: Callable[..., Spool]) -> None:
    spool = spools(shed="Newest")
    segment = spool.begin()
    assert spool.append(segment, random_flows(100))
    spool.max_bytes = spool.bytes
    assert not spool.append(segment, random_flows(100))
    assert spool.full
    assert segment.path is not None  # with what it had
    spool.seal(segment)
    refused = spool.begin()
    spool.max_bytes = spool.bytes
    assert not spool.append(refused, random_flows(100))
    assert refused.path is None
    assert spool._ledger.snapshot() == {}


def test_the_stores_disk_is_not_filled_up(spools: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    spool = spools(shed="Newest")
    put(spool, 10)
    monkeypatch.setattr(module, "RESERVE_BYTES", 1 << 62)
    with logs.captured() as lines:
        assert not spool.append(spool.begin(), decoded(10))
        assert not spool.append(spool.begin(), decoded(10))
        assert spool.limit() == spool.bytes
        monkeypatch.undo()
        assert spool.append(spool.begin(), decoded(10))
    assert [line["event"] for line in lines] == ["spool_has_no_room", "spool_has_room_again"]


def test_a_disk_on_the_edge_does_not_flood_the_log(spools: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    spool = spools(shed="Newest")
    put(spool, 10)
    with logs.captured() as lines:
        for _ in range(20):
            with monkeypatch.context() as patched:
                patched.setattr(module, "RESERVE_BYTES", 1 << 62)
                assert not spool.append(spool.begin(), decoded(10))
            assert spool.append(spool.begin(), decoded(10))
    assert [line["event"] for line in lines] == ["spool_has_no_room", "spool_has_room_again"] * 3


def test_segments_of_receive_processes_that_find_no_room_say_so(
    spools: Callable[..., Spool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spools(shed="Newest")

    def sealed(name: str) -> Segment:
        path = tmp_path / name
        path.write_bytes(bytes(1000))
        return Segment(f"box@9/{name}", 10, path, 1000, sealed_at=time.monotonic(), fresh=True)

    with monkeypatch.context() as patched:
        patched.setattr(module, "RESERVE_BYTES", 1 << 62)
        assert not spool.take_over(sealed("1"))
        assert spool.full
    assert spool.take_over(sealed("2"))
    assert not spool.full


def test_a_disk_that_cannot_be_written_keeps_flows_in_memory(
    spools: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches before it are on disk whole, those after it in another segment; and when the disk is back, it is used again."""
    spool, queue = spools(), SegmentQueue(1000)
    gather = Gatherer(spool, queue, waiting=lambda: 0, watched=lambda: False, dropped=lambda _: None)
    gather.add(decoded(10))
    write, half = os.write, [True]

    def full(descriptor: int, data: memoryview) -> int:
        if half.pop() if half else False:
            return write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    gather.add(decoded(20))
    monkeypatch.setattr(module.os, "write", write)
    gather.add(decoded(30))
    gather.hand_on()
    gather.add(decoded(40))
    gather.hand_on()
    found = [segment for _ in range(3) if (segment := queue.take(0)) is not None]
    assert [(one.rows, one.path is not None) for one in found] == [(10, True), (50, False), (40, True)]
    assert [len(list(frames.read(one.path))) for one in found if one.path] == [1, 1]
    assert spool._ledger.snapshot()["spool_write_failures"] == 2
    assert spool.problem == ""


def test_sealed_segments_are_fsynced_when_they_are_not_in_the_store_soon(
    spools: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_AFTER_S", 0.0)
    monkeypatch.setattr(module, "_LEAST_S", 0.01)
    segment = put(spools(), 10)
    until(lambda: segment.synced, "it is on the disk")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot make the spool"):
        Spool(tmp_path / "file" / "spool", Settings(), Ledger("collector", "x@1")).start()


def test_segments_grow_while_others_wait_and_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, waiting, viewers = SegmentQueue(1000), [0], [False]
    gather = Gatherer(NoSpool("x@1"), queue, waiting=lambda: waiting[0], watched=lambda: viewers[0], dropped=lambda _: None)
    assert gather.due_in_s() is None
    gather.add(decoded(1))
    assert gather.due_in_s() is not None
    assert (gather.due_in_s() or 0) <= gatherer.MAX_AGE_S
    waiting[0] = gatherer.BACKLOG
    assert (gather.due_in_s() or 0) > gatherer.MAX_AGE_S
    viewers[0] = True
    assert (gather.due_in_s() or 0) <= gatherer.MAX_AGE_S
    monkeypatch.setattr(gatherer, "MAX_ROWS", 3)
    gather.add(decoded(2))
    assert len(queue) == 1
    assert gather.due_in_s() is None


class Taker:
    """Keeps the segments it is given."""

    def __init__(self, taken: list[Segment]) -> None:
        self._taken = taken

    def put(self, segment: Segment, timeout_s: float) -> bool:  # noqa: ARG002 - as a queue's
        """There is always room."""
        self._taken.append(segment)
        return True


def test_what_flows_have_waited_in_the_receiver_counts_for_their_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a flow would wait twice, for other datagrams and for other flows. Ages that cannot be are cut."""
    for waited_s, counted_s in ((0.0, 0.0), (0.9, 0.9), (-7.0, 0.0), (3600.0, gatherer.MAX_WAITED_S)):
        received_ns = 1_700_000_000_000_000_000
        monkeypatch.setattr(gatherer, "now_ns", lambda at_ns=received_ns + int(waited_s * 1e9): at_ns)
        taken: list[Segment] = []
        gather = Gatherer(NoSpool("x@1"), Taker(taken), waiting=lambda: 0, watched=lambda: False, dropped=lambda _: None)
        flows = decoded(1).with_columns({"time_received_ns": np.full(1, received_ns)})
        before = time.monotonic()
        gather.add(flows)
        gather.add(flows)  # the first ones count
        after = time.monotonic()
        gather.hand_on()
        assert before - counted_s <= taken[0].begun_at + 1e-6
        assert taken[0].begun_at <= after - counted_s + 1e-6


def test_segments_that_are_on_disk_only_may_be_larger_unless_somebody_watches(
    spools: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, viewers = spools(), [False]
    monkeypatch.setattr(gatherer, "MAX_ROWS", 3)
    monkeypatch.setattr(gatherer, "DISK_ROWS", 6)

    def sizes(*, holds: bool, batches: int) -> list[int]:
        queue = SegmentQueue(1000)
        gather = Gatherer(spool, queue, waiting=lambda: 0, watched=lambda: viewers[0], dropped=lambda _: None, holds=holds)
        for _ in range(batches):
            gather.add(decoded(2))
        gather.hand_on()
        found = [one.rows for _ in range(len(queue)) if (one := queue.take(0)) is not None]
        assert sum(found) == 2 * batches
        return found

    assert sizes(holds=True, batches=4) == [4, 4]
    assert sizes(holds=False, batches=4) == [6, 2]
    viewers[0] = True
    assert sizes(holds=False, batches=4) == [4, 4]


def test_a_segment_is_read_in_pieces_of_which_none_is_lost(
    spools: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE_ROWS", 25)
    spool = spools()
    segment = put(spool, 10, 10, 10, 10, 40, 5)
    assert segment.path is not None
    assert [len(piece) for piece in spool.pieces(segment)] == [20, 20, 40, 5]
    content = bytearray(segment.path.read_bytes())
    content[-1] ^= 1
    segment.path.write_bytes(content)
    for _ in range(2):  # read again it is not damaged twice
        assert [len(piece) for piece in spool.pieces(segment)] == [20, 20, 40]
        assert segment.damaged == 5
    segment.path.unlink()
    assert list(spool.pieces(segment)) == []
    assert segment.damaged == segment.rows == 85


def test_of_a_file_that_can_be_read_in_part_only_the_rest_is_lost(
    spools: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a disk with a bad block: what was read before it is stored, and must not count as damaged, too."""
    monkeypatch.setattr(module, "PIECE_ROWS", 25)
    whole = frames.read

    def with_bad_block(path: Path) -> Iterator[tuple[int, FlowBatch | None]]:
        yield from itertools.islice(whole(path), 3)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    spool = spools()
    segment = put(spool, 10, 20, 5, 40, 50)
    monkeypatch.setattr(frames, "read", with_bad_block)
    for _ in range(2):
        assert [len(piece) for piece in spool.pieces(segment)] == [10, 25]
        assert segment.damaged == 90
