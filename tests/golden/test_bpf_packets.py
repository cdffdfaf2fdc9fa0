# SPDX-License-Identifier: Apache-2.0
"""Crafted packets through the real program in the real kernel (PROG_TEST_RUN), against what each folder expects.

A case is a folder below ``bpf/``: ``in.pcap`` and ``expected.json`` (what it is about, a super-packet's segments, the flows
and the counters). GOLDEN_UPDATE=1 rewrites what is expected; tshark reads the same capture as an independent witness.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebpf_kit import context, flows, frames, loaded, show, touched
from flowgauge.ebpf.flow_program import FlowProgram

FOLDER = Path(__file__).parent / "bpf"
CASES = sorted(path.name for path in FOLDER.iterdir())
pytestmark = pytest.mark.bpf


@pytest.fixture
def program() -> Iterator[FlowProgram]:
    with loaded(max_flows=1024) as one:
        yield one


def expectation(case: str) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((FOLDER / case / "expected.json").read_text())
    return expected


def run(program: FlowProgram, case: str) -> None:
    gso = expectation(case).get("gso", {"size": 0, "segments": 0})
    for frame in frames(FOLDER / case / "in.pcap"):
        show(program, frame, ctx=context(gso_size=gso["size"], gso_segments=gso["segments"]))


@pytest.mark.parametrize("case", CASES)
def test_the_packets_are_the_flows_that_are_expected(program: FlowProgram, case: str) -> None:
    run(program, case)
    expected = expectation(case)
    found = {**expected, "flows": flows(program.evict()), "counters": touched(program.counters())}
    if os.environ.get("GOLDEN_UPDATE"):
        (FOLDER / case / "expected.json").write_text(json.dumps(found, indent=1) + "\n")
    assert found == expected


@pytest.mark.parametrize("case", CASES)
def test_every_packet_is_in_one_place(program: FlowProgram, case: str) -> None:
    run(program, case)
    counters = touched(program.counters())
    assert counters.pop("seen") == sum(counters.values())
    assert counters.get("in_flows", 0) == sum(row["packets"] for row in flows(program.evict()))


FIELDS = ("ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "ip.len", "ipv6.plen", "tcp.srcport", "udp.srcport", "tcp.flags")
TSHARK = ["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "ip.tso_support:FALSE"]


def seen_by_tshark(case: str) -> Iterator[dict[str, str]]:
    """The outermost value of each field, of the frames that have an IP header."""
    options = [word for name in FIELDS for word in ("-e", name)]
    command = [
        "tshark",
        *TSHARK,
        "-r",
        str(FOLDER / case / "in.pcap"),
        "-T",
        "fields",
        "-E",
        "separator=;",
        "-E",
        "occurrence=f",
    ]
    answer = subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout
    for line in answer.splitlines():
        row = dict(zip(FIELDS, line.split(";"), strict=True))
        if row["ip.src"] or row["ipv6.src"]:
            yield row


OTHERWISE = {
    "malformed": "we take no flow of it",
    "not-ip": "tshark looks behind MPLS",
    "vlan-three-tags": "tshark reads any number",
    "ipv6-payload-length-zero": "tshark has no length",
    "other-protocols": "tshark's first source may be the inner one's",
}


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("case", [case for case in CASES if case not in OTHERWISE and not case.startswith("gso-")])
def test_tshark_counts_the_same_packets_bytes_and_flags(program: FlowProgram, case: str) -> None:
    witness: Counter[tuple[str, str]] = Counter()
    flags: dict[tuple[str, int], int] = {}
    for row in seen_by_tshark(case):
        source = row["ip.src"] or row["ipv6.src"]
        witness[source, "packets"] += 1
        witness[source, "bytes"] += int(row["ip.len"]) if row["ip.src"] else int(row["ipv6.plen"]) + 40
        if row["tcp.flags"]:
            flow = source, int(row["tcp.srcport"])
            flags[flow] = flags.get(flow, 0) | int(row["tcp.flags"], 16)
    run(program, case)
    ours: Counter[tuple[str, str]] = Counter()
    our_flags: dict[tuple[str, int], int] = {}
    for found in flows(program.evict()):
        ours.update({(found["src_addr"], name): found[name] for name in ("packets", "bytes")})
        if found["tcp_flags"]:
            flow = found["src_addr"], found["src_port"]
            our_flags[flow] = our_flags.get(flow, 0) | found["tcp_flags"]
    assert ours == witness
    assert our_flags == flags
