# SPDX-License-Identifier: Apache-2.0
"""The embedded store as a process: keys, lock, kill -9, limits, what its HTTP interface lets through."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowgauge.errors import DataError, EnvironmentProblem, UsageError
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.store.clickhouse import child, guard, writer
from flowgauge.store.clickhouse.data_dir import DataDir, check_cpu
from flowgauge.store.errors import StoreRejected, StoreUnavailable
from flowgauge.store.opening import open_store
from flowgauge.store.secret import reader_key
from store_kit import SECRET, StoreProcess, flows, in_namespace, last, running_store


def post(url: str, sql: str, key: str = SECRET, path: str = "/", **headers: str) -> tuple[int, str, str]:
    """(HTTP status, ClickHouse error code, body) of a statement."""
    credentials = {"Authorization": f"Basic {b64encode(f'default:{key}'.encode()).decode()}"} if key else {}
    request = urllib.request.Request(url + path, sql.encode(), {**credentials, **headers})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, "", answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("X-ClickHouse-Exception-Code", ""), error.read().decode()


def test_ping_needs_no_key_and_everything_else_does(process: StoreProcess) -> None:
    with urllib.request.urlopen(f"{process.url}/ping") as answer:  # noqa: S310
        assert answer.read() == b"Ok.\n"
    assert post(process.url, "SELECT 1", key="")[:2] == (401, "194")
    assert post(process.url, "SELECT 1", key="wrong")[:2] == (403, "516")
    assert post(process.url, "SELECT 1", key="", path="/flowgauge")[:2] == (401, "194")
    assert post(process.url, "SELECT 1") == (200, "", "1\n")
    assert post(process.url, "SELECT 1", key="", **{"X-ClickHouse-Key": SECRET}) == (200, "", "1\n")


def test_a_wrong_secret_is_refused_for_good(process: StoreProcess) -> None:
    store = open_store(process.url, "wrong", retry_s=0)
    with pytest.raises(StoreRejected, match="not its secret"):
        store.query(FlowQuery(last()))


def test_the_reader_key_reads_and_cannot_write(process: StoreProcess) -> None:
    writer, reader = process.open(), open_store(process.url, reader_key(SECRET))
    writer.write(flows("reader-key", 3), "reader-key")
    assert reader.query(FlowQuery(last(), in_namespace("reader-key"))).total.values[Measure.FLOWS] == 3
    with pytest.raises(StoreRejected, match="only reads"):
        reader.write(flows("reader-key", 3), "another")
    assert post(process.url, "DROP TABLE flows", key=reader_key(SECRET))[:2] == (403, "164")
    assert post(process.url, "SET readonly = 0", key=reader_key(SECRET))[1] == "164"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('/etc/hostname')",
        "SELECT `file`('/etc/hostname')",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "DESCRIBE file/**/('/etc/hostname')",
        "SELECT 1 INTO OUTFILE '/tmp/flowgauge-should-not-exist'",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM executable('x', 'TSV', 'a String')",
        "SELECT 1; DROP TABLE flows",
        "KILL QUERY WHERE 1",
        "USE default",
        "INSERT INTO ledger (value) VALUES (1)",
        "INSERT INTO flows (proto) FROM INFILE '/etc/hostname' FORMAT Arrow",
        "CREATE TABLE t (a UInt8) ENGINE = Memory",
    ],
)
def test_readers_cannot_reach_beyond_the_tables(process: StoreProcess, sql: str) -> None:
    status, code, body = post(process.url, sql, key=reader_key(SECRET))
    assert status != 200, body
    assert code == "164", body
    assert not Path("/tmp/flowgauge-should-not-exist").exists()


def test_segments_are_taken_only_from_the_segment_folder(process: StoreProcess, tmp_path: Path) -> None:
    outside = tmp_path / "outside.arrow"
    outside.write_bytes(b"")
    folder = Path(json.loads(post(process.url, "", path="/flowgauge")[2])["segment_dir"])
    link = folder / "link.arrow"
    link.symlink_to(outside)
    (folder / "in-0.arrow").write_bytes(b"")
    several = [f"{folder}/in-{{0,1}}.arrow", f"{tmp_path}/in-{{0,1}}.arrow", f"{folder}/../in-{{0}}.arrow"]
    for path in (outside, folder / ".." / "outside.arrow", link, folder / "missing.arrow", *several):
        status, code, body = post(process.url, f"INSERT INTO flows (proto) FROM INFILE '{path}' FORMAT Arrow")
        assert (status, code) == (403, "164"), body
    link.unlink()
    (folder / "in-0.arrow").unlink()
    assert folder.stat().st_mode & 0o077 == 0


def test_a_reader_cannot_raise_its_limits(process: StoreProcess) -> None:
    key = reader_key(SECRET)
    assert post(process.url, "SELECT 1 SETTINGS max_memory_usage = 0", key=key)[1] == "164"
    body = post(process.url, "SELECT getSetting('max_execution_time')", key=key, path="/?max_execution_time=0")[2]
    assert float(body) == 30
    large = "SELECT groupArray(repeat('x', 1000000)) FROM numbers(100000)"
    assert post(process.url, large, key=key)[1] == "241"
    assert post(process.url, "SELECT 1", key=key)[2] == "1\n"


def test_settings_of_one_statement_do_not_stay(process: StoreProcess) -> None:
    ask = "SELECT getSetting('max_block_size')"
    before = post(process.url, ask)[2]
    assert post(process.url, ask, path="/?max_block_size=123")[2] == "123\n"
    assert {post(process.url, ask)[2] for _ in range(4)} == {before}


def test_pieces_are_one_insert_that_counts_once_and_lack_no_column(process: StoreProcess) -> None:
    def pieces() -> list[FlowBatch]:
        return [flows("pieces", 3, icmp_type=8), flows("pieces", 4).without("icmp_type"), flows("pieces", 5, in_if=7)]

    store = process.open()
    process.sql("SYSTEM STOP MERGES flows")
    before = store.status()
    for _ in range(2):
        assert store.write_pieces(iter(pieces()), "pieces") == 12
    after = store.status()
    process.sql("SYSTEM START MERGES flows")
    assert (after.rows - before.rows, after.parts - before.parts) in {(12, 1), (12, 2)}  # two where an hour ends
    found = store.flows(FlowQuery(last(), in_namespace("pieces")))
    assert sorted(found.array("icmp_type").tolist()) == [-1] * 9 + [8] * 3
    assert sorted(found.array("in_if").tolist()) == [0] * 7 + [7] * 5
    assert store.write_pieces(iter([]), "nothing") == 0
    with pytest.raises(DataError, match="no token"):
        store.write_pieces(iter(pieces()), "?")
    assert list(Path(json.loads(post(process.url, "", path="/flowgauge")[2])["segment_dir"]).iterdir()) == []


@pytest.mark.slow
def test_pieces_that_find_no_room_as_files_are_stored_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where others fill the folder, or a hostile sender makes one batch of millions of rows: nothing may wait for ever."""
    with running_store(tmp_path / "store") as process:
        store = process.open()
        pieces = [flows("crowded", 3, icmp_type=8), flows("crowded", 400).without("icmp_type"), flows("crowded", 5)]
        monkeypatch.setattr(writer, "SEGMENT_FOLDER_BYTES", 4000)
        for _ in range(2):
            assert store.write_pieces(iter(pieces), "crowded") == 408
        assert store.query(FlowQuery(last(), in_namespace("crowded"))).total.values[Measure.FLOWS] == 408


