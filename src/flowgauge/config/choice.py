# SPDX-License-Identifier: Apache-2.0
"""The parts of ``spec.exporter`` that choose traffic: namespaces, pods, and rules."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from flowgauge.config import values
from flowgauge.config.section import Section

MAX_RULES = 64
"""What the kernel program looks through for a packet, one after the other; a rule with several port ranges takes as many."""

Block = Annotated[str, AfterValidator(values.cidr)]
PortRange = Annotated[str, BeforeValidator(values.port_range)]
"""A port or a range of ports: 5432, 8000-8100."""
TcpFlag = Annotated[str, AfterValidator(values.tcp_flag)]
"""The name of a flag that must be set; with ! before it one that must not be."""
Number = Annotated[int, Field(ge=0, le=values.LAST_ICMP)]


class MatchExpression(Section):
    """One condition of a label selector, as in Kubernetes."""

    key: Annotated[str, Field(min_length=1)]
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """In, NotIn: whether its value is one of `values`; a pod without the label is NotIn."""
    values: list[str] = Field(default_factory=list)
    """For In and NotIn."""

    @model_validator(mode="after")
    def _values_where_they_belong(self) -> Self:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise ValueError(f"values goes with In and NotIn, and only with them; operator is {self.operator}")
        return self


class Selector(Section):
    """Label selector, as in Kubernetes."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    """Labels that must all be present with these values."""
    match_expressions: list[MatchExpression] = Field(default_factory=list)
    """Conditions {key, operator, values} that must all hold."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.match_labels and not self.match_expressions:
            raise ValueError("a selector without matchLabels and matchExpressions would select every pod")
        return self


class NamespaceChoice(Section):
    """Namespaces by exact name or glob."""

    include: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Only these; empty means all."""
    exclude: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Not these."""

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude)


class PodChoice(Section):
    """Pods by label."""

    include: list[Selector] = Field(default_factory=list)
    """Only pods that one of these selects; empty means all. Together with namespaces a pod must be chosen by both."""
    exclude: list[Selector] = Field(default_factory=list)
    """Not pods that one of these selects."""

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude)


class Rule(Section):
    """What a packet must be like, all of it, and what becomes of it."""

    action: Literal["accept", "reject"] = "accept"
    """accept: observed; reject: left out, and counted as filtered."""
    sampling: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """One of this many packets that the rule accepts is observed; left out: exporter.sampling."""
    cidr: Block | None = None
    """Block with the address of one end, whichever."""
    peer_cidr: Block | None = None
    """Block with the address of the other end."""
    protocol: Annotated[int, BeforeValidator(values.protocol)] | None = None
    """Name or number: TCP, UDP, ICMP, ICMPv6, SCTP, 47."""
    ports: list[PortRange] = Field(default_factory=list)
    """Ports, one of which either end has."""
    source_ports: list[PortRange] = Field(default_factory=list)
    """Ports, one of which the sender has."""
    destination_ports: list[PortRange] = Field(default_factory=list)
    """Ports, one of which the receiver has."""
    direction: Literal["ingress", "egress"] | None = None
    """Whether the packet came in or went out by the device at which the agent saw it first; what a pod sends comes in."""
    tcp_flags: list[TcpFlag] = Field(default_factory=list)
    """Flags that are set, or with ! are not: [SYN, "!ACK"]."""
    icmp_type: Number | None = None
    """Of ICMP or ICMPv6; 0 is echo reply in ICMP."""
    icmp_code: Number | None = None
    """Of ICMP or ICMPv6."""
    drops: bool = False
    """Such packets are not counted, but told when the kernel drops them."""

    @property
    def width(self) -> int:
        """How many rules of the kernel program this one takes."""
        return max(len(self.ports), 1) * max(len(self.source_ports), 1) * max(len(self.destination_ports), 1)

    @property
    def takes_all(self) -> bool:
        """Whether every packet matches."""
        return self.model_fields_set <= {"action", "sampling"}

    @property
    def by_packet(self) -> bool:
        """Whether packets of one flow may differ in it."""
        return bool(self.tcp_flags) or self.direction is not None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.sampling is not None and self.action == "reject":
            raise ValueError("a rule that rejects has nothing to sample")
        if self.drops and self.action == "reject":
            raise ValueError("drops: true says what is observed; it does not go with action: reject")
        if self.drops and self.by_packet:
            raise ValueError("drops: true does not go with tcpFlags and direction, which a dropped packet does not tell")
        if (self.icmp_type is not None or self.icmp_code is not None) and self.protocol not in values.ICMP:
            raise ValueError("icmpType and icmpCode need protocol: ICMP or ICMPv6, whose numbers mean different things")
        if self.tcp_flags and self.protocol != values.TCP:
            raise ValueError("tcpFlags needs protocol: TCP")
        return self

    @model_validator(mode="after")
    def _matches_something(self) -> Self:
        if both := sorted(flag for flag in self.tcp_flags if f"!{flag}" in self.tcp_flags):
            raise ValueError(f"tcpFlags asks for {both[0]} to be set and not to be set: no packet matches")
        if self.cidr and self.peer_cidr and (":" in self.cidr) != (":" in self.peer_cidr):
            raise ValueError("cidr and peerCidr are blocks of IPv4 and of IPv6: no packet has both")
        if self.protocol in values.ICMP and (self.ports or self.source_ports or self.destination_ports):
            raise ValueError("ICMP has no ports; icmpType and icmpCode tell its messages apart")
        return self


def check_rules(rules: list[Rule], sampling: int) -> None:
    """ValueError with the end of a sentence about the list: too many, or flows of two rates."""
    if (width := sum(rule.width for rule in rules)) > MAX_RULES:
        raise ValueError(f"make {width} rules, each port range counted, of at most {MAX_RULES}")
    rates = {sampling} | {rule.sampling for rule in rules if rule.sampling is not None}
    if len(rates) > 1 and any(rule.by_packet and rule.action == "accept" for rule in rules):
        raise ValueError(
            "mix sampling rates with a rule that accepts by tcpFlags or direction: packets of one flow would then count "
            "differently; let such rules reject, or sample all alike"
        )
