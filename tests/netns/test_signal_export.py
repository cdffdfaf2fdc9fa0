# SPDX-License-Identifier: Apache-2.0
"""Signals on their way out: an agent as a process measures, encodes and says what its kernel gives; a collector reads it."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_signal_dns import ask, query, server

from agent_kit import AgentProcess, Collector, agent, until
from flowgauge.demo.scene import kernel
from flowgauge.ebpf import cost
from flowgauge.schema.enums import TCP_STATE_FINAL
from hello_kit import INITIALS, SERVER_NAME
from node_kit import FAR, A, B, TwoPods, settled, transfer, two_pods
from signal_kit import one, rows

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        kernel.ip_batch(built.node, ["route add default via 10.9.3.2"])  # so that eth0 faces other machines
        yield built


def options(node: TwoPods, to: Collector, *more: str) -> list[str]:
    return ["--netns", node.node, "--node", "n1", "--collector", f"127.0.0.1:{to.port}", "--http-port", "0",
            "--export-interval", "60s", *more]  # fmt: skip


def sent(to: Collector) -> list[dict[str, Any]]:
    """What the collector has decoded."""
    return rows(to.decoded()[0])


def connect_to_nobody(node: TwoPods, port: int) -> None:
    with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client, pytest.raises(ConnectionRefusedError):
        client.connect((B, port))


def test_every_signal_reaches_the_collector(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    with agent(options(node, to), tmp_path) as running, server(node, 0.02):
        done = transfer(node, ("a", "far"), (FAR, 9000), 500_000)
        connect_to_nobody(node, 9001)
        port = ask(node, B, query(7, "api.shop.example"))
        assert running.stop() == 0
    flows, counts, _ = to.decoded()
    assert not {name for name in counts if "error" in name or "unknown" in name}, counts
    found = rows(flows)
    there = one(found, src_addr=A, src_port=done.sender[1])
    assert 0 < there["rtt_min_ns"] <= there["rtt_avg_ns"] <= there["rtt_max_ns"] < 60e9
    assert there["handshake_ns"] > 0
    assert TCP_STATE_FINAL[there["tcp_state_final"]] == "closed"
    refused = one(found, src_addr=A, dst_port=9001)
    assert (refused["drop_packets"], refused["drop_cause"]) == (1, "NO_SOCKET")
    assert TCP_STATE_FINAL[refused["tcp_state_final"]] == "refused"
    asked = one(found, src_addr=A, src_port=port)
    assert (asked["dns_id"], asked["dns_name"], asked["dns_rcode"]) == (7, "api.shop.example", "NOERROR")
    assert asked["dns_latency_ns"] >= 20_000_000


def test_hellos_and_errors_of_icmp_reach_the_collector(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    document.write_text("spec: {exporter: {features: [tls, icmpErrors]}}")
    with agent(options(node, to, "-f", str(document)), tmp_path) as running:
        running.ready()
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(INITIALS["2"], (B, 8443))  # where nobody listens
            settled(node)
        assert running.stop() == 0
    flows, counts, _ = to.decoded()
    assert not {name for name in counts if "error" in name or "unknown" in name}, counts
    row = one(rows(flows), src_addr=A, dst_port=8443)
    assert (row["quic_version"], row["tls_server_name"], row["tls_version"]) == ("2", SERVER_NAME, "")
    assert (row["icmp_error"], row["icmp_error_packets"]) == ("port unreachable", 1)


def test_nodes_that_share_a_kernel_keep_to_their_own(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    """Another node beside this one: what its sockets and its pods' drops tell is not this node's."""
    gate = "table ip gate { chain i { type filter hook input priority 0; tcp dport 9777 drop; }; }"
    with two_pods() as other, agent(options(node, to), tmp_path) as running:
        kernel.nft(other.netns["b"], gate)
        kernel.ip_batch(other.netns["a"], ["addr add 10.9.77.2/32 dev lo"])
        kernel.ip_batch(other.netns["b"], ["addr add 10.9.78.2/32 dev lo"])
        kernel.ip_batch(other.node, ["route add 10.9.78.0/24 via 10.9.2.2"])
        with other.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.bind(("10.9.77.2", 0))
            client.setblocking(False)
            client.connect_ex(("10.9.78.2", 9777))
            settled(other)
        connect_to_nobody(node, 9002)
        assert running.stop() == 0
    found = sent(to)
    assert one(found, src_addr=A, dst_port=9002)["drop_packets"] == 1
    assert not [row for row in found if row["dst_addr"] == "10.9.78.2"]


def test_what_the_kernel_gives_is_told_in_log_status_and_metrics(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    document.write_text("spec: {exporter: {features: [rtt, drops]}}")
    off = ("nat", "dns", "serverTime", "process", "sockets", "tls", "icmpErrors", "macs", "tunnels")
    expected = {"rtt": "on", "drops": "on", **dict.fromkeys(off, "off")}
    with agent(options(node, to, "-f", str(document)), tmp_path) as running:
        assert {name: running.ready()[name] for name in expected} == expected
        assert json.loads(running.get("/api/v1/interfaces"))["features"] == expected
        metrics = dict(
            re.findall(r'^flowgauge_agent_feature\{.*feature="(\w+)".*\} (\d)', running.get("/metrics"), re.MULTILINE)
        )
        assert metrics == {name: str(int(state == "on")) for name, state in expected.items()}


def test_signals_go_on_when_the_program_is_replaced(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    document.write_text("spec: {exporter: {features: [nat]}}")
    with agent(options(node, to, "-f", str(document)), tmp_path) as running:
        connect_to_nobody(node, 9003)
        document.write_text("spec: {exporter: {features: [nat, rtt, drops, dns]}}")
        applied(running)
        connect_to_nobody(node, 9004)
        assert running.stop() == 0
    found = sent(to)
    before, after = one(found, src_addr=A, dst_port=9003), one(found, src_addr=A, dst_port=9004)
    assert (before["drop_packets"], TCP_STATE_FINAL[before["tcp_state_final"]]) == (0, "")
    assert (after["drop_packets"], TCP_STATE_FINAL[after["tcp_state_final"]]) == (1, "refused")


def applied(running: AgentProcess) -> None:
    """Asks the agent to read its document again, and waits until it did."""
    running.signal(signal.SIGHUP)
    until(lambda: running.events("settings_applied"), "settings_applied")


def test_the_agent_tells_what_the_kernel_side_costs(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    with agent(options(node, to), tmp_path) as running, cost.statistics():
        transfer(node, ("a", "b"), (B, 9005), 10_000)
        metrics = running.get("/metrics")
    size = {
        name: float(value)
        for name, value in re.findall(r'^flowgauge_agent_map_bytes\{.*map="(\w+)".*\} (\S+)', metrics, re.MULTILINE)
    }
    runs = dict(re.findall(r'^flowgauge_agent_program_runs_total\{.*program="(\w+)".*\} (\S+)', metrics, re.MULTILINE))
    assert size["flows_even"] == size["flows_odd"] > 262_144 * 104
    assert 0 < size["sockets"] < size["cache"] < size["flows_even"]
    assert float(runs["flow_ingress"]) > 2
    assert float(runs["on_tcp_state"]) > 2
