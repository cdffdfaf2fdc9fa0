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
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyroute2 import WireGuard

import quiet_kit as quiet
from ebpf_kit import flows, loaded, touched
from flowgauge.demo.scene import counters, kernel
from flowgauge.demo.scene.counters import ETHERNET_HEADER_BYTES, Traffic
from flowgauge.ebpf.flow_program import NotIp
from flowgauge.ebpf.tables import Evicted
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow import addresses
from flowgauge.runtime import linux
from flowgauge.schema.enums import TUNNEL_KIND

A, B = "10.9.1.2", "10.9.2.2"
ENDS = {"one": ("192.0.2.1", "2001:db8::1"), "two": ("192.0.2.2", "2001:db8::2")}
PODS = {"one": ("a", "va", "10.9.1"), "two": ("b", "vb", "10.9.2")}
_OTHER = {"one": "two", "two": "one"}

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
"""Tunnel whose inside can be seen → how ``ip link add tun`` makes its device."""

_WITHOUT_IPV6 = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    **quiet.NAMESPACE,
}
"""So that no pod announces itself while packets are compared."""

WIREGUARD = "wireguard"
WIREGUARD_PORT = 51820
_KEYS = {
    "one": ("QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEA=", "17XoHTNuV4sTuNcG6C0GHjA4yWvOZs3PUNVmuW3buhA="),
    "two": ("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", "ehpOcJvwhaxJSroEabmx7aCrH3ixaqu3n/7akGI+hSI="),
}
"""Private and public key of each node (X25519); of this scene only."""

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
        made.settimeout(60)
        return made


@contextmanager
def two_nodes(tunnel: str, *, offloads: bool) -> Iterator[TwoNodes]:
    """Builds nodes, pods and the tunnel; Unavailable when this kernel has no such device."""
    mark = f"fgu{os.getpid() % 100_000}{secrets.token_hex(2)}"
    built = TwoNodes({place: f"{mark}-{place}" for place in ("one", "two", "a", "b")})
    try:
        for name in built.netns.values():
            linux.create_netns(name)
            kernel.sysctl(name, _WITHOUT_IPV6)
        _connect(built, tunnel)
        for name in built.netns.values():
            quiet.neighbours(name)
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
                "link set eth0 up",
                f"link add {device} type veth peer name eth0 netns {built.netns[pod]}",
                f"addr add {block}.1/24 dev {device}",
                f"link set {device} up",
            ],
        )
        if "6" in tunnel:
            kernel.sysctl(built.netns[node], {"ipv6/conf/all/disable_ipv6": "0", "ipv6/conf/eth0/disable_ipv6": "0",
                                              f"ipv6/conf/{device}/disable_ipv6": "1"})  # fmt: skip
            kernel.ip_batch(built.netns[node], [f"addr add {me6}/64 dev eth0 nodad"])
        _add_device(
            built.netns[node], "tun", DEVICES.get(tunnel, f"type {tunnel}").format(me=me, peer=peer, me6=me6, peer6=peer6)
        )
        if tunnel == WIREGUARD:
            _know_each_other(built, node)
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


def _add_device(netns: str, name: str, made: str) -> None:
    try:
        kernel.ip_batch(netns, [f"link add {name} {made}"])
    except EnvironmentProblem as error:
        if "Unknown device type" in str(error) or "not supported" in str(error):
            raise Unavailable(str(error)) from error
        raise


def _know_each_other(built: TwoNodes, node: str) -> None:
    """Tells a node's WireGuard device its own key, and key and address of the other node."""
    other = _OTHER[node]
    peer = {"public_key": _KEYS[other][1], "endpoint_addr": ENDS[other][0], "endpoint_port": WIREGUARD_PORT,
            "allowed_ips": ["0.0.0.0/0"]}  # fmt: skip
    with linux.in_netns(built.netns[node]), WireGuard() as wireguard:
        wireguard.set("tun", private_key=_KEYS[node][0], listen_port=WIREGUARD_PORT, peer=peer)


