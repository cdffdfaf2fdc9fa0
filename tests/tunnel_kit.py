# SPDX-License-Identifier: Apache-2.0
"""For tests: two nodes with a pod each, and a real tunnel device between them.

::

    pod a ── va [ one ] eth0 ── eth0 [ two ] vb ── pod b      (each a network namespace; ``tun`` on both nodes)

``watched`` lets both nodes observe all their devices while traffic passes, and gives what each counted beside its counters.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ebpf_kit import flows, loaded, touched
from flowgauge.demo.scene import counters, kernel
from flowgauge.demo.scene.counters import Traffic
from flowgauge.ebpf.tables import Evicted
from flowgauge.runtime import linux

A, B = "10.9.1.2", "10.9.2.2"
ENDS = {"one": ("192.0.2.1", "2001:db8::1"), "two": ("192.0.2.2", "2001:db8::2")}
PODS = {"one": ("a", "va", "10.9.1"), "two": ("b", "vb", "10.9.2")}
_OTHER = {"one": "two", "two": "one"}
_BRIDGED_HEADER = 14

DEVICES = {
    "vxlan": "type vxlan id 42 dstport 4789 local {me} remote {peer} dev eth0",
    "vxlan over IPv6": "type vxlan id 42 dstport 4789 local {me6} remote {peer6} dev eth0 udp6zerocsumtx udp6zerocsumrx",
    "geneve": "type geneve id 42 remote {peer} dstport 6081",
    "gre": "type gre local {me} remote {peer} key 42 ttl 64",
    "gretap": "type gretap local {me} remote {peer} key 42 ttl 64",
    "ipip": "type ipip local {me} remote {peer} ttl 64",
    "4in6": "type ip6tnl mode ipip6 local {me6} remote {peer6} encaplimit none",
    "ip6gre": "type ip6gre local {me6} remote {peer6} key 42 encaplimit none",
}
"""Tunnel → how ``ip link add tun`` makes its device."""

KINDS = {"vxlan over IPv6": "vxlan", "gretap": "gre", "4in6": "ipip", "ip6gre": "gre"}
"""Tunnel → label of ``enums.TUNNEL_KIND``, where it is another than the tunnel's name."""


class Unavailable(Exception):
    """This kernel has no such device."""


@dataclass(slots=True)
class TwoNodes:
    """Namespaces by place: ``one``, ``two``, ``a``, ``b``."""

    netns: dict[str, str]

    def socket(self, place: str, family: int, kind: int) -> socket.socket:
        """A socket that belongs to a place."""
        with linux.in_netns(self.netns[place]):
            made = socket.socket(family, kind)
        made.settimeout(30)
        return made

    def devices(self, node: str) -> list[str]:
        """The devices of a node that packets pass."""
        return [PODS[node][1], "eth0", "tun"]


@contextmanager
def two_nodes(tunnel: str, *, offloads: bool) -> Iterator[TwoNodes]:
    """Builds nodes, pods and the tunnel; Unavailable when this kernel has no such device."""
    mark = f"fgu{os.getpid() % 100_000}{secrets.token_hex(2)}"
    built = TwoNodes({place: f"{mark}-{place}" for place in ("one", "two", "a", "b")})
    try:
        for name in built.netns.values():
            linux.create_netns(name)
            kernel.sysctl(name, {"ipv4/ip_forward": "1", "ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0"})
        _connect(built, tunnel)
        for node, (pod, device, _) in PODS.items():
            kernel.offloads(built.netns[node], [device, "eth0"], on=offloads)
            kernel.offloads(built.netns[pod], ["eth0"], on=offloads)
        yield built
    finally:
        for name in built.netns.values():
            linux.delete_netns(name)


