# SPDX-License-Identifier: Apache-2.0
"""For tests: a node with two pods and a machine beyond its uplink, IPv4 and IPv6, and the flow program on its devices.

::

    pod a ── va [ node ] eth0 ── far      (b likewise on vb; each a network namespace)
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import quiet_kit as quiet
from ebpf_kit import flows, loaded
from flowgauge.demo.scene import counters, kernel
from flowgauge.demo.scene.counters import Segments, Traffic
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.hooks import Attachment
from flowgauge.runtime import linux

A, B, FAR = "10.9.1.2", "10.9.2.2", "10.9.3.2"
A6, B6, FAR6 = "fd00:1::2", "fd00:2::2", "fd00:3::2"
DEVICES = {"a": ("va", 1), "b": ("vb", 2), "far": ("eth0", 3)}
"""Place → the node's device to it, and the number of its subnet."""

_MTU = 1500
_POD = {**quiet.NAMESPACE, "ipv6/conf/all/forwarding": "0", "ipv4/ip_forward": "0"}
_NODE = {**quiet.NAMESPACE, "ipv6/conf/all/forwarding": "1", "ipv4/ip_forward": "1"}


@dataclass(slots=True)
class TwoPods:
    """The node's namespace, and that of each place (``a``, ``b``, ``far``)."""

    node: str
    netns: dict[str, str]

    def device(self, place: str) -> str:
        """The node's device to a place."""
        return DEVICES[place][0]

    def ifindex(self, device: str) -> int:
        """Of a device of the node."""
        with linux.in_netns(self.node):
            return socket.if_nametoindex(device)

    def mac(self, place: str, device: str = "eth0") -> str:
        """The Ethernet address of a device, as ``ip link`` shows it."""
        (shown,) = json.loads(self.run(place, "ip", "-j", "link", "show", "dev", device))
        return str(shown["address"])

    def offloads(self, *, on: bool) -> None:
        """Segmentation offloads of every link, at both ends."""
        for place, (device, _) in DEVICES.items():
            kernel.offloads(self.node, [device], on=on)
            kernel.offloads(self.netns[place], ["eth0"], on=on)

    def run(self, place: str, *argv: str) -> str:
        """Runs a program in a place (``node`` is one, too); what it printed."""
        with linux.in_netns(self.netns.get(place, self.node)):
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{argv}: {done.stderr or done.stdout}"
        return done.stdout

    def socket(self, place: str, family: int, kind: int, proto: int = 0) -> socket.socket:
        """A socket that belongs to a place."""
        with linux.in_netns(self.netns.get(place, self.node)):
            made = socket.socket(family, kind, proto)
        made.settimeout(60)
        return made


@contextmanager
def two_pods(rules: str = "", *, offloads: bool = False) -> Iterator[TwoPods]:
    """Builds the three places, silent, with nft's ``rules`` on the node, and takes them down again."""
    mark = f"fgt{os.getpid() % 100_000}{secrets.token_hex(2)}"
    built = TwoPods(f"{mark}-node", {place: f"{mark}-{place}" for place in DEVICES})
    try:
        for name in (built.node, *built.netns.values()):
            linux.create_netns(name)
            kernel.sysctl(name, _NODE if name == built.node else _POD)
        for place in DEVICES:
            _connect(built, place)
        for name in (built.node, *built.netns.values()):
            quiet.neighbours(name)
        built.offloads(on=offloads)
        if rules:
            kernel.nft(built.node, rules)
        settled(built, 0.1)
        yield built
    finally:
        for name in (built.node, *built.netns.values()):
            linux.delete_netns(name)


def _connect(built: TwoPods, place: str) -> None:
    """Links whose ends have other numbers than their peers are noticed at once (net/core/link_watch.c)."""
    (device, number), netns = DEVICES[place], built.netns[place]
    kernel.ip_batch(
        built.node,
        [
            "link set lo up",
            f"link add {device} index {100 + number} type veth peer name eth0 netns {netns}",
            f"addr add 10.9.{number}.1/24 dev {device}",
            f"addr add fd00:{number}::1/64 dev {device} nodad",
            f"link set {device} up",
        ],
    )
    kernel.ip_batch(
        netns,
        [
            "link set lo up",
            f"addr add 10.9.{number}.2/24 dev eth0",
            f"addr add fd00:{number}::2/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via 10.9.{number}.1",
            f"route add default via fd00:{number}::1",
        ],
    )


