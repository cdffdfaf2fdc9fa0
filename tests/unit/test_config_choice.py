# SPDX-License-Identifier: Apache-2.0
"""Rules and selectors in the document: what is taken, and what is refused with its place and a sentence."""

from __future__ import annotations

import pytest

from flowgauge.config.load import loads
from flowgauge.config.model import Exporter
from flowgauge.errors import ConfigError


def exporter(text: str) -> Exporter:
    return loads(f"spec: {{exporter: {{{text}}}}}").document.spec.exporter


def test_rules_are_taken_as_people_write_them() -> None:
    rules = exporter(
        "rules: [{protocol: tcp, ports: [5432, 8000-8100], tcpFlags: [syn, '!ack']}, {protocol: 47, action: reject}, "
        "{protocol: ICMP, icmpType: 0, icmpCode: 0}, {drops: true}]"
    ).rules
    assert (rules[0].protocol, rules[0].ports, rules[0].tcp_flags) == (6, ["5432", "8000-8100"], ["SYN", "!ACK"])
    assert (rules[1].protocol, rules[1].action) == (47, "reject")
    assert (rules[2].icmp_type, rules[2].icmp_code) == (0, 0)
    assert [rule.width for rule in rules] == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [{cidr: 10.0.0.1/8}]", "rules[0].cidr: must be an address block"),
        ("rules: [{protocol: TPC}]", "rules[0].protocol: must be a protocol such as TCP"),
        ("rules: [{ports: [0]}]", "rules[0].ports[0]: must be a port or a range of ports, 1 to 65535"),
        ("rules: [{destinationPorts: [443, 80-65536]}]", "destinationPorts[1]: must be a port or a range of ports, 1 to 65535"),
        (
            "rules: [{protocol: 256}]",
            "rules[0].protocol: must be a protocol such as TCP, UDP, ICMP, ICMPv6 or its number, 0 to 255",
        ),
        ("rules: [{peerCidr: 10.0.0.0/33}]", "rules[0].peerCidr: must be an address block"),
        ("rules: [{ports: [90-80]}]", "must be a port or a range of ports"),
        ("rules: [{protocol: TCP, tcpFlags: [SIN]}]", "rules[0].tcpFlags[0]: must be one of FIN, SYN"),
        ("rules: [{tcpFlags: [SYN]}]", "tcpFlags needs protocol: TCP"),
        ('rules: [{protocol: TCP, tcpFlags: [syn, ACK, "!SYN"]}]', "tcpFlags asks for SYN to be set and not to be set"),
        ('rules: [{cidr: 10.0.0.0/8, peerCidr: "fd00::/8"}]', "blocks of IPv4 and of IPv6: no packet has both"),
        ("rules: [{protocol: ICMPv6, sourcePorts: [80]}]", "ICMP has no ports"),
        ("rules: [{icmpType: 0}]", "icmpType and icmpCode need protocol: ICMP or ICMPv6"),
        ("rules: [{icmpType: 256, protocol: ICMP}]", "rules[0].icmpType: must be at most 255"),
        ("rules: [{action: drop}]", "rules[0].action: must be accept or reject, not 'drop'"),
        ("rules: [{action: reject, sampling: 5}]", "a rule that rejects has nothing to sample"),
        ("rules: [{peercidr: 10.0.0.0/8}]", "did you mean peerCidr?"),
        (f"rules: [{', '.join(['{protocol: TCP}'] * 65)}]", "make 65 rules, each port range counted, of at most 64"),
        (f"rules: [{{ports: [{', '.join(map(str, range(1, 66)))}]}}]", "make 65 rules"),
        ("sampling: 10, rules: [{protocol: TCP, tcpFlags: [SYN], sampling: 1}]", "mix sampling rates with a rule that accepts"),
        ("pods: {include: [{}]}", "pods.include[0]: a selector without matchLabels and matchExpressions"),
        ("pods: {include: [{matchExpressions: [{key: a, operator: in, values: [b]}]}]}", "operator: must be In, NotIn"),
        ("pods: {include: [{matchExpressions: [{key: a, operator: In}]}]}", "values goes with In and NotIn"),
        ("namespaces: {include: ['']}", "namespaces.include[0]"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        exporter(text)
    assert words in str(raised.value)


def test_rules_by_flags_may_reject_beside_other_rates() -> None:
    assert exporter(
        "sampling: 10, rules: [{protocol: TCP, tcpFlags: [RST], action: reject}, {protocol: UDP, sampling: 1}]"
    ).rules
