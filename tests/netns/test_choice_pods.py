# SPDX-License-Identifier: Apache-2.0
"""Namespaces and pods chosen in the document are what the agent observes, while pods come and go."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kit import Collector, agent, until
from flowgauge.cli.main import main
from node_kit import A6, B6, FAR, FAR6, A, B, TwoPods, transfer, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

PAYLOAD = 1000
"""Bytes of the smallest transfer: one segment."""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def event(what: str, name: str, namespace: str, *ips: str, **labels: str) -> str:
    """A line of the objects' log."""
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]},
    }  # fmt: skip
    return json.dumps({"type": what, "object": pod}) + "\n"


def start(path: Path, to: Collector, choice: dict[str, Any]) -> list[str]:
    """The document with this choice, and the options of an agent that follows it."""
    exporter = {"exportInterval": "200ms", **choice}
    document = {"spec": {"exporter": exporter, "collector": {"address": "127.0.0.1", "port": to.port}}}
    path.write_text(json.dumps(document))
    return ["-f", str(path), "--node", "n1", "--http-port", "0"]


def chosen(running: Any) -> int:
    """How many addresses are chosen."""
    lines = running.get("/metrics").splitlines()
    return next(int(float(line.split()[-1])) for line in lines if line.startswith("flowgauge_agent_chosen_addresses"))


def ends(to: Collector) -> set[frozenset[str]]:
    """Of the TCP flows that have packets."""
    return {frozenset((row["src_addr"], row["dst_addr"])) for row in to.rows() if row["proto"] == 6 and row["packets"]}


def carried(to: Collector) -> set[tuple[str, str, int]]:
    """Ways and ports of the TCP flows that have a transfer's payload.

    Others are of transfers before: sockets tell what becomes of them at any time, also those of other nodes of this machine
    whose pods have these addresses, and on a busy machine an end may be sent and acknowledged again.
    """
    sums = Counter[tuple[str, str, int]]()
    for row in to.rows():
        sums[row["src_addr"], row["dst_addr"], row["dst_port"]] += row["bytes"] if row["proto"] == 6 else 0
    return {way for way, total in sums.items() if total > PAYLOAD}


def talk(node: TwoPods) -> None:
    """A with B, A with far, and far with B, over both families."""
    for way, address in ((("a", "b"), B), (("a", "far"), FAR), (("far", "b"), B), (("far", "b"), B6), (("far", "a"), A6)):
        transfer(node, way, (address, 9000), 20_000)


def test_only_what_has_an_end_in_a_chosen_namespace_is_observed(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    objects = tmp_path / "objects.log"
    objects.write_text(event("ADDED", "a", "shop", A, A6) + event("ADDED", "b", "infra", B, B6))
    options = start(tmp_path / "doc.yaml", to, {"namespaces": {"include": ["sh*"]}})
    with agent([*options, "--netns", node.node, "--kubernetes-objects", str(objects)], tmp_path) as running:
        talk(node)
        assert running.stop() == 0
    assert {pair for pair in ends(to) if not pair & {A, A6}} == set()
    assert len(ends(to)) == 3
    counts = to.counters()
    assert counts["kernel_packets_filtered"] > 0
    assert counts["kernel_packets_seen"] == sum(counts.get(f"kernel_packets_{name}", 0) for name in (
        "in_flows", "seen_before", "filtered", "not_ip", "parse_error"))  # fmt: skip


def test_pods_that_come_and_go_are_followed_and_exclusion_wins(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    objects = tmp_path / "objects.log"
    objects.write_text(event("ADDED", "a", "shop", A, A6, app="web"))
    choice: dict[str, Any] = {"pods": {"exclude": [{"matchLabels": {"app": "web"}}]}}
    options = start(tmp_path / "doc.yaml", to, choice)
    with agent([*options, "--netns", node.node, "--kubernetes-objects", str(objects)], tmp_path) as running:
        talk(node)
        with objects.open("a") as log:
            log.write(event("DELETED", "a", "shop", A, A6, app="web") + event("ADDED", "b", "shop", B, app="web"))
        until(lambda: chosen(running) == 1, "the pod that came")
        transfer(node, ("a", "far"), (FAR, 9100), 20_000)
        transfer(node, ("a", "b"), (B, 9100), 20_000)
        assert running.stop() == 0
    called = {way for way in carried(to) if way[2] in (9000, 9100)}
    assert called == {(FAR, B, 9000), (FAR6, B6, 9000), (A, FAR, 9100)}


def test_a_changed_document_chooses_anew_while_it_runs(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    objects, path = tmp_path / "objects.log", tmp_path / "doc.yaml"
    objects.write_text(event("ADDED", "a", "shop", A, A6) + event("ADDED", "b", "infra", B, B6))
    with agent([*start(path, to, {}), "--netns", node.node, "--kubernetes-objects", str(objects)], tmp_path) as running:
        for number, (choice, addresses) in enumerate(
            (({"namespaces": {"include": ["shop"]}}, 2), ({"namespaces": {"include": ["shop", "infra"]}}, 4),
             ({"namespaces": {"include": ["nobody"]}}, 0), ({}, 0)), 1):  # fmt: skip
            start(path, to, choice)
            running.signal(signal.SIGHUP)
            until(lambda wanted=number: len(running.events("settings_applied")) == wanted, "applied")
            if choice:
                assert chosen(running) == addresses
            transfer(node, ("b", "far"), (FAR, 9200 + number), PAYLOAD)
        assert running.stop() == 0
    assert {way for way in carried(to) if way[0] == B} == {(B, FAR, 9202), (B, FAR, 9204)}


def test_without_objects_nothing_can_be_chosen_and_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "doc.yaml"
    path.write_text("spec: {exporter: {namespaces: {include: [shop]}}}")
    assert main(["agent", "-f", str(path), "--collector", "127.0.0.1:1"]) == 2
    assert "give --kubernetes-objects PATH" in capsys.readouterr().err
    assert main(["run", "-f", str(path), "--data-dir", str(tmp_path / "data")]) == 2
    assert "give --kubernetes-objects PATH" in capsys.readouterr().err