@dataclass(frozen=True, slots=True)
class Counted:
    """What one node counted, and its devices' counters over the same time."""

    evicted: Evicted
    rows: list[dict[str, Any]]
    counters: dict[str, int]
    devices: dict[str, Traffic]
    not_ip: dict[str, NotIp]

    def ip(self, device: str) -> tuple[int, int]:
        """IP packets at an Ethernet device by its own counters, and their layer 3 bytes."""
        traffic, other = self.devices[device], self.not_ip.get(device, NotIp(0, 0))
        return traffic.packets - other.packets, traffic.layer3_bytes - (other.bytes - ETHERNET_HEADER_BYTES * other.packets)

    def ip_of_vlan(self, device: str) -> tuple[int, int]:
        """As ``ip``, at a VLAN device, which counts what it receives without the Ethernet header."""
        packets, length = self.ip(device)
        return packets, length + ETHERNET_HEADER_BYTES * self.devices[device].rx_packets

    def sums(self, *rows: dict[str, Any]) -> tuple[int, int]:
        """Packets and bytes of rows, by default of TCP between the pods in both directions."""
        chosen = rows or (self.between(A, B, proto=6), self.between(B, A, proto=6))
        return sum(row["packets"] for row in chosen), sum(row["bytes"] for row in chosen)

    def tunnel(self, src: str, dst: str) -> tuple[str, int, str, str]:
        """Kind, identifier and ends of the tunnel in which the flow from ``src`` to ``dst`` was seen."""
        for key, link in zip(self.evicted.tunnels.keys, self.evicted.tunnels.values, strict=True):
            if (_text(key["src_addr"]), _text(key["dst_addr"])) == (src, dst):
                return TUNNEL_KIND[link["kind"]], int(link["id"]), _text(link["src_addr"]), _text(link["dst_addr"])
        raise AssertionError(f"no tunnel of {src} to {dst}: {self.evicted.tunnels}")

    def between(self, src: str, dst: str, **wanted: int) -> dict[str, Any]:
        """The one flow from ``src`` to ``dst`` with these values."""
        found = [row for row in self.rows if (row["src_addr"], row["dst_addr"]) == (src, dst) and wanted.items() <= row.items()]
        assert len(found) == 1, self.rows
        return found[0]


def _text(address: Any) -> str:
    return addresses.to_text(address.tobytes())


def expected_tunnel(tunnel: str, node: str) -> tuple[str, int, str, str]:
    """``Counted.tunnel`` of what a node sends."""
    kind, family = KINDS.get(tunnel, tunnel), 1 if "6" in tunnel else 0
    return kind, 0 if kind == "ipip" else 42, ENDS[node][family], ENDS[_OTHER[node]][family]


@contextmanager
def observed(built: TwoNodes, where: Mapping[str, Sequence[str]] | None = None, **options: Any) -> Iterator[dict[str, Counted]]:
    """Observes devices of places, by default all of both nodes; what each place counted is in the mapping at the end."""
    found: dict[str, Counted] = {}
    devices = where or {node: [pod_device, "eth0", "tun"] for node, (_, pod_device, _) in PODS.items()}
    with ExitStack() as stack:
        programs = {
            place: stack.enter_context(loaded(max_flows=4096, salt=0x1110 * number, **options))
            for number, place in enumerate(devices, 1)
        }
        hooks, before = [], {}
        for place in devices:
            quiet.at_rest(partial(counters.devices, built.netns[place]), quiet.LINKED_S)
        for place, program in programs.items():
            before[place] = counters.devices(built.netns[place])
            with linux.in_netns(built.netns[place]):
                hooks += [program.attach(socket.if_nametoindex(name)) for name in devices[place]]
        try:
            yield found
            for place in devices:
                quiet.at_rest(partial(counters.devices, built.netns[place]))
        finally:
            for hook in hooks:
                hook.detach()
        for place, program in programs.items():
            now = counters.devices(built.netns[place])
            evicted = program.evict()
            passed = {name: now[name].since(before[place][name]) for name in devices[place]}
            with linux.in_netns(built.netns[place]):
                not_ip = {socket.if_indextoname(index): seen for index, seen in program.not_ip().items()}
            found[place] = Counted(evicted, flows(evicted), touched(program.counters()), passed, not_ip)


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
        connection.settimeout(60)
        while block := connection.recv(1 << 20):
            total += len(block)
    return total


def greet(built: TwoNodes) -> None:
    """Sends a little, so that the neighbours know each other."""
    transfer(built, 1)


@contextmanager
def stacked_vlans() -> Iterator[TwoNodes]:
    """Pods a and b only, a VLAN 6 in a service VLAN 5 (802.1ad) between them: devices ``eth0``, ``q5`` and ``q56``."""
    mark = f"fgq{os.getpid() % 100_000}{secrets.token_hex(2)}"
    names = f"{mark}-a", f"{mark}-b"
    try:
        for name in names:
            linux.create_netns(name)
            kernel.sysctl(name, _WITHOUT_IPV6)
        kernel.ip_batch(names[0], [f"link add eth0 type veth peer name eth0 netns {names[1]}"])
        for name, address in zip(names, (A, B), strict=True):
            _add_device(name, "q5", "link eth0 type vlan proto 802.1ad id 5")
            _add_device(name, "q56", "link q5 type vlan proto 802.1q id 6")
            kernel.offloads(name, ["eth0", "q5", "q56"], on=False)
            kernel.ip_batch(name, ["link set eth0 up", "link set q5 up", f"addr add {address}/16 dev q56", "link set q56 up"])
            quiet.neighbours(name)
        yield TwoNodes(dict(zip("ab", names, strict=True)))
    finally:
        for name in names:
            linux.delete_netns(name)
