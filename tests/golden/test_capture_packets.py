# SPDX-License-Identifier: Apache-2.0
"""The packets of ``bpf/`` through the reader that stands in for the eBPF program: the same flows, packet by packet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ebpf_kit import flows, frames
from flowgauge.agent.capture_fragments import Fragments
from flowgauge.agent.capture_packets import Read, read
from flowgauge.agent.capture_table import Table
from flowgauge.ebpf import abi
from flowgauge.ebpf.tables import empty
from ring_kit import ring_frames

FOLDER = Path(__file__).parent / "bpf"
DEEPER = {"ipv6-six-extension-headers"}
"""Of seven extension headers the eBPF program reads six, within what the verifier allows; here are eight."""
CASES = sorted({path.name for path in FOLDER.iterdir()} - DEEPER)
UNKNOWN = empty(abi.FLOW_KEY, abi.TRANSLATION)


def counters(found: Read, in_flows: int) -> dict[str, int]:
    named = {"seen": found.seen, "in_flows": in_flows, "not_ip": found.not_ip, "parse_error": found.parse_errors}
    return {name: value for name, value in named.items() if value}


@pytest.mark.parametrize("case", CASES)
def test_captured_packets_are_the_flows_that_ebpf_makes_of_them(case: str) -> None:
    expected: dict[str, Any] = json.loads((FOLDER / case / "expected.json").read_text())
    size = expected.get("gso", {"size": 0})["size"]
    found = read(ring_frames(frames(FOLDER / case / "in.pcap"), gso_size=size), Fragments())
    table = Table(1024)
    table.add(found.packets)
    taken = table.take(UNKNOWN)
    assert flows(taken.flows) == expected["flows"]
    assert counters(found, int(taken.flows.values["packets"].sum())) == expected["counters"]
    assert (taken.seen_before, len(taken.macs)) == (0, 0)
