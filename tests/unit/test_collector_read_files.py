# SPDX-License-Identifier: Apache-2.0
"""``flowgauge collect --read``: what is in files is in the store when it returns, and what is not is told."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flowgauge.collector.read_files import MAX_HOURS, by_hours, timed
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.flow_query import FlowQuery
from flowgauge.wire.captures.packet import Export
from read_files_kit import capture, collect
from store_kit import StoreProcess, last, running_store
from wire_kit import message


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        yield process


def stored(store: StoreProcess) -> list[int]:
    """The bytes of all recent flows, sorted."""
    flows = store.open().flows(FlowQuery(window=last(600), limit=1000))
    return sorted(flows.array("bytes").tolist())


def test_flows_of_files_are_stored_and_old_ones_told(store: StoreProcess, tmp_path: Path) -> None:
    now = int(time.time())
    folder = tmp_path / "captures"
    folder.mkdir()
    capture(folder / "1.pcap", now - 5, range(1, 6))
    capture(folder / "2.pcap", now - 400 * 86_400, range(100, 103))
    broken = capture(tmp_path / "3.pcap", now - 3, range(6, 8), struct.pack("!HH", 256, 1))
    done = collect(store, "--read", folder, broken)
    assert done.returncode == 0
    assert done.stdout == "7 flows of 3 files stored, 3 older than the store keeps them\n"
    assert f"flowgauge: {broken}: datagram 1 (packet 1), byte " in done.stderr
    assert stored(store) == [1, 2, 3, 4, 5, 6, 7]


def test_files_of_which_nothing_could_be_decoded_are_status_2(store: StoreProcess, tmp_path: Path) -> None:
    garbage = tmp_path / "one.dat"
    garbage.write_bytes(b"\0\x63" + bytes(50))
    done = collect(store, "--read", garbage)
    assert (done.returncode, done.stdout) == (2, "0 flows of 1 file stored\n")
    assert done.stderr.endswith("flowgauge: nothing could be decoded: every flow export is malformed\n")


def test_a_missing_file_is_named_before_any_is_read(store: StoreProcess, tmp_path: Path) -> None:
    there = capture(tmp_path / "4.pcap", int(time.time()) - 3, range(901, 903))
    done = collect(store, "--read", there, tmp_path / "absent")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"flowgauge: {tmp_path / 'absent'}: No such file or directory\n"
    assert not {901, 902} & set(stored(store))


@pytest.mark.parametrize("arguments", [["--read"], ["a.pcap"]])
def test_files_and_the_flag_belong_together(store: StoreProcess, arguments: list[str]) -> None:
    done = collect(store, *arguments)
    assert (done.returncode, done.stderr) == (2, "flowgauge: --read and the files to read belong together\n")


def test_payloads_without_a_time_get_that_of_their_header_or_file(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"")
    os.utime(path, (50, 50))
    sflow = struct.pack("!IIIIIII", 5, 1, 1, 0, 1, 1, 0)
    batch = [Export(message(export_s=7)), Export(message(export_s=7), time_ns=9), Export(sflow), Export(b"")]
    assert [export.time_ns for export in timed(batch, path)] == [7 * 10**9, 9, 50 * 10**9, 50 * 10**9]


def test_flows_of_many_hours_are_several_inserts() -> None:
    ends = np.arange(MAX_HOURS * 2 + 1, dtype=np.int64)[::-1] * 3_600_000 + 5
    parts = list(by_hours(FlowBatch({"time_end_ms": ends}, len(ends))))
    assert [len(part) for part in parts] == [MAX_HOURS, MAX_HOURS, 1]
    assert sorted(np.concatenate([part.array("time_end_ms") for part in parts])) == sorted(ends)
    assert list(by_hours(FlowBatch({}, 0))) == []
