# SPDX-License-Identifier: Apache-2.0
"""Named datasets in the real embedded store: old captures keep their time, never expire, and are asked like live flows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console_kit import Console, running_console
from flowgauge.console.settings import ConsoleSettings
from flowgauge.errors import UsageError
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store.errors import StoreRejected
from flowgauge.store.opening import open_store
from flowgauge.store.secret import reader_key
from read_files_kit import capture, collect
from store_kit import SECRET, StoreProcess, flows, last, running_store

pytestmark = pytest.mark.slow

LONG_AGO_S = 1_500_000_000
"""July 2017."""
EVER = Window(0, 1 << 42)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store with live flows, and two old captures in dataset office-2017, ten minutes apart."""
    folder = tmp_path_factory.mktemp("captures")
    with running_store(tmp_path_factory.mktemp("store"), "--retention-hours", "1") as process:
        process.open().write(flows("live", 3), "live")
        for number, octets in enumerate((range(100, 120), range(500, 505))):
            file = capture(folder / f"{number}.pcap", LONG_AGO_S + 600 * number, octets)
            done = collect(process, "--read", "--dataset", "office-2017", file)
            assert (done.returncode, done.stderr) == (0, "")
        yield process


@pytest.fixture(scope="module")
def console(store: StoreProcess) -> Iterator[Console]:
    with running_console(ConsoleSettings(store.url, reader_key(SECRET))) as running:
        yield running


def command(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "flowgauge.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,  # type: ignore[call-overload]
    )


def octets(process: StoreProcess) -> list[int]:
    """The bytes of all flows of the dataset, sorted."""
    return sorted(process.open().dataset("office-2017").flows(FlowQuery(EVER, limit=1000)).array("bytes").tolist())


def test_without_a_dataset_old_flows_are_not_stored_and_the_option_is_named(store: StoreProcess, tmp_path: Path) -> None:
    done = collect(store, "--read", capture(tmp_path / "old.pcap", LONG_AGO_S, range(7)))
    assert "0 flows of 1 file stored, 7 older than the store keeps them" in done.stdout
    assert "--dataset NAME stores them" in done.stderr


def test_flows_of_a_dataset_keep_their_time_and_are_not_among_the_live_ones(store: StoreProcess) -> None:
    batch = store.open().dataset("office-2017").flows(FlowQuery(EVER, limit=1000))
    assert set((batch.array("time_end_ms") // 1000).tolist()) == {LONG_AGO_S, LONG_AGO_S + 600}
    assert store.open().status().rows == 3


def test_retention_and_a_restart_leave_them(tmp_path: Path) -> None:
    with running_store(tmp_path / "store", "--retention-hours", "1") as process:
        file = capture(tmp_path / "old.pcap", LONG_AGO_S, range(9))
        assert collect(process, "--read", "--dataset", "office-2017", file).returncode == 0
        process.open().write(flows("live", 2, ended_ms=last().end_ms - 3 * 3_600_000), "expired")
        process.stop()
        process.start()
        assert octets(process) == list(range(9))
        assert process.open().status().rows == 0


def test_the_console_asks_a_dataset_like_the_live_flows(console: Console) -> None:
    (one,) = console.api("datasets").json["datasets"]
    assert (one["name"], one["flows"], one["oldest_ms"], one["newest_ms"]) == (
        "office-2017", 25, LONG_AGO_S * 1000, (LONG_AGO_S + 600) * 1000,
    )  # fmt: skip
    window = {"from_": one["oldest_ms"], "to": one["newest_ms"] + 1000, "dataset": "office-2017"}
    assert console.api("flows", **window, filter="bytes > 400").json["matched"] == 5
    assert console.api("groups", **window, by="proto", measures="bytes").json["rows"][0]["bytes"] == sum(
        (*range(100, 120), *range(500, 505))
    )
    for path in ("series", "topology", "ledger"):
        assert console.api(path, **window).status == 200
    assert console.api("complete", **window, text="proto = ").status == 200
    assert console.api("flows").json["matched"] == 3


@pytest.mark.parametrize(("name", "words"), [("nobody", "no dataset 'nobody'"), ("../x", "no name of a dataset")])
def test_a_dataset_that_is_none_gets_one_sentence(console: Console, name: str, words: str) -> None:
    reply = console.api("flows", dataset=name)
    assert reply.status == 400
    assert words in reply.problem["message"]


def test_the_terminal_lists_and_asks_them_over_all_their_time(console: Console) -> None:
    listed = command("datasets", "--url", console.url)
    assert listed.stdout.splitlines()[1].split()[:2] == ["office-2017", "25"]
    asked = command("flows", "--dataset", "office-2017", "bytes > 400", "-o", "jsonl", "--url", console.url)
    assert sorted(json.loads(line)["bytes"] for line in asked.stdout.splitlines()) == [500, 501, 502, 503, 504]
    newest = command("flows", "--dataset", "office-2017", "--since", "5m", "--by", "proto", "-o", "jsonl", "--url", console.url)
    assert json.loads(newest.stdout)["flows"] == 5
    wrong = command("flows", "--dataset", "office-2018", "--url", console.url)
    assert (wrong.returncode, "`flowgauge datasets` lists them" in wrong.stderr) == (2, True)
    live = command("flows", "--dataset", "office-2017", "--live", "--url", console.url)
    assert (live.returncode, "a dataset holds what was" in live.stderr) == (2, True)


def test_one_is_removed_by_whoever_has_the_stores_secret(store: StoreProcess, tmp_path: Path) -> None:
    file = capture(tmp_path / "old.pcap", LONG_AGO_S, range(3))
    assert collect(store, "--read", "--dataset", "gone", file).returncode == 0
    reader = open_store(store.url, reader_key(SECRET))
    assert [one.name for one in reader.datasets()] == ["gone", "office-2017"]
    with pytest.raises(StoreRejected):
        reader.remove_dataset("gone")
    end, secret = os.pipe()
    os.write(secret, SECRET.encode())
    os.close(secret)
    told = ("--store-url", store.url, "--store-secret-fd", str(end))
    done = command("datasets", "--remove", "gone", *told, pass_fds=[end])
    os.close(end)
    assert (done.stdout, done.stderr) == ("dataset gone removed\n", "")
    assert [one.name for one in reader.datasets()] == ["office-2017"]
    with pytest.raises(UsageError, match="no dataset 'gone'"):
        store.open().remove_dataset("gone")


def test_what_is_stored_twice_by_one_token_is_there_once(store: StoreProcess) -> None:
    twice = store.open().dataset("twice")
    twice.migrate()
    for _ in range(2):
        twice.write(flows("again", 4), "same")
    assert twice.status().rows == 4
    store.open().remove_dataset("twice")