def _connect(built: TwoNodes, tunnel: str) -> None:
    kernel.ip_batch(built.netns["one"], [f"link add eth0 type veth peer name eth0 netns {built.netns['two']}"])
    for node, (pod, device, block) in PODS.items():
        (me, me6), (peer, peer6) = ENDS[node], ENDS[_OTHER[node]]
        kernel.ip_batch(
            built.netns[node],
            [
                "link set lo up",
                f"addr add {me}/24 dev eth0",
                f"addr add {me6}/64 dev eth0 nodad",
                "link set eth0 up",
                f"link add {device} type veth peer name eth0 netns {built.netns[pod]}",
                f"addr add {block}.1/24 dev {device}",
                f"link set {device} up",
            ],
        )
        made = DEVICES[tunnel].format(me=me, peer=peer, me6=me6, peer6=peer6)
        try:
            kernel.ip_batch(built.netns[node], [f"link add tun {made}"])
        except Exception as error:
            if "Unknown device type" in str(error) or "not supported" in str(error):
                raise Unavailable(str(error)) from error
            raise
        kernel.ip_batch(
            built.netns[node],
            [
                f"addr add 10.9.99.{list(PODS).index(node) + 1}/24 dev tun",
                "link set tun mtu 1400 up",
                f"route add {PODS[_OTHER[node]][2]}.0/24 dev tun via 10.9.99.{2 - list(PODS).index(node)}",
            ],
        )
        kernel.ip_batch(
            built.netns[pod],
            [
                "link set lo up",
                f"addr add {block}.2/24 dev eth0",
                "link set eth0 mtu 1400 up",
                f"route add default via {block}.1",
            ],
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """What one node counted, and its devices' counters over the same time."""

    evicted: Evicted
    rows: list[dict[str, Any]]
    counters: dict[str, int]
    devices: dict[str, Traffic]

    def between(self, src: str, dst: str, **wanted: int) -> dict[str, Any]:
        """The one flow from ``src`` to ``dst`` with these values."""
        found = [row for row in self.rows if (row["src_addr"], row["dst_addr"]) == (src, dst) and wanted.items() <= row.items()]
        assert len(found) == 1, self.rows
        return found[0]


@contextmanager
def observed(built: TwoNodes, **options: Any) -> Iterator[dict[str, Counted]]:
    """Both nodes observe all their devices; what each counted is in the mapping, by node, at the end."""
    found: dict[str, Counted] = {}
    with ExitStack() as stack:
        programs = {
            node: stack.enter_context(loaded(max_flows=4096, salt=salt, **options))
            for node, salt in (("one", 0x1110), ("two", 0x2220))
        }
        hooks, before = [], {}
        for node, program in programs.items():
            before[node] = counters.devices(built.netns[node])
            with linux.in_netns(built.netns[node]):
                hooks += [program.attach(socket.if_nametoindex(name)) for name in built.devices(node)]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.detach()
        for node, program in programs.items():
            now = counters.devices(built.netns[node])
            evicted = program.evict()
            passed = {name: now[name].since(before[node][name]) for name in built.devices(node)}
            found[node] = Counted(evicted, flows(evicted), touched(program.counters()), passed)


def transfer(built: TwoNodes, size: int) -> None:
    """Sends ``size`` bytes over TCP from pod a to port 9000 of pod b, until both have closed."""
    with (
        built.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener,
        built.socket("a", socket.AF_INET, socket.SOCK_STREAM) as out,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((B, 9000))
        listener.listen()
        got: list[int] = []
        server = threading.Thread(target=lambda: got.append(_drain(listener)))
        server.start()
        out.connect((B, 9000))
        for at in range(0, size, 1 << 20):
            out.sendall(bytes(min(size - at, 1 << 20)))
        out.shutdown(socket.SHUT_WR)
        assert out.recv(1) == b""
        server.join(30)
    assert got == [size]


def _drain(listener: socket.socket) -> int:
    connection, _ = listener.accept()
    total = 0
    with connection:
        connection.settimeout(30)
        while block := connection.recv(1 << 20):
            total += len(block)
    return total


def ping(built: TwoNodes) -> None:
    """Three echo requests from pod a to pod b, until the neighbours know each other."""
    with linux.in_netns(built.netns["a"]):
        subprocess.run(["ping", "-q", "-c", "3", "-i", "0.05", "-W", "5", B], capture_output=True, check=True, timeout=60)
