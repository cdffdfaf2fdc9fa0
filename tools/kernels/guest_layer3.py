# SPDX-License-Identifier: Apache-2.0
"""Devices that carry no Ethernet frames, each with its counters: tun and tap, and PPP by two real pppd.

PPP on a serial line is a pseudoterminal between the two; PPP over Ethernet goes through a veth pair (no discovery: both ends
are told the session).
"""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from guest_devices import Finding

from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux
from layer3_kit import BEYOND, LINK, Cable, behind, seen_at, talk, tun
from node_kit import A, TwoPods, two_pods

SIZE = 60_000
WIRE = "wire"
"""The Ethernet device below PPP over Ethernet."""
SESSION = 7
_ETHERNET_HEADER = 14
_MACS = {"near": "02:00:00:00:00:01", "beyond": "02:00:00:00:00:02"}
_WITHIN_S = 60.0
"""For both ends to agree, on an emulated processor."""


def findings() -> Iterator[Finding]:
    """One after the other."""
    with two_pods() as node:
        kernel.ip_batch(node.netns["a"], ["link set eth0 mtu 1400"])  # so that the node need not cut or refuse for PPPoE's 1492
        kernel.ip_batch(node.node, ["link set va mtu 1400"])
        yield from _device(node, "tun", tun(), 0)
        yield from _device(node, "pppoe", over_ethernet, 0, WIRE)
        yield from _device(node, "ppp", serial_line, 0)
        yield from _device(node, "tap", tun(ethernet=True), _ETHERNET_HEADER)


def _device(node: TwoPods, kind: str, cable: Cable, header_bytes: int, *below: str) -> Iterator[Finding]:
    with behind(node, cable):
        seen = seen_at(node, lambda: talk(node, SIZE), *below)
    counted, device = seen.counted(), seen.by_device(header_bytes)
    exact = counted == device and counted[1] > 4 * SIZE
    yield f"{kind}: packets and bytes equal its counters", exact, f"{counted}, {device}, elsewhere {seen.elsewhere}"
    protocols = {row["proto"] for row in seen.rows}
    yield f"{kind}: TCP, UDP, ICMP over IPv4 and IPv6", protocols >= {1, 6, 17, 58}, protocols
    from_pod = [row for row in seen.rows if (row["src_addr"], row["dst_addr"]) == (A, BEYOND)]
    once = {tuple(point.split()[1] for point in row["observed"]) for row in from_pod}
    yield f"{kind}: counted once on its way from the pod", once == {("in", "out")}, f"{once}, {seen.counters}"
    for name in below:
        frames, received = seen.not_ip[name].packets, seen.devices[name].rx_packets
        yield f"{kind}: what comes in at {name} is no IP there", frames == received, f"{frames}, {received}"


@contextmanager
def serial_line(near: str, beyond: str) -> Iterator[None]:
    """Two pppd, each on one end of a pseudoterminal."""
    master, slave = pty.openpty()
    line = os.ttyname(slave)
    try:
        with _pppd(near, 1, line, "local"), _pppd(beyond, 2, "notty", "local", end=master):
            _agreed(near, beyond)
            yield
    finally:
        os.close(master)
        os.close(slave)


@contextmanager
def over_ethernet(near: str, beyond: str) -> Iterator[None]:
    """Two pppd, which know each other's MAC address and the session."""
    kernel.ip_batch(
        near, [f"link add wire address {_MACS['near']} type veth peer name wire address {_MACS['beyond']} netns {beyond}"]
    )
    kernel.ip_batch(near, ["link set wire up"])
    kernel.ip_batch(beyond, ["link set wire up"])
    (plugin,) = Path("/usr/lib/pppd").glob("*/rp-pppoe.so")

    def words(peer: str) -> list[str]:
        return ["plugin", str(plugin), "rp_pppoe_sess", f"{SESSION}:{_MACS[peer]}", "nic-wire", "mtu", "1492", "mru", "1492"]

    try:
        with _pppd(near, 1, *words("beyond")), _pppd(beyond, 2, *words("near")):
            _agreed(near, beyond)
            yield
    finally:
        kernel.ip_batch(near, ["link del wire"])


@contextmanager
def _pppd(netns: str, number: int, *words: str, end: int | None = None) -> Iterator[None]:
    """One end, which speaks over the descriptor ``end`` if there is one."""
    mine, others = number, 3 - number
    command = ["pppd", *words, "nodetach", "noauth", "nodefaultroute", "noccp", "lcp-echo-interval", "0",
               "ifname", LINK, f"10.9.4.{mine}:10.9.4.{others}", "ipv6", f"::{mine},::{others}"]  # fmt: skip
    stream: int | IO[bytes] = subprocess.DEVNULL if end is None else end
    with linux.in_netns(netns):
        running = subprocess.Popen(command, stdin=stream, stdout=stream if end is not None else None)
    try:
        yield
    finally:
        running.terminate()
        running.wait(_WITHIN_S)


def _agreed(*places: str) -> None:
    """Returns when both ends have their addresses of IPv4 and IPv6."""
    until = time.monotonic() + _WITHIN_S
    while not all(_has_addresses(netns) for netns in places):
        if time.monotonic() > until:
            raise OSError("pppd came to no agreement")
        time.sleep(0.1)


def _has_addresses(netns: str) -> bool:
    devices = [device for device in kernel.ip_json(netns, "addr") if device["ifname"] == LINK]
    return {address["family"] for device in devices for address in device["addr_info"]} == {"inet", "inet6"}
