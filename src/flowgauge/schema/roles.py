# SPDX-License-Identifier: Apache-2.0
"""Which end of a one-way flow is the server: the rule of the map, of the flow table, and of every other place that says so.

Both flows of a conversation must get the same answer whatever is known of them, so only what both have is looked at, in this
order:

1. an ICMP echo reply comes from the end that was asked; without ports a flow goes as it goes;
2. the one end whose port is a Service's: enrichment gives a request its ``dst_service`` and a reply its ``src_service``;
3. the one end with a well-known port, for clients whose ports begin low (``ip_local_port_range``);
4. the end with the lower port: with Linux's ephemeral range (32768 and up) it is right for node ports too;
5. of equal ports (NTP, IKE) the end with the higher address: a choice, but one edge instead of two.

TCP flags are no help: a record ORs those of an interval, and both ends send SYN and ACK. Stores write this rule in their own
language (``store.clickhouse.edges``); a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowgauge.schema.well_known import PORTS

ECHO_REPLIES: dict[int, int] = {1: 0, 58: 129}
"""Protocol → ICMP type of an echo reply (RFC 792, RFC 4443 §4.2)."""

WELL_KNOWN = frozenset(PORTS)

CLIENT_PORTS_FROM = 32_768
"""Ports from here on are those that Linux gives clients (``ip_local_port_range``)."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a flow: 16 bytes, 0 without a port, empty without a Service."""

    addr: bytes
    port: int = 0
    service: str = ""


def to_server(src: Side, dst: Side, proto: int, icmp_type: int = -1) -> bool:
    """Whether a flow goes to the server; ``icmp_type`` is -1 where it is not known."""
    if proto in ECHO_REPLIES:
        return icmp_type != ECHO_REPLIES[proto]
    if not src.port or not dst.port:
        return True
    for src_serves, dst_serves in (
        (bool(src.service), bool(dst.service)),
        (src.port in WELL_KNOWN, dst.port in WELL_KNOWN),
        (src.port < dst.port, dst.port < src.port),
    ):
        if src_serves != dst_serves:
            return dst_serves
    return dst.addr >= src.addr
