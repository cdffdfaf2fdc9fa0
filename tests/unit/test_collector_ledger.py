# SPDX-License-Identifier: Apache-2.0
"""The ledger's way into the real store: cumulative, complete after failed writes, agents under their own names."""

from __future__ import annotations

import pytest

from collector_kit import options, report
from flowgauge.collector import agent_ledgers, node_kernels
from flowgauge.collector import ledger_writer as module
from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.ledger_writer import LedgerWriter, remember_agents
from flowgauge.collector.node_kernels import NodeKernels
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.options import AgentReport
from flowgauge.query.completeness import summed
from flowgauge.query.nodes import congestion
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.store import KERNEL
from store_kit import StoreProcess, last, now_ms, running_store


def in_store(process: StoreProcess, instance: str) -> dict[str, int]:
    """Counter → how far it went in the last minutes, as completeness reads it."""
    return {change.counter: change.change for change in process.open().ledger(last()) if change.instance == instance}


def test_own_and_agents_counters_arrive_under_their_instances(process: StoreProcess) -> None:
    start = now_ms()
    ledger, agents = Ledger("collector", f"here@{start}"), AgentLedgers()
    writer = LedgerWriter(process.open(), ledger, agents)
    ledger.add("store_rows_written", 10)
    agents.learn(ExporterDirectory().learn([options(report("node-a", start, kernel_packets_seen=5, export_records_sent=3))]))
    assert writer.write()
    ledger.add("store_rows_written", 7)
    assert writer.write()
    assert in_store(process, f"here@{start}") == {"store_rows_written": 17}
    assert in_store(process, f"node-a@{start}") == {"kernel_packets_seen": 5, "export_records_sent": 3}


def test_what_kernels_count_stands_beside_the_ledger_and_says_how_congested_nodes_were(process: StoreProcess) -> None:
    """An agent's first word tells what the kernel counted since it began, which is not the time range's."""
    clock, told = [0.0], NodeKernels(lambda: clock[0])
    writer = LedgerWriter(process.open(), Ledger("collector", f"kernels@{now_ms()}"), AgentLedgers(), kernels=told.snapshot)
    told.learn("node-x", {"conntrack_entries": 90, "conntrack_entries_max": 100, "listen_overflows": 1000,
                          "device_in_dropped_packets@eth0": 5, "device_out_error_packets@eth1": 2}, {})  # fmt: skip
    assert writer.write()
    told.learn("node-x", {"conntrack_entries": 40, "listen_overflows": 1003, "device_in_dropped_packets@eth0": 17}, {})
    assert writer.write()
    changes = process.open().ledger(last())
    assert not summed(change for change in changes if change.component == KERNEL).known
    [found] = [one for one in congestion(changes) if one.node == "node-x"]
    assert (found.conntrack_entries, found.conntrack_entries_max) == (90, 100)
    assert {name: value for name, value in found.counters.items() if value} == {"listen_overflows": 3}
    assert found.devices == {"eth0": {"device_in_dropped_packets": 12}}
    assert tuple(sign.words for sign in found.signs) == (
        "3 connections found a listener's queue full",
        "eth0 dropped 12 received packets",
        "connection tracking is 90 % full: 90 of 100",
    )
    assert "ethtool -S eth0" in found.signs[1].advice
    assert [sign.over for sign in found.signs] == [False, False, True], "there is room for connections again"
    first_word, last_word = found.signs[2].last_ms, found.signs[1].last_ms
    assert first_word <= last_word <= found.told_ms
    clock[0] += node_kernels.SILENT_S + 1
    assert told.snapshot() == {}


