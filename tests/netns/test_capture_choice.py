# SPDX-License-Identifier: Apache-2.0
"""The choice of pods and the rules without eBPF: what the packet socket takes is what the eBPF program takes beside it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ebpf_kit import flows, loaded, touched
from flowgauge.agent.capture_program import CaptureProgram, why
from flowgauge.agent.rules import kernel_rules
from flowgauge.config.choice import Rule
from flowgauge.ebpf.abi_settings import CHOICE_EXCLUDE, CHOICE_INCLUDE
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow.addresses import packed
from flowgauge.runtime import linux
from node_kit import A6, FAR, A, B, TwoPods, settled, transfer, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

DEVICES = ("va", "vb", "eth0")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def both(node: TwoPods, chosen: Mapping[bytes, int], **options: Any) -> tuple[list[Row], list[Row], dict[str, int]]:
    """The flows of some traffic as eBPF counts them, as a packet socket does, and the latter's counters."""
    capture = CaptureProgram(ProgramOptions(netns=linux.netns_path(node.node), max_flows=4096, nat=False, **options))
    with loaded(max_flows=4096, salt=0x1234, nat=False, **options) as program, linux.in_netns(node.node):
        capture.load()
        try:
            for one in (program, capture):
                one.choose(chosen)
            hooks = [program.attach(socket.if_nametoindex(name)) for name in DEVICES]
            for name in DEVICES:
                capture.attach(node.ifindex(name))
            traffic(node)
            settled(node)
            for hook in hooks:
                hook.detach()
            return sent(flows(program.evict())), sent(flows(capture.evict())), touched(capture.counters())
        finally:
            capture.close()


def sent(rows: list[Row]) -> list[Row]:
    """Without what nodes ask their neighbours whenever they want: it may come while only one of the two looks."""
    return [row for row in rows if row["proto"] != socket.IPPROTO_ICMPV6]


def traffic(node: TwoPods) -> None:
    for way, to in ((("a", "b"), (B, 9000)), (("far", "a"), (A6, 9001)), (("b", "far"), (FAR, 443))):
        transfer(node, way, to, 20_000)
    with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for port in (53, 5353):
            udp.sendto(b"x", (FAR, port))
    node.run("b", "ping", "-q", "-c", "2", "-i", "0.05", FAR)


def pairs(rows: list[Row]) -> set[frozenset[str]]:
    return {frozenset((row["src_addr"], row["dst_addr"])) for row in rows if row["proto"] == 6}


RULES: dict[str, list[Row]] = {
    "by port": [{"protocol": "TCP", "ports": ["9000-9001"], "action": "reject"}],
    "by block and peer": [{"cidr": "10.9.1.0/24", "peerCidr": "10.9.2.0/24"}, {"action": "reject"}],
    "by family": [{"cidr": "::/0", "action": "reject"}],
    "by ICMP type": [{"protocol": "ICMP", "icmpType": 0, "action": "reject"}],
    "by TCP flags": [{"protocol": "TCP", "tcpFlags": ["SYN"]}, {"protocol": "TCP", "action": "reject"}],
    "the first that matches": [{"protocol": "UDP", "ports": ["53"]}, {"protocol": "UDP", "action": "reject"}],
    "drops only": [{"protocol": "UDP", "drops": True}],
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_rules_take_the_same_packets_with_and_without_ebpf(node: TwoPods, rules: list[Row]) -> None:
    with_ebpf, without, counted = both(node, {}, rules=kernel_rules([Rule.model_validate(rule) for rule in rules], 1))
    assert without == with_ebpf != []
    assert counted["filtered"] > 0
    assert counted.pop("seen") == sum(counted.values()), "what is left out is counted, too"


@pytest.mark.parametrize(
    ("choice", "chosen", "expected"),
    [
        (CHOICE_INCLUDE, {A: CHOICE_INCLUDE, A6: CHOICE_INCLUDE}, {(A, B), (A6, "fd00:3::2")}),
        (CHOICE_EXCLUDE, {A: CHOICE_EXCLUDE}, {(A6, "fd00:3::2"), (B, FAR)}),
        (CHOICE_INCLUDE | CHOICE_EXCLUDE, {A: CHOICE_EXCLUDE, B: CHOICE_INCLUDE}, {(B, FAR)}),
        (CHOICE_INCLUDE, {}, set()),
    ],
    ids=["included", "excluded", "exclusion wins", "nobody"],
)
def test_chosen_pods_are_the_same_with_and_without_ebpf(
    node: TwoPods, choice: int, chosen: dict[str, int], expected: set[tuple[str, str]]
) -> None:
    with_ebpf, without, counted = both(node, {packed(address): bits for address, bits in chosen.items()}, choice=choice)
    assert without == with_ebpf
    assert pairs(without) == {frozenset(pair) for pair in expected}
    assert counted.pop("seen") == sum(counted.values())


def test_a_rule_by_direction_matches_nothing_and_it_is_said(node: TwoPods) -> None:
    """The device that counts a packet is known only at the end of an interval."""
    rules = kernel_rules([Rule.model_validate({"direction": "ingress", "action": "reject"})], 1)
    with_ebpf, without, _ = both(node, {}, rules=rules)
    assert pairs(with_ebpf) == set()
    assert len(pairs(without)) == 3
    refused = EnvironmentProblem("no eBPF here")
    assert why(ProgramOptions(rules=rules), refused) == "no eBPF here; rules by direction match nothing without eBPF"
    assert why(ProgramOptions(), refused) == "no eBPF here"