def test_pieces_of_more_rows_than_one_insert_count_once_whether_or_not_there_was_room(
    process: StoreProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the store is killed before it answers, and there is room when it is asked again."""
    store = process.open()
    monkeypatch.setattr(writer, "MAX_INSERT_ROWS", 10)
    for room in (0, 1 << 30):
        monkeypatch.setattr(writer, "SEGMENT_FOLDER_BYTES", room)
        assert store.write_pieces(iter([flows("twice", 7), flows("twice", 8), flows("twice", 9)]), "twice") == 24
    assert store.query(FlowQuery(last(), in_namespace("twice"))).total.values[Measure.FLOWS] == 24


@pytest.mark.slow
@pytest.mark.root
def test_what_is_too_large_for_shared_memory_is_stored_in_parts_or_by_way_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be smaller than what segments may take, and others may have filled it."""
    folder = tmp_path / "shm"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(folder)], check=True)
    try:
        with running_store(tmp_path / "store", "--segment-dir", str(folder)) as process:
            store = process.open(retry_s=0)
            assert store.write(flows("large", 30_000), "whole") == 30_000
            monkeypatch.setattr(writer, "MAX_INSERT_ROWS", 2000)
            assert (
                store.write_pieces(iter([flows("large", 4000), flows("large", 4000), flows("large", 30_000)]), "pieces")
                == 38_000
            )
            assert store.query(FlowQuery(last(), in_namespace("large"))).total.values[Measure.FLOWS] == 68_000
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_folder_of_segments_may_have_a_name_with_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "a folder (of segments) $HOME %41"
    with running_store(tmp_path / "store", "--segment-dir", str(folder)) as process:
        store = process.open()
        assert store.write(flows("spaces", 3), "one-file") == 3
        assert store.write_pieces(iter([flows("spaces", 3), flows("spaces", 4)]), "two-files") == 7
        assert store.query(FlowQuery(last(), in_namespace("spaces"))).total.values[Measure.FLOWS] == 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["it's", "file/below"])
