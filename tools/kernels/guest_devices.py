# SPDX-License-Identifier: Apache-2.0
"""Devices that few running kernels have all of: every tunnel, WireGuard, VLANs in VLANs, counted against their counters."""

from __future__ import annotations

from collections.abc import Iterator

from tunnel_kit import (
    DEVICES,
    PODS,
    WIREGUARD,
    WIREGUARD_PORT,
    A,
    B,
    expected_tunnel,
    greet,
    observed,
    stacked_vlans,
    transfer,
    two_nodes,
)

Finding = tuple[str, bool, object]
"""What was looked at, whether it held, and the figures."""


def findings() -> Iterator[Finding]:
    """Each tunnel after the other."""
    for tunnel in DEVICES:
        yield from _tunnel(tunnel)
    yield from _wireguard()


def _tunnel(tunnel: str) -> Iterator[Finding]:
    with two_nodes(tunnel, offloads=False) as built:
        greet(built)
        with observed(built, tunnels=True) as found:
            transfer(built, 60_000)
    for node, counted in found.items():
        there = counted.ip(PODS[node][1])
        outer = [row for row in counted.rows if row["proto"] in (4, 41, 47, 17)]
        exact = counted.sums() == there and not outer
        yield f"{tunnel}: inner flows on node {node}", exact, f"{counted.sums()}, {there}, {counted.counters}"
        told = counted.tunnel(A, B)
        yield f"{tunnel}: the tunnel on node {node}", told == expected_tunnel(tunnel, "one"), told


def _wireguard() -> Iterator[Finding]:
    with two_nodes(WIREGUARD, offloads=False) as built:
        greet(built)
        with observed(built) as found:
            transfer(built, 60_000)
    for node, counted in found.items():
        outer = counted.sums(*(row for row in counted.rows if row["src_port"] == row["dst_port"] == WIREGUARD_PORT))
        pod, uplink = counted.ip(PODS[node][1]), counted.ip("eth0")
        yield f"wireguard: inner flows on node {node}", counted.sums() == pod, f"{counted.sums()}, {pod}"
        yield f"wireguard: outer flows on node {node}", outer == uplink, f"{outer}, {uplink}"


def vlans() -> Iterator[Finding]:
    """A VLAN in a VLAN."""
    with stacked_vlans() as built, observed(built, {"a": ["eth0", "q5", "q56"]}) as found:
        transfer(built, 60_000)
    counted, device = found["a"], found["a"].ip_of_vlan("q56")
    yield "802.1Q in 802.1ad", counted.sums() == device, f"{counted.sums()}, {device}, {counted.counters}"
