# SPDX-License-Identifier: Apache-2.0
"""An agent that may not load eBPF programs observes all the same, and says what it does not see."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent_kit import AgentProcess, Collector, agent, collector, until
from flowgauge.agent.main import Agent
from flowgauge.agent.settings import AgentSettings
from flowgauge.config import model
from flowgauge.ebpf import hooks
from flowgauge.runtime import linux
from node_kit import A, B, TwoPods, settled, transfer, two_pods

pytestmark = pytest.mark.root

AS_IN_A_CONTAINER = ["setpriv", "--bounding-set=-all,+net_raw,+net_bind_service", "--inh-caps=-all", "--"]


@contextmanager
def observing(folder: Path) -> Iterator[tuple[TwoPods, Collector, AgentProcess]]:
    """A node whose agent has the capabilities that a container has by default."""
    with two_pods() as node, linux.in_netns(node.node), collector() as to:
        words = ["--node", "n1", "--collector", f"127.0.0.1:{to.port}", "--http-port", "0", "--export-interval", "200ms"]
        with agent(words, folder, AS_IN_A_CONTAINER) as running:
            yield node, to, running


@pytest.mark.bpf
def test_a_kernel_that_loads_and_attaches_nothing_is_captured_after_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(ifindex: int, *_: object, **__: object) -> hooks.Attachment:
        raise OSError(errno.EOPNOTSUPP, f"no hooks at {ifindex}")

    monkeypatch.setattr(hooks, "attach", refuse)
    with two_pods() as node, collector() as to:
        told = model.Collector(address="127.0.0.1", port=to.port)
        settings = AgentSettings(netns=node.node, node="n1", http_port=0, collector=told)
        agent_here = Agent(settings)
        try:
            agent_here.start()
            agent_here.apply(replace(settings, exporter=model.Exporter(max_flows=4096)))
            transfer(node, ("a", "b"), (B, 9000), 500_000)
            settled(node)
        finally:
            agent_here.stop()
        until(lambda: sum(row["packets"] for row in to.rows() if row["src_addr"] == A) > 10, "flows of a")


def test_without_ebpf_flows_are_exported_and_what_is_missing_is_said(tmp_path: Path) -> None:
    with observing(tmp_path) as (node, to, running):
        said = running.events("observing_without_ebpf")
        assert len(said) == 1
        assert "CAP_BPF" in said[0]["why"]
        assert {"rtt", "drops", "dns"} <= set(said[0]["not_measured"].split(", "))
        assert running.ready()["attached"] == dict.fromkeys(("va", "vb", "eth0"), "af_packet")
        transfer(node, ("a", "b"), (B, 9000), 500_000)
        sent = settled(node)["va"].rx_packets
        until(lambda: sum(row["packets"] for row in to.rows() if row["src_addr"] == A) > 10, "flows of a")
        status = json.loads(running.get("/api/v1/interfaces"))
        metrics = running.get("/metrics")
        assert running.stop() == 0
        counters = to.counters()
    assert "CAP_BPF" in status["without_ebpf"]
    assert status["features"]["rtt"] == "not visible without eBPF"
    assert any(line.startswith("flowgauge_agent_without_ebpf{") and line.endswith(" 1.0") for line in metrics.splitlines())
    there = [row for row in to.rows() if (row["src_addr"], row["dst_addr"], row["proto"]) == (A, B, 6)]
    assert 0 < sum(row["packets"] for row in there) <= sent
    assert sum(row["bytes"] for row in there) > 500_000
    losses = {name: value for name, value in counters.items() if name.startswith("kernel_packets_")}
    assert losses.pop("kernel_packets_seen") == sum(losses.values()) > 0
    assert losses["kernel_packets_ring_full"] == 0
