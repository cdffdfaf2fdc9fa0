# SPDX-License-Identifier: Apache-2.0
"""The document's choice of traffic changes under load: every packet stands in exactly one of the ledger's places."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kit import AgentProcess, Collector, agent, until
from flowgauge.runtime import linux
from node_kit import B, TwoPods, observed, settled, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

REJECT: dict[str, Any] = {"action": "reject", "protocol": "UDP", "ports": ["7001"]}
CHOICES: list[dict[str, Any]] = [
    {"rules": [REJECT]},
    {"rules": [REJECT, {"protocol": "UDP", "ports": ["7002"], "sampling": 5}]},
    {"sampling": 3},
    {"rules": [{"protocol": "UDP", "destinationPorts": ["7003"]}, {"action": "reject"}]},
    {"sampling": 4, "samplingMode": "flow", "rules": [REJECT]},
    {"inactiveTimeout": "1s"},
    {"namespaces": {"include": ["shop"]}},
    {"namespaces": {"exclude": ["shop"]}, "rules": [REJECT]},
    {"interfaces": ["/^v/"]},
    {},
]
"""Gone through twice: twenty changes."""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


class Load:
    """Datagrams from pod a to four ports of pod b, without end."""

    def __init__(self, node: TwoPods) -> None:
        self._socket, self._stop, self.sent = node.socket("a", socket.AF_INET, socket.SOCK_DGRAM), threading.Event(), 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._socket.sendto(bytes(64), (B, 7001 + self.sent % 4))
            self.sent += 1
            if self.sent % 20 == 0:
                time.sleep(0.001)

    def go_on(self, datagrams: int) -> None:
        """Waits until so many more were sent, which takes as long as the machine is busy."""
        wanted = self.sent + datagrams
        until(lambda: self.sent >= wanted, f"{datagrams} more datagrams")

    def stop(self) -> int:
        """How many were sent."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
        return self.sent


def change(running: AgentProcess, path: Path, to: Collector, choice: dict[str, Any]) -> None:
    """Writes the document with this choice and waits until the agent has taken it over."""
    applied = len(running.events("settings_applied"))
    write(path, to, choice)
    running.signal(signal.SIGHUP)
    until(lambda: len(running.events("settings_applied")) > applied, "applied")


def write(path: Path, to: Collector, choice: dict[str, Any]) -> None:
    exporter = {"exportInterval": "300ms", "interfaces": ["va", "vb"], **choice}
    path.write_text(json.dumps({"spec": {"exporter": exporter, "collector": {"address": "127.0.0.1", "port": to.port}}}))


@pytest.mark.slow
def test_twenty_changes_under_load_lose_no_packet_and_count_none_twice(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    path, objects = tmp_path / "doc.yaml", tmp_path / "objects.json"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b", "namespace": "shop", "uid": "1"},
           "spec": {}, "status": {"phase": "Running", "podIPs": [{"ip": B}], "podIP": B}}  # fmt: skip
    objects.write_text(json.dumps({"kind": "List", "items": [pod]}))
    write(path, to, {})
    more = ["--netns", node.node, "--node", "n1", "--http-port", "0", "--kubernetes-objects", str(objects)]
    before = settled(node)
    with agent(["-f", str(path), *more], tmp_path) as running:
        load = Load(node)
        for choice in CHOICES * 2:
            load.go_on(500)
            change(running, path, to, choice)
        sent = load.stop()
        moved = {name: now.since(before[name]) for name, now in settled(node).items()}
        assert running.stop() == 0
    counts = {name.removeprefix("kernel_packets_"): value for name, value in to.counters().items() if value}
    parts = {name: counts.get(name, 0) for name in ("in_flows", "filtered", "sampled_out", "not_ip", "seen_before")}
    assert counts["seen"] == sum(parts.values()) == moved["va"].met + moved["vb"].met
    assert min(parts["in_flows"], parts["filtered"], parts["sampled_out"]) > sent / 50
    assert sum(row["packets"] for row in to.rows()) == counts["in_flows"]
    assert parts["in_flows"] + parts["filtered"] + parts["sampled_out"] >= sent


def test_changes_that_come_faster_than_they_are_taken_over_do_not_hold_up_exports(
    node: TwoPods, to: Collector, tmp_path: Path
) -> None:
    path, many = tmp_path / "doc.yaml", 60
    write(path, to, {})
    with agent(["-f", str(path), "--netns", node.node, "--node", "n1", "--http-port", "0"], tmp_path) as running:
        load, before = Load(node), len(to.rows())
        load.go_on(500)
        for number in range(many):  # each needs another program, which takes a second on a busy machine
            write(path, to, {"maxFlows": 1000 + number})
            running.signal(signal.SIGHUP)
            time.sleep(0.02)
        until(lambda: len(to.rows()) > before, "exports go on")
        write(path, to, {"maxFlows": 2000, "exportInterval": "400ms"})
        running.signal(signal.SIGHUP)
        sent = load.stop()
        assert running.stop() == 0
        assert len(running.events("settings_applied")) < many / 2
    assert sum(row["packets"] for row in to.rows() if row["proto"] == socket.IPPROTO_UDP) == sent


@pytest.mark.parametrize("tcx", [True, False], ids=["tcx", "clsact"])
def test_a_program_takes_the_place_of_another_between_two_packets(node: TwoPods, *, tcx: bool) -> None:
    """Two loads of the program change places a hundred times under load: what one did not see the other did."""
    with observed(node, ["va"], tcx=tcx) as first, observed(node, [], tcx=tcx) as second:
        settled(node, 1.5)  # what a new device says of itself came since the hook, and is none of the counters' difference
        before, seen_before, ifindex = settled(node)["va"], first.program.counters()["kernel_packets_seen"], node.ifindex("va")
        load = Load(node)
        for turn in range(100):
            programs = (second.program, first.program) if turn % 2 == 0 else (first.program, second.program)
            with linux.in_netns(node.node):
                programs[0].take_over(ifindex, first.attachments["va"])
            load.go_on(2)  # the first of them may have passed the hook before
        sent = load.stop()
        device = settled(node)["va"].since(before)
        seen = [one.program.counters()["kernel_packets_seen"] for one in (first, second)]
        first.detach()
    assert min(seen[0] - seen_before, seen[1]) > 0
    assert sum(seen) - seen_before == device.met >= sent
