# SPDX-License-Identifier: Apache-2.0
"""An agent whose namespace loses its name: what was counted is sent, it says so and ends, and the namespace with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kit import WITHIN_S, AgentProcess, Collector, until
from flowgauge.agent import node_counters
from flowgauge.agent.namespace import Namespace
from flowgauge.demo.scene import counters
from flowgauge.runtime import linux
from node_kit import A, B, TwoPods, settled, transfer, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.fixture
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def devices(netns: str) -> set[str]:
    return set(node_counters.read(netns).devices)


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "another of its name"])
def test_it_sends_what_it_counted_and_ends(node: TwoPods, to: Collector, tmp_path: Path, *, again: bool) -> None:
    words = ["--netns", node.node, "--node", "n1", "--collector", f"127.0.0.1:{to.port}", "--http-port", "0",
             "--export-interval", "60s"]  # fmt: skip
    running = AgentProcess(words, tmp_path)
    running.ready()
    counters.count_not_ip(node.node, "va")
    before = settled(node, 0.0)["va"]
    transfer(node, ("a", "b"), (B, 9000), 100_000)
    crossed = settled(node)["va"].since(before).packets - counters.not_ip(node.node)["va"].packets
    linux.delete_netns(node.node)
    if again:
        linux.create_netns(node.node)
    assert running.process.wait(WITHIN_S) == 3
    what = "is another one now" if again else "is gone"
    said = f"flowgauge: the network namespace {node.node} {what}; what was counted in the one that was observed is sent"
    assert [event["event"].startswith(said) for event in running.log()].count(True) == 1, running.log()
    sent = [row for row in to.rows() if {row["src_addr"], row["dst_addr"]} == {A, B} and row["packets"]]
    assert sum(row["packets"] for row in sent) == crossed
    until(lambda: "eth0" not in devices(node.netns["a"]), "the other end of the node's device goes with the node")


def test_its_counters_are_those_of_what_is_observed(node: TwoPods) -> None:
    namespace = Namespace(node.node)
    linux.delete_netns(node.node)
    linux.create_netns(node.node)
    assert "va" not in devices(node.node)
    assert "va" in devices(namespace.path)
    namespace.close()