def test_a_kernels_counter_that_is_heard_of_late_moved_by_what_its_agent_says(process: StoreProcess) -> None:
    """Its first words may have got lost; what it was long before is told, too, and is no difference."""
    told, before = NodeKernels(), {"device_in_dropped_packets@eth0": 60_000}
    writer = LedgerWriter(process.open(), Ledger("collector", f"late@{now_ms()}"), AgentLedgers(), kernels=told.snapshot)
    told.learn("node-y", {"conntrack_entries": 90}, {})
    assert writer.write()
    told.learn("node-y", {"device_in_dropped_packets@eth0": 60_500}, before)
    assert writer.write()
    told.learn("node-y", {"device_in_dropped_packets@eth0": 60_501}, before)
    assert writer.write()
    [found] = [one for one in congestion(process.open().ledger(last())) if one.node == "node-y"]
    assert found.devices == {"eth0": {"device_in_dropped_packets": 501}}


def test_only_what_moved_is_written_and_the_rest_now_and_then(process: StoreProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    store = process.open()
    monkeypatch.setattr(store, "write_ledger", lambda rows: written.append([row.counter for row in rows]))
    ledger = Ledger("collector", f"moved@{now_ms()}")
    writer = LedgerWriter(store, ledger, AgentLedgers())
    ledger.add("receive_datagrams", 1)
    ledger.add("receive_bytes", 1)
    writer.write()
    ledger.add("receive_bytes", 1)
    writer.write()
    monkeypatch.setattr(module, "REPEAT_S", 0.0)
    writer.write()
    assert written == [["receive_datagrams", "receive_bytes"], ["receive_bytes"], ["receive_datagrams", "receive_bytes"]]


@pytest.mark.slow
def test_a_write_that_failed_loses_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    start = now_ms()
    ledger = Ledger("collector", f"failed@{start}")
    with running_store(tmp_path_factory.mktemp("store")) as process:
        writer = LedgerWriter(process.open(retry_s=0), ledger, AgentLedgers())
        process.kill()
        ledger.add("receive_bytes", 5)
        assert not writer.write()
        ledger.add("receive_bytes", 6)
        process.start()
        assert writer.write()
        assert in_store(process, f"failed@{start}") == {"receive_bytes": 11}


def test_the_last_values_are_written_at_the_stop(process: StoreProcess) -> None:
    start = now_ms()
    ledger = Ledger("collector", f"stopped@{start}")
    writer = LedgerWriter(process.open(), ledger, AgentLedgers())
    writer.start()
    ledger.add("receive_bytes", 3)
    writer.stop(10)
    writer.stop(10)
    assert in_store(process, f"stopped@{start}") == {"receive_bytes": 3}


def test_a_counter_beyond_64_bits_is_cut_not_refused(process: StoreProcess) -> None:
    agents = AgentLedgers()
    agents.learn([AgentReport("huge", 1, {"kernel_packets_seen": 1 << 70})])
    assert LedgerWriter(process.open(), Ledger("collector", "huge@1"), agents).write()


def test_after_a_restart_agents_are_known_before_they_speak(process: StoreProcess) -> None:
    agents = AgentLedgers()
    agents.learn(
        [AgentReport("remembered-a", 1, {"kernel_packets_seen": 1}), AgentReport("remembered-b", 1, {"eviction_flows": 1})]
    )
    LedgerWriter(process.open(), Ledger("collector", f"gone@{now_ms()}"), agents).write()
    known = ExporterDirectory()
    remember_agents(process.open(), known)
    assert {"remembered-a", "remembered-b"} <= known.agents().names
    assert "gone" not in known.agents().names


def test_counters_of_datagrams_that_overtook_each_other_never_go_back() -> None:
    agents = AgentLedgers()
    agents.learn([AgentReport("a", 1, {"eviction_flows": 9}), AgentReport("a", 1, {"eviction_flows": 7, "eviction_lost": 1})])
    agents.learn([AgentReport("a", 2, {"eviction_flows": 1})])
    assert agents.snapshot() == {"a@1": {"eviction_flows": 9, "eviction_lost": 1}, "a@2": {"eviction_flows": 1}}


def test_instances_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_ledgers, "MAX_INSTANCES", 3)
    agents = AgentLedgers()
    agents.learn(AgentReport("a", start, {"eviction_flows": 1}) for start in (1, 2, 3, 1, 4))
    assert set(agents.snapshot()) == {"a@3", "a@1", "a@4"}
