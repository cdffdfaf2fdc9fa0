# SPDX-License-Identifier: Apache-2.0
"""Several receive processes on one port, for real: an exporter has one of them, and nothing is lost between them.

Whatever dies, and with however many processes the collector is started again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector_process import Command, children
from flowgauge.collector.steering import place
from flowgauge.flow.addresses import packed
from flowgauge.query.completeness import completeness
from flowgauge.run.part import free_port
from flowgauge.schema import filters
from flowgauge.schema.flow_query import FlowQuery, Measure
from ipfix_kit import Exporter, records
from store_kit import StoreProcess, last, running_store

pytestmark = pytest.mark.slow  # whole collectors with a real store


class Router:
    """An exporter with an address of its own that sends from two ports in turn."""

    def __init__(self, number: int, port: int) -> None:
        self.address = f"127.0.7.{number}"
        self._exporter = Exporter(number, f"router-{number}", time.time_ns() // 1_000_000)
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        self._turn = 0
        for sock in self._sockets:
            sock.bind((self.address, 0))
            sock.connect(("127.0.0.1", port))
        self.sent = 0

    def announce(self) -> None:
        """Templates."""
        self._send(self._exporter.templates())

    def flows(self, count: int) -> None:
        """That many, paced."""
        for message in self._exporter.data(records(count, seed=self.sent)):
            self._send(message)
            time.sleep(0.0002)
        self.sent += count

    def report(self) -> None:
        """How much it has sent."""
        self._send(self._exporter.options({"export_records_sent": self.sent + 1, "kernel_packets_seen": 1}))

    def _send(self, message: bytes) -> None:
        self._turn += 1
        self._sockets[self._turn % 2].send(message)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreProcess]:
    with running_store(tmp_path / "store") as running:
        yield running
        os.kill(running.pid, signal.SIGCONT)  # a test may have failed while it was stopped


@pytest.fixture
def collect(store: StoreProcess, tmp_path: Path) -> Iterator[Callable[[int], Command]]:
    """Starts ``flowgauge collect`` with so many receive processes, always on the same port; killed at the end."""
    port, started = free_port(socket.SOCK_DGRAM), list[Command]()

    def start(processes: int) -> Command:
        document = tmp_path / f"{processes}.yaml"
        document.write_text(f"spec:\n  collector:\n    receiveProcesses: {processes}\n")
        command = Command(store, tmp_path, "--listen", f"127.0.0.1:{port}", "-f", str(document))
        command.port = port  # type: ignore[attr-defined]
        started.append(command)
        command.until_ready()
        return command

    yield start
    for command in started:
        command.process.kill()


def receivers(command: Command) -> list[int]:
    """Process ids of its receive processes."""
    found: list[int] = []
    for pid in children(command.process.pid):
        with contextlib.suppress(OSError):  # ended meanwhile
            if b"receive_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def stored(store: StoreProcess, where: str = "") -> int:
    """Flows in the store."""
    with contextlib.closing(store.open(retry_s=20.0)) as client:
        answer = client.query(FlowQuery(last(300), filters.bound(where), duplicates=True))
        return int(answer.total.values[Measure.FLOWS] or 0)


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def exporters(command: Command) -> dict[str, dict[str, Any]]:
    return {entry["exporter_addr"]: entry for entry in json.loads(command.get("/api/v1/exporters"))}


def decoded(command: Command, routers: list[Router]) -> None:
    """Waits until everything that was sent is on disk, or further."""
    command.until_counted("decode_records", sum(router.sent for router in routers))
    command.until_at_rest()


def in_the_ledger(store: StoreProcess, routers: list[Router]) -> tuple[int, int]:
    """(stored, lost) of completeness, once everything that was sent is accounted for."""
    offered = sum(router.sent + 1 for router in routers)
    deadline = time.monotonic() + 90
    with contextlib.closing(store.open(retry_s=20.0)) as client:
        while (found := completeness(client, last(300))).in_flight or found.offered < offered:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
    return found.stored, found.lost


def test_exporters_stay_with_one_process_and_everything_adds_up(store: StoreProcess, collect: Callable[[int], Command]) -> None:
    command = collect(3)
    assert len(receivers(command)) == 3
    routers = [Router(number, command.port) for number in range(1, 13)]  # type: ignore[attr-defined]
    assert {place(packed(router.address), 3) for router in routers} == {0, 1, 2}
    for router in routers:
        router.announce()
    for _ in range(3):
        for router in routers:
            router.flows(500)
    for router in routers:
        router.report()
    sent = sum(router.sent for router in routers)
    command.until_counted("store_rows_written", sent)
    assert stored(store) == sent
    command.until_counted("decode_records", sent)  # each process tells its own now and then, rows may be stored before
    assert command.counters()["decode_records"] == sent
    assert "sequence_gap_records" not in command.counters()  # two ports, one sequence: each stayed with one decoder
    assert 'flowgauge_decode_records_total{component="collector"' in command.get("/metrics")
    until(lambda: sum(one["flows"] for one in exporters(command).values()) == sent)
    until(lambda: all(one["templates"] for one in exporters(command).values()))
    found = exporters(command)
    assert {address: one["flows"] for address, one in found.items()} == {router.address: router.sent for router in routers}
    assert in_the_ledger(store, routers) == (sent, 0)
    status, log = command.stop()
    assert status == 0, log
    assert not list((command.data_dir / "spool").iterdir())


def test_kill_9_of_a_receive_process_loses_nothing_that_was_decoded_or_comes_meanwhile(
    store: StoreProcess, collect: Callable[[int], Command]
) -> None:
    """The collector holds the sockets: what is sent to the dead process waits in the kernel for the next."""
    command = collect(2)
    before = receivers(command)
    routers = [Router(number, command.port) for number in range(1, 9)]  # type: ignore[attr-defined]
    for router in routers:
        router.announce()
        router.flows(300)
    for victim in before:
        decoded(command, routers)
        os.kill(victim, signal.SIGKILL)
        until(lambda victim=victim: victim not in receivers(command))
        for router in routers:
            router.announce()
            router.flows(300)
    until(lambda: len(after := receivers(command)) == 2 and not set(after) & set(before))
    for router in routers:
        router.flows(100)
        router.report()
    sent = sum(router.sent for router in routers)
    assert in_the_ledger(store, routers) == (sent, 0)
    assert stored(store) == sent == 8 * 1000
    assert command.get("/readyz").strip() == "ready"
    status, log = command.stop()
    assert status == 0, log
    assert log.count("receive_process_died") == 2


def test_another_number_of_processes_drains_the_folders_and_knows_the_templates(
    store: StoreProcess, collect: Callable[[int], Command]
) -> None:
    first = collect(3)
    routers = [Router(number, first.port) for number in range(1, 10)]  # type: ignore[attr-defined]
    for router in routers:
        router.announce()
        router.flows(200)
    first.until_counted("store_rows_written", 1800)
    os.kill(store.pid, signal.SIGSTOP)
    for router in routers:
        router.flows(300)
    decoded(first, routers)
    assert first.stop()[0] == 0  # within its bound, although the store hangs
    assert sum(path.stat().st_size for path in (first.data_dir / "spool").glob("*/*.seg")) > 0
    second = collect(1)
    for router in routers:
        router.flows(100)  # without templates: those that others saved are known
    second.until_counted("decode_records", 900)
    second.until_at_rest()
    second.kill()
    os.kill(store.pid, signal.SIGCONT)
    third = collect(2)
    for router in routers:
        router.announce()
        router.flows(100)
        router.report()
    sent = sum(router.sent for router in routers)
    assert in_the_ledger(store, routers) == (sent, 0)
    assert stored(store) == sent == 9 * 700
    assert third.stop()[0] == 0
    assert not list((third.data_dir / "spool").iterdir())
    assert sorted(path.name.rpartition("~")[2] for path in (third.data_dir / "state").glob("templates-*~*")) == ["1"]


def test_a_viewer_sees_the_flows_of_every_process(store: StoreProcess, collect: Callable[[int], Command]) -> None:
    command = collect(2)
    routers = [Router(number, command.port) for number in range(1, 7)]  # type: ignore[attr-defined]
    watching = subprocess.Popen(
        ["curl", "-sN", f"http://127.0.0.1:{command.http}/api/v1/live?columns=exporter_addr"], stdout=subprocess.PIPE
    )
    assert watching.stdout is not None
    seen: set[str] = set()
    try:
        assert watching.stdout.readline().startswith(b": open")
        for router in routers:
            router.announce()
            router.flows(50)
        while len(seen) < len(routers):
            line = watching.stdout.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                seen |= {row["exporter_addr"] for row in json.loads(line[6:])["rows"]}
    finally:
        watching.kill()
        watching.wait()
    assert seen == {router.address for router in routers}


@pytest.mark.root
def test_a_disk_without_room_sends_the_flows_through_memory(
    store: StoreProcess, collect: Callable[[int], Command], tmp_path: Path
) -> None:
    """A file system smaller than what the spool leaves free: not one segment finds room, and none is lost."""
    (tmp_path / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(tmp_path / "data")], check=True)
    try:
        command = collect(2)
        routers = [Router(number, command.port) for number in range(1, 7)]  # type: ignore[attr-defined]
        for router in routers:
            router.announce()
            router.flows(2000)
            router.report()
        sent = sum(router.sent for router in routers)
        assert in_the_ledger(store, routers) == (sent, 0)
        assert stored(store) == sent
        assert command.stop()[0] == 0
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "data")], check=True)