def settled(built: TwoPods, quiet_s: float = 0.3) -> dict[str, Traffic]:
    """The counters of the node's devices, once nothing moved for ``quiet_s``; on loopback an agent's own exports never rest."""
    return quiet.at_rest(lambda: _links(built.node), quiet_s)


def _links(netns: str) -> dict[str, Traffic]:
    return {name: traffic for name, traffic in counters.devices(netns).items() if name != "lo"}


@dataclass(slots=True)
class Observed:
    """The flow program on the node's devices."""

    program: FlowProgram
    attachments: dict[str, Attachment]

    def detach(self) -> None:
        """Takes all hooks away."""
        for attachment in self.attachments.values():
            attachment.detach()
        self.attachments.clear()

    def flows(self) -> list[dict[str, Any]]:
        """Detaches and takes out what was counted."""
        self.detach()
        return flows(self.program.evict())


@contextmanager
def observed(built: TwoPods, devices: Sequence[str] = ("va", "vb", "eth0"), **options: Any) -> Iterator[Observed]:
    """Hooks ``devices`` of the node with ``ProgramOptions(**options)``."""
    with loaded(**{"max_flows": 4096, "salt": 0x1234, **options}) as program, linux.in_netns(built.node):
        watch = Observed(program, {name: program.attach(socket.if_nametoindex(name)) for name in devices})
        try:
            yield watch
        finally:
            watch.detach()


@dataclass(frozen=True, slots=True)
class Transfer:
    """One TCP transfer: the sender's own address and port, and what the receiver took it for."""

    sender: tuple[str, int]
    seen_as: tuple[str, int]


def transfer(built: TwoPods, way: tuple[str, str], to: tuple[str, int], size: int, port: int = 0) -> Transfer:
    """Sends ``size`` bytes over TCP until both ends have closed.

    Args:
        built: where.
        way: from which place to which.
        to: the address and port that the sender calls.
        size: bytes of payload.
        port: on which the receiver listens, when it is another than the sender calls.
    """
    sender, receiver = way
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    with (
        built.socket(receiver, family, socket.SOCK_STREAM) as listener,
        built.socket(sender, family, socket.SOCK_STREAM) as out,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port or to[1]))
        listener.listen()
        got: list[tuple[int, tuple[str, int]]] = []
        server = threading.Thread(target=lambda: got.append(_drain(listener)))
        server.start()
        out.connect(to)
        name = out.getsockname()[:2]
        block = bytes(1 << 20)
        for at in range(0, size, len(block)):
            out.sendall(block[: size - at])
        out.shutdown(socket.SHUT_WR)
        assert out.recv(1) == b""  # until the other side has closed, so that nothing is on its way any more
        server.join(30)
    (received, seen_as) = got[0]
    assert received == size
    return Transfer(name, seen_as)


def is_what_tcp_sent(counted: tuple[int, int], sent: Segments, payload: int, *, v6: bool) -> bool:
    """Whether packets and layer 3 bytes are those of the senders' segments.

    On a busy machine some are lost before a hook sees them, and sent again.

    Args:
        counted: packets and bytes.
        sent: by all senders.
        payload: what the applications sent.
        v6: over IPv6.
    """
    packets, length = counted
    headers = (60 if v6 else 40) + 12  # with TCP timestamps
    once = payload + headers * packets
    most = once + sent.repeated * (_MTU - headers)
    return 0.999 * sent.new <= packets <= 1.001 * (sent.new + sent.repeated) and 0.999 * once <= length <= 1.001 * most


def _drain(listener: socket.socket) -> tuple[int, tuple[str, int]]:
    connection, peer = listener.accept()
    with connection:
        connection.settimeout(60)
        total = 0
        while block := connection.recv(1 << 20):
            total += len(block)
    return total, peer[:2]
