# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the collector, of its store, of both: what was decoded is stored once and counted once, whatever happened."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector_process import Command
from flowgauge.query.completeness import Completeness, completeness
from flowgauge.run.part import free_port
from flowgauge.schema import filters
from flowgauge.schema.flow_query import FlowQuery, Measure
from ipfix_kit import Exporter, records
from store_kit import StoreProcess, last, running_store


class Agent:
    """Sends flows and knows how many."""

    def __init__(self, port: int, node: str) -> None:
        self.exporter = Exporter(1, node, time.time_ns() // 1_000_000)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.offered = 0

    def send(self, count: int) -> None:
        """Templates each time: a collector that was started anew knows none."""
        for number, message in enumerate([self.exporter.templates(), *self.exporter.data(records(count, seed=self.offered))]):
            self.socket.send(message)
            if number % 32 == 31:
                time.sleep(0.002)
        self.offered += count

    def report(self) -> None:
        """Its counters."""
        self.offered += 1
        self.socket.send(self.exporter.options({"export_records_sent": self.offered, "kernel_packets_seen": 1}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreProcess]:
    with running_store(tmp_path / "store") as running:
        yield running


def stored(store: StoreProcess, where: str = "") -> int:
    """Flows in the store."""
    query = FlowQuery(last(300), filters.bound(where), duplicates=True)
    with contextlib.closing(store.open(retry_s=20.0)) as client:
        return int(client.query(query).total.values[Measure.FLOWS] or 0)


def ledger(store: StoreProcess, offered: int) -> Completeness:
    """Completeness as soon as everything is accounted for."""
    client, deadline = store.open(), time.monotonic() + 60
    with contextlib.closing(client):
        while (found := completeness(client, last(300))).in_flight or found.offered < offered:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
    return found


@pytest.mark.slow
def test_kill_9_of_the_collector_at_any_time_loses_no_decoded_flow_and_doubles_none(
    store: StoreProcess, tmp_path: Path
) -> None:
    """Four times, at random moments between decoding, insert, count and removal; the ledger agrees with the store."""
    port = free_port(socket.SOCK_DGRAM)
    arguments = ("--listen", f"127.0.0.1:{port}")
    agent = Agent(port, "node-killed")
    for turn in range(4):
        command = Command(store, tmp_path, *arguments)
        command.until_ready()
        for _ in range(6):
            agent.send(2000)
            time.sleep(0.15)
        command.until_counted("decode_records", 12_000)
        command.until_at_rest()
        time.sleep(random.random())  # noqa: S311 - anywhere in the writer's second
        command.kill()
        assert (tmp_path / "data" / "spool").exists(), turn
    command = Command(store, tmp_path, *arguments)
    command.until_ready()
    agent.send(100)
    agent.report()
    found = ledger(store, agent.offered)
    status, log = command.stop()
    assert status == 0, log
    assert stored(store) == agent.offered - 1 == 4 * 12_000 + 100
    assert (found.stored, found.lost) == (agent.offered - 1, 0)
    assert not list((tmp_path / "data" / "spool").iterdir())


@pytest.mark.slow
def test_a_store_that_is_away_costs_nothing_even_if_the_collector_dies_meanwhile(store: StoreProcess, tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    arguments = ("--listen", f"127.0.0.1:{port}")
    command = Command(store, tmp_path, *arguments)
    command.until_ready()
    agent = Agent(port, "node-away")
    agent.send(500)
    command.until_counted("store_rows_written", 500)
    store.kill()
    for _ in range(5):
        agent.send(3000)
        time.sleep(0.3)
    command.until_counted("decode_records", 15_500)
    command.until_at_rest()
    command.kill()
    second = Command(store, tmp_path, *arguments)
    second.until_ready()  # although the store is not there
    assert second.counters()["spool_rows_adopted"] == 15_000
    agent.send(1000)
    second.until_counted("decode_records", 1000)
    status, log = second.stop()  # a plain stop leaves them for the next, too
    assert status == 0, log
    assert "flows_left_in_spool" in log
    store.start()
    third = Command(store, tmp_path, *arguments)
    third.until_ready()
    agent.send(200)
    agent.report()
    third.until_counted("store_rows_written", 16_200)
    found = ledger(store, agent.offered)
    assert third.stop()[0] == 0
    assert stored(store) == 16_700
    assert (found.stored, found.lost) == (16_700, 0)


@pytest.mark.slow
def test_a_store_that_hangs_for_longer_than_memory_lasts_gets_everything_from_disk(store: StoreProcess, tmp_path: Path) -> None:
    """A hundred times as many flows as the queues hold would be, were they so short: the disk has the rest, memory does not."""
    port = free_port(socket.SOCK_DGRAM)
    command = Command(store, tmp_path, "--listen", f"127.0.0.1:{port}")
    command.until_ready()
    agent = Agent(port, "node-hangs")
    agent.send(100)
    command.until_counted("store_rows_written", 100)
    os.kill(store.pid, signal.SIGSTOP)
    for _ in range(20):
        for _ in range(5):
            agent.send(10_000)
        command.until_counted("decode_records", agent.offered)  # no more than a socket's buffer holds at once
    os.kill(store.pid, signal.SIGCONT)
    agent.send(10)
    agent.report()
    found = ledger(store, agent.offered)
    counted = command.counters()
    assert command.stop()[0] == 0
    assert counted["spool_rows_replayed"] > 100_000
    assert (found.stored, found.lost) == (1_000_110, 0)
    assert stored(store) == 1_000_110


@pytest.mark.slow
def test_a_small_spool_sheds_and_the_ledger_has_every_flow(store: StoreProcess, tmp_path: Path) -> None:
    port, document = free_port(socket.SOCK_DGRAM), tmp_path / "flowcollector.yaml"
    document.write_text("spec:\n  collector:\n    spool: {maxBytes: 16777216, shed: Oldest}\n")
    command = Command(store, tmp_path, "--listen", f"127.0.0.1:{port}", "-f", str(document))
    command.until_ready()
    agent = Agent(port, "node-shed")
    agent.send(100)
    command.until_counted("store_rows_written", 100)
    os.kill(store.pid, signal.SIGSTOP)
    while command.counters().get("spool_rows_shed", 0) < 50_000:
        agent.send(10_000)
        command.until_counted("decode_records", agent.offered)
        assert agent.offered < 5_000_000
    os.kill(store.pid, signal.SIGCONT)
    agent.report()
    found = ledger(store, agent.offered)
    assert command.stop()[0] == 0
    assert [loss.counter for loss in found.losses] == ["spool_rows_shed"]
    assert found.stored + found.lost == agent.offered - 1
    assert stored(store) == found.stored
