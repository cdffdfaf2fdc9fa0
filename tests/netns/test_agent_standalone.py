# SPDX-License-Identifier: Apache-2.0
"""``flowgauge agent --standalone``: flows of a node printed in place, without a collector, equal to what was transferred."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kit import WITHIN_S
from flowgauge.runtime import linux
from node_kit import B, TwoPods, settled, transfer, two_pods
from signal_kit import own_name

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.fixture
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def test_what_is_printed_is_what_was_transferred_and_nothing_the_filter_leaves_out(node: TwoPods, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "flowgauge.cli.main", "agent", "--standalone", "--netns", node.node,
               "--filter", "port = 9000", "-o", "jsonl"]  # fmt: skip
    out = tmp_path / "flows.jsonl"
    with out.open("w") as stream, subprocess.Popen(command, stdout=stream, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "observing" in running.stderr.readline()
        before = settled(node, 0.0)["va"]
        transfer(node, ("a", "b"), (B, 9000), 1_000_000)
        transfer(node, ("a", "b"), (B, 9001), 1000)
        crossed = settled(node)["va"].since(before)
        running.terminate()
        assert running.wait(WITHIN_S) == 0
        last = running.stderr.read()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {9000} == {row[side] for row in rows for side in ("src_port", "dst_port") if row[side] in (9000, 9001)}
    assert f"{len(rows)} flow" in last
    there = sum(row["bytes"] for row in rows if row["dst_port"] == 9000)
    assert 1_000_000 < there < crossed.rx_bytes
    assert not any(row["node_reporter"] == "" for row in rows)
    assert {row["src_process"] for row in rows} == {row["dst_process"] for row in rows} == {own_name()}


@pytest.mark.tool("setpriv")
@pytest.mark.parametrize(
    ("prefix", "words", "note"),
    [
        ((), ("--interface", "ens99"), "ens99 matches nothing on n1 (it has eth0, va, vb)"),
        (
            ("setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin"),
            (),
            "packets are captured, without signals: flowgauge agent needs CAP_BPF",
        ),
    ],
    ids=["no such device", "no eBPF"],
)
def test_what_it_does_not_see_it_says_at_once(
    node: TwoPods, prefix: tuple[str, ...], words: tuple[str, ...], note: str
) -> None:
    command = [*prefix, sys.executable, "-P", "-m", "flowgauge.cli.main", "agent", "--standalone", "--node", "n1", *words]
    with linux.in_netns(node.node):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with running:
        assert running.stderr is not None
        assert "observing n1" in running.stderr.readline()
        assert running.stderr.readline().startswith(f"note: {note}")
        running.terminate()
        assert running.wait(WITHIN_S) == 0
