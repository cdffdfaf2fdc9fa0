# SPDX-License-Identifier: Apache-2.0
"""The rules in the kernel program: what it says to a packet is what the document says, read by another reader (this file)."""

from __future__ import annotations

import ipaddress
import random
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ebpf_kit import flows, loaded, show, touched
from flowgauge.agent.rules import kernel_rules
from flowgauge.config.choice import MAX_RULES, Rule
from flowgauge.ebpf.flow_program import FlowProgram
from node_kit import FAR, A, B, TwoPods, observed, settled, transfer, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16}
NUMBERS = {"TCP": TCP, "UDP": UDP, "ICMP": ICMP, "ICMPv6": ICMP6}


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet; for ICMP the ports are type and code."""

    src: str
    dst: str
    proto: int
    sport: int = 40000
    dport: int = 443
    flags: int = 16
    egress: bool = False

    def frame(self) -> bytes:
        l4 = {
            TCP: struct.pack("!HHIIBBHHH", self.sport, self.dport, 1, 1, 0x50, self.flags, 512, 0, 0),
            UDP: struct.pack("!HHHH", self.sport, self.dport, 8, 0),
        }.get(self.proto, struct.pack("!BBHI", self.sport & 0xFF, self.dport & 0xFF, 0, 0))
        if ":" in self.src:
            ends = socket.inet_pton(socket.AF_INET6, self.src) + socket.inet_pton(socket.AF_INET6, self.dst)
            return bytes(12) + b"\x86\xdd" + struct.pack("!IHBB", 0x60000000, len(l4), self.proto, 64) + ends + l4
        ends = socket.inet_aton(self.src) + socket.inet_aton(self.dst)
        return bytes(12) + b"\x08\x00" + struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(l4), 1, 0, 64, self.proto, 0) + ends + l4


def matches(rule: dict[str, Any], packet: Packet) -> bool:
    """Whether a rule of the document, as its page describes it, is about a packet."""
    there, back = in_block(rule, packet.src, packet.dst), in_block(rule, packet.dst, packet.src)
    icmp = packet.proto in (ICMP, ICMP6)
    ports = (0, 0) if icmp else (packet.sport, packet.dport)
    flags = packet.flags if packet.proto == TCP else 0
    return (
        (there or back)
        and ("protocol" not in rule or NUMBERS[rule["protocol"]] == packet.proto)
        and ("ports" not in rule or any(within(port, rule["ports"]) for port in ports))
        and ("sourcePorts" not in rule or within(ports[0], rule["sourcePorts"]))
        and ("destinationPorts" not in rule or within(ports[1], rule["destinationPorts"]))
        and ("icmpType" not in rule or (icmp and packet.sport == rule["icmpType"]))
        and ("icmpCode" not in rule or (icmp and packet.dport == rule["icmpCode"]))
        and ("direction" not in rule or (rule["direction"] == "egress") == packet.egress)
        and all(bool(flags & FLAGS[name.strip("!")]) != name.startswith("!") for name in rule.get("tcpFlags", []))
    )


def in_block(rule: dict[str, Any], one: str, other: str) -> bool:
    wanted = ((one, rule.get("cidr")), (other, rule.get("peerCidr")))
    return all(block is None or ipaddress.ip_address(address) in ipaddress.ip_network(block) for address, block in wanted)


def within(port: int, ranges: list[str]) -> bool:
    bounds = (text.split("-") for text in ranges)
    return any(int(ends[0]) <= port <= int(ends[-1]) for ends in bounds)


def verdict(rules: list[dict[str, Any]], packet: Packet) -> str:
    first = next((rule for rule in rules if matches(rule, packet)), {})
    return "filtered" if first.get("action") == "reject" or first.get("drops") else "in_flows"


def kernel(rules: list[dict[str, Any]], **options: Any) -> Any:
    parsed = [Rule.model_validate(rule) for rule in rules]
    return loaded(max_flows=4096, rules=kernel_rules(parsed, options.get("sampling", 1)), **options)


def said(program: FlowProgram, packet: Packet) -> str:
    """What the program counts a packet as."""
    before = touched(program.counters())
    show(program, packet.frame(), egress=packet.egress)
    after = touched(program.counters())
    changed = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
    assert changed.pop("seen") == 1
    assert list(changed.values()) == [1], changed
    return next(iter(changed))


BLOCKS_OF_4, BLOCKS_OF_6 = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0"], ["fd00::/16", "fd00:1::/32", "::/0"]
PORTS = ("ports", "sourcePorts", "destinationPorts")
ADDRESSES = [("10.1.2.3", "10.2.3.4"), ("10.1.9.9", "192.0.2.1"), ("198.51.100.7", "10.1.2.3"), ("fd00:1::2", "fd00:2::3"),
             ("fd00:2::3", "2001:db8::1")]  # fmt: skip


def some_rule(chance: random.Random) -> dict[str, Any]:
    rule: dict[str, Any] = {"action": chance.choice(["accept", "reject"])}
    blocks = chance.choice([BLOCKS_OF_4, BLOCKS_OF_6])
    for name in ("cidr", "peerCidr"):
        if chance.random() < 0.4:
            rule[name] = chance.choice(blocks)
    for name in PORTS:
        if chance.random() < 0.2:
            rule[name] = chance.choice([["443"], ["40000-50000"], ["53", "400-500"], ["1-65535"]])
    if chance.random() < 0.3:
        rule["direction"] = chance.choice(["ingress", "egress"])
    if chance.random() < 0.6:
        rule["protocol"] = chance.choice(list(NUMBERS))
        if rule["protocol"] == "TCP" and chance.random() < 0.5:
            rule["tcpFlags"] = chance.choice([["SYN"], ["SYN", "!ACK"], ["!ACK"], ["RST"]])
        if rule["protocol"].startswith("ICMP"):
            return {name: value for name, value in rule.items() if name not in PORTS} | some_message(chance)
    return rule


def some_message(chance: random.Random) -> dict[str, int]:
    wanted = {"icmpType": chance.choice([0, 8, 128]), "icmpCode": chance.choice([0, 1])}
    return {name: wanted[name] for name in chance.choice([(), ("icmpType",), ("icmpType", "icmpCode")])}


def some_packet(chance: random.Random) -> Packet:
    src, dst = chance.choice(ADDRESSES)
    proto = chance.choice([TCP, UDP, ICMP6 if ":" in src else ICMP])
    if proto in (ICMP, ICMP6):
        return Packet(src, dst, proto, chance.choice([0, 8, 128, 3]), chance.choice([0, 1]), 0, chance.random() < 0.5)
    port = chance.choice([53, 443, 450, 501, 39_999])
    return Packet(src, dst, proto, 40_000, port, chance.choice([2, 18, 16, 4]), chance.random() < 0.5)


@pytest.mark.parametrize("seed", range(12))
def test_the_first_rule_that_matches_decides(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    rules = [some_rule(chance) for _ in range(chance.choice([1, 3, 8, 14]))]
    with kernel(rules) as program:
        for _ in range(150):
            packet = some_packet(chance)
            assert said(program, packet) == verdict(rules, packet), (packet, rules)


def test_all_of_64_rules_are_looked_at_and_65_are_too_many() -> None:
    rules: list[dict[str, Any]] = [{"action": "reject", "protocol": "TCP", "ports": [str(1000 + n)]} for n in range(MAX_RULES)]
    with kernel(rules) as program:
        assert said(program, Packet(A, B, TCP, dport=1000 + MAX_RULES - 1)) == "filtered"
        assert said(program, Packet(A, B, TCP, dport=1000 + MAX_RULES)) == "in_flows"


def test_type_0_and_code_0_can_be_told_from_the_others() -> None:
    with kernel([{"protocol": "ICMP", "icmpType": 0, "icmpCode": 0}, {"action": "reject"}]) as program:
        assert said(program, Packet(A, B, ICMP, 0, 0)) == "in_flows"
        assert said(program, Packet(A, B, ICMP, 8, 0)) == "filtered"
        assert said(program, Packet(A, B, ICMP, 0, 1)) == "filtered"
        assert said(program, Packet(A, B, TCP)) == "filtered"


def test_each_rule_samples_at_its_own_rate_which_goes_with_its_flows() -> None:
    rules: list[dict[str, Any]] = [
        {"protocol": "TCP", "ports": ["5432"]},
        {"protocol": "TCP", "ports": ["80"], "sampling": 4},
        {"protocol": "UDP", "sampling": 1},
    ]
    count = 4000
    with kernel(rules, sampling=20) as program:
        for proto, port in ((TCP, 5432), (TCP, 80), (UDP, 53), (TCP, 22)):
            for _ in range(count):
                show(program, Packet(A, B, proto, dport=port).frame())
        seen, entries = touched(program.counters()), program.evict()
        rates = program.rates(entries.values["rule"]).tolist()
        taken = {int(key["dst_port"]): (rate, int(value["packets"]))
                 for key, value, rate in zip(entries.keys, entries.values, rates, strict=True)}  # fmt: skip
    assert {port: rate for port, (rate, _) in taken.items()} == {5432: 20, 80: 4, 53: 1, 22: 20}
    assert taken[53][1] == count
    for rate, packets in taken.values():
        assert abs(packets - count / rate) <= 5 * (count * (1 / rate) * (1 - 1 / rate)) ** 0.5
    assert seen["in_flows"] + seen["sampled_out"] == seen["seen"] == 4 * count


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def test_what_is_rejected_is_counted_and_its_signals_are_silent(node: TwoPods) -> None:
    rules = kernel_rules([Rule.model_validate({"action": "reject", "protocol": "TCP", "ports": ["9001"]})], 1)
    with observed(node, ["va", "vb", "eth0"], rules=rules, rtt=True, drops=True) as watch:
        watch.program.attach_signals()
        for port in (9000, 9001):
            transfer(node, ("a", "b"), (B, port), 50_000)
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"x", (FAR, 9))
        watch.detach()
        evicted, seen = watch.program.evict(), touched(watch.program.counters())
    ports = {row["dst_port"] for row in flows(evicted)} | {row["src_port"] for row in flows(evicted)}
    signals = {int(key[end]) for key in evicted.sockets.keys for end in ("src_port", "dst_port")}
    assert 9000 in ports & signals
    assert 9001 not in ports | signals
    assert seen["filtered"] > 8
    assert seen["seen"] == seen["in_flows"] + seen["filtered"] + seen["seen_before"] + seen.get("not_ip", 0)


def test_drops_only_tells_of_what_the_kernel_drops_and_nothing_else(node: TwoPods) -> None:
    rules = kernel_rules([Rule.model_validate({"drops": True, "protocol": "UDP"})], 1)
    with observed(node, ["va"], rules=rules, drops=True) as watch:
        watch.program.attach_signals()
        with (
            node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp,
            node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as to,
        ):
            to.bind((B, 5001))
            for port in (5001, 5002):  # somebody listens, nobody does
                udp.sendto(b"x", (B, port))
            assert to.recv(9) == b"x"
        settled(node)
        watch.detach()
        evicted = watch.program.evict()
    assert {row["dst_port"] for row in flows(evicted) if row["proto"] == UDP} == set()
    dropped = {int(key["flow"]["dst_port"]) for key in evicted.drops.keys if key["flow"]["proto"] == UDP}
    assert 5002 in dropped
    assert 5001 not in dropped
