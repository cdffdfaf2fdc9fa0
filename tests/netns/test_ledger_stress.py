# SPDX-License-Identifier: Apache-2.0
"""The kernel's ledger adds up and agrees with the devices' own counters, with tables far too small and eviction far too slow.

And the check itself is checked: a program built to count twice does not pass it.
"""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ebpf_kit import flows, touched
from flowgauge.agent.rules import kernel_rules
from flowgauge.config.choice import Rule
from flowgauge.demo.scene import counters
from flowgauge.ebpf import parts
from flowgauge.ebpf.abi_settings import CACHE_WAYS
from flowgauge.ebpf.libbpf import possible_cpus
from flowgauge.runtime import linux
from node_kit import B, Observed, TwoPods, observed, settled, transfer, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

TABLE = 512
ROUNDS = 3
PODS = ("va", "vb")
REJECTED = kernel_rules([Rule.model_validate({"action": "reject", "protocol": "UDP", "destinationPorts": ["9900-9999"]})], 1)
ONCE = ("in_flows", "filtered", "sampled_out", "table_full", "parse_error")
"""What becomes of an IP packet where it is seen first."""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        for device in PODS:
            with linux.in_netns(built.node):
                counters.count_not_ip(built.node, device)
        yield built


@dataclass(slots=True)
class Outcome:
    """What was counted by whom."""

    seen: dict[str, int]
    evicted: int
    device_packets: int
    received_ip: int

    def problems(self) -> list[str]:
        """What does not add up, a sentence each."""
        seen = self.seen
        parts = sum(seen.get(name, 0) for name in (*ONCE, "seen_before", "not_ip"))
        found = {
            f"seen {seen['seen']} is not the sum of its parts {parts}": seen["seen"] != parts,
            f"seen {seen['seen']}, the devices say {self.device_packets}": seen["seen"] != self.device_packets,
            f"counted {sum(seen.get(name, 0) for name in ONCE)} IP packets, {self.received_ip} came in": sum(
                seen.get(name, 0) for name in ONCE
            )
            != self.received_ip,
            f"{self.evicted} packets in flows, {seen.get('in_flows', 0)} counted": self.evicted != seen.get("in_flows", 0),
        }
        return [words for words, wrong in found.items() if wrong]


def load(node: TwoPods, flows_a_round: int) -> None:
    """New flows, a bulk transfer, what is rejected, what is not IP, what is malformed: all from pod a to pod b."""
    with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for at in range(flows_a_round):
            udp.sendto(b"x", (B, 10_000 + at))
        for port in range(9900, 9910):
            udp.sendto(b"x", (B, port))
    transfer(node, ("a", "b"), (B, 9000), 200_000)
    with node.socket("a", socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for _ in range(7):
            raw.send(b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x88\xcc" + bytes(46))
            raw.send(b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x08\x00\x45" + bytes(9))


def run(node: TwoPods, watch: Observed, flows_a_round: int) -> Outcome:
    before, not_ip = settled(node), counters.not_ip(node.node)
    evicted = 0
    for _ in range(ROUNDS):
        load(node, flows_a_round)
        evicted += sum(row["packets"] for row in flows(watch.program.evict()))
    after, not_ip_after = settled(node), counters.not_ip(node.node)
    evicted += sum(row["packets"] for row in watch.flows())
    moved = {name: after[name].since(before[name]) for name in PODS}
    other = {name: not_ip_after[name].since(not_ip[name]) for name in PODS}
    return Outcome(
        seen=touched(watch.program.counters()),
        evicted=evicted,
        device_packets=sum(device.met for device in moved.values()),
        received_ip=sum(moved[name].rx_packets - other[name].rx_packets for name in PODS),
    )


@pytest.mark.parametrize("sampling", [1, 7], ids=["all", "1 of 7"])
@pytest.mark.parametrize("load_factor", [0.5, 1, 2, 10])
def test_every_packet_is_accounted_for(node: TwoPods, load_factor: float, sampling: int) -> None:
    """At so many times of what the table holds between two evictions, and as many as find slots beside it."""
    with observed(node, PODS, max_flows=TABLE, cache_sets=1, rules=REJECTED, sampling=sampling) as watch:
        found = run(node, watch, int(TABLE * load_factor) + CACHE_WAYS * possible_cpus())
    assert found.problems() == []
    assert found.seen["filtered"] == 10 * ROUNDS
    assert found.seen["parse_error"] == 7 * ROUNDS
    assert (found.seen.get("table_full", 0) > 0) == (load_factor >= sampling)


def test_a_program_that_counts_twice_does_not_pass(node: TwoPods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "flows.bpf.o"
    sources = Path(parts.__file__).with_name("programs")
    made = subprocess.run(
        ["make", "-C", str(sources), f"OUT={broken}", "EXTRA_CFLAGS=-DCOUNTS_TWICE"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "clang is missing" in made.stderr:
        pytest.skip("clang is not installed")
    assert made.returncode == 0, made.stderr
    monkeypatch.setattr(parts, "_image", broken.read_bytes)
    with observed(node, PODS, max_flows=8192) as watch:
        found = run(node, watch, 100)
    assert any("came in" in problem for problem in found.problems()), found
    monkeypatch.undo()
    with observed(node, PODS, max_flows=8192) as watch:
        assert run(node, watch, 100).problems() == []


def test_both_ends_of_the_check_are_real(node: TwoPods) -> None:
    """A packet that no hook saw is missed by the sums, too."""
    with observed(node, ["va"]) as watch, node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as udp:
        before = settled(node)
        udp.sendto(struct.pack("!I", 1), ("10.9.2.1", 7))  # to the node, by the device that is not hooked
        moved = settled(node)["vb"].since(before["vb"])
        watch.detach()
        assert moved.rx_packets >= 1
        assert touched(watch.program.counters()).get("in_flows", 0) == 0