def test_a_folder_that_cannot_be_used_is_refused_at_the_start(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AssertionError, match="ended with status"):
        StoreProcess(tmp_path / "store", "--segment-dir", str(tmp_path / name)).start()
    assert "give --segment-dir" in capfd.readouterr().err


def test_a_store_does_without_a_spare_folder_that_cannot_be_made(tmp_path: Path) -> None:
    settings = child.StoreSettings(tmp_path, SECRET)
    (tmp_path / "segments").touch()
    assert child._spare_dirs(settings) == ()
    (tmp_path / "segments").unlink()
    assert child._spare_dirs(settings) == (tmp_path / "segments",)


@pytest.mark.root
@pytest.mark.parametrize("links_owner", [12_345, 0])
def test_a_link_that_somebody_else_left_in_shared_memory_is_not_followed(
    links_owner: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's name can be guessed, anybody may make links there, and what is in the folder is removed at the start."""
    shared, mine = tmp_path / "shm", tmp_path / "mine"
    shared.mkdir()
    mine.mkdir(mode=0o755)
    (mine / "precious").touch()
    monkeypatch.setattr(child, "SHARED_MEMORY", shared)
    monkeypatch.setattr(child, "MIN_SHARED_MEMORY_BYTES", 0)
    settings = child.StoreSettings(tmp_path / "data", SECRET)
    folder = child._segment_dir(settings)
    folder.rmdir()
    folder.symlink_to(mine)
    os.lchown(folder, links_owner, links_owner)
    if links_owner:
        with pytest.raises(EnvironmentProblem, match="belongs to somebody else"):
            child._segment_dir(settings)
        assert (mine / "precious").exists()
        assert mine.stat().st_mode & 0o777 == 0o755
    else:
        assert child._segment_dir(settings) == mine


@pytest.mark.parametrize("name", ["it's", "a{1,2}", "x*y", "why?", "[a]", "a,b", "a\\b", "a\nb"])
def test_what_the_engine_takes_for_a_pattern_is_known(name: str) -> None:
    assert not guard.can_be_named(Path("/data") / name)


@pytest.mark.slow
def test_pieces_of_before_a_restart_of_the_store_are_asked_for_again(tmp_path: Path) -> None:
    with running_store(tmp_path / "store") as process:
        store = process.open()

        def restarting() -> Iterator[FlowBatch]:
            yield flows("again", 3)
            process.kill()
            process.start()
            yield flows("again", 4)

        with pytest.raises(StoreUnavailable):
            store.write_pieces(restarting(), "again")
        store.migrate()
        assert store.write_pieces(iter([flows("again", 3), flows("again", 4)]), "again") == 7
        assert store.query(FlowQuery(last(), in_namespace("again"))).total.values[Measure.FLOWS] == 7


@pytest.mark.slow
def test_eight_threads_get_their_own_parameters_back(process: StoreProcess) -> None:
    """One engine handle in two threads would mix up their parameters."""
    store = process.open()
    for number in range(8):
        store.write(flows(f"thread-{number}", number + 1), f"thread-{number}")
    wrong: list[tuple[int, object]] = []

    def ask(number: int) -> None:
        for _ in range(25):
            total = store.query(FlowQuery(last(), in_namespace(f"thread-{number}"))).total
            if total.values[Measure.FLOWS] != number + 1:
                wrong.append((number, total))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_second_process_is_told_who_holds_the_folder(process: StoreProcess) -> None:
    with pytest.raises(EnvironmentProblem, match=rf"in use by process {process.pid} \(.*typer"):
        DataDir(process.data_dir).acquire()


def test_an_older_engine_refuses_newer_data(tmp_path: Path) -> None:
    folder = DataDir(tmp_path)
    folder.acquire()
    folder.check_engine("26.9.2.1")
    folder.check_engine("26.10.1.1")
    with pytest.raises(
        EnvironmentProblem, match=r"written by engine 26\.10\.1\.1; this one is 26\.9\.2\.1 and would lose rows"
    ):
        folder.check_engine("26.9.2.1")
    folder.release()


def test_a_cpu_without_avx2_is_told_so(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags : fpu sse4_2 avx\n")
    with pytest.raises(EnvironmentProblem, match="AVX2"):
        check_cpu(cpuinfo)
    cpuinfo.write_text("flags : fpu avx avx2\n")
    check_cpu(cpuinfo)
    cpuinfo.write_text("Features : fp asimd\n")  # arm64
    check_cpu(cpuinfo)


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Batches are written without pause while the process is killed three times; a lost answer is retried by token."""
    with running_store(tmp_path / "store") as process:
        store = process.open(retry_s=30)
        acknowledged, stop = [0], threading.Event()

        def write() -> None:
            while not stop.is_set():
                batch = flows("killed", 2000, owners=("a", "b"))
                acknowledged[0] += store.write(batch, f"killed-{acknowledged[0]}")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                stop.wait(1.0)
                process.kill()
                process.start()
        finally:
            stop.set()
            writer.join()
        total = store.query(FlowQuery(last(600), in_namespace("killed"))).total.values[Measure.FLOWS]
        assert acknowledged[0] > 0
        assert total == acknowledged[0]
        assert store.status().detached_parts == 0


def test_a_stopped_store_is_unavailable_and_ends_cleanly(tmp_path: Path) -> None:
    process = StoreProcess(tmp_path / "store").start()
    store = process.open(retry_s=0.2)
    assert store.write(flows("gone", 1), "gone") == 1
    assert process.stop() == 0
    with pytest.raises(StoreUnavailable, match="does not answer"):
        store.write(flows("gone", 1), "gone-2")
    with pytest.raises(StoreUnavailable):
        store.status()
    store.close()


def test_a_closed_terminal_ends_it_in_order(tmp_path: Path) -> None:
    process = StoreProcess(tmp_path / "store", "--segment-dir", str(tmp_path / "segments")).start()
    assert process.stop(signal.SIGHUP) == 0
    assert DataDir(tmp_path / "store").acquire() is None


def test_an_address_that_is_none_is_a_usage_error() -> None:
    for url in ("sqlite:///x", "http://", "http://user:password@host", "http://host:port"):
        with pytest.raises(UsageError):
            open_store(url, "secret")
