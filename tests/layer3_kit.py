# SPDX-License-Identifier: Apache-2.0
"""For tests: a machine behind a device of a node that is no Ethernet link: tun, and tap beside it, both moved by a program.

::

    pod a ── va [ node ] link0 ── link0 [ beyond ]      (each a network namespace)

``behind`` adds the place ``beyond`` to a node, ``talk`` sends packets of all kinds through the device, ``seen_at`` counts them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import quiet_kit as quiet
from ebpf_kit import flows
from flowgauge.demo.scene import counters, kernel
from flowgauge.demo.scene.counters import Traffic
from flowgauge.ebpf.flow_program import NotIp
from flowgauge.runtime import linux
from node_kit import A6, A, TwoPods, observed, settled, transfer

LINK = "link0"
BEYOND, BEYOND6 = "10.9.4.2", "fd00:4::2"
PORT, CLOSED_PORT = 9000, 4004

Cable = Callable[[str, str], AbstractContextManager[None]]
"""Makes ``link0`` in two namespaces, such that what one sends the other receives."""

_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x1, 0x2, 0x1000, 0x4000
_ALL_OFFLOADS = 0x1 | 0x2 | 0x4
"""TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 of linux/if_tun.h."""
_LARGEST = 1 << 17


class _Mover:
    """Moves packets between two descriptors until it is stopped."""

    def __init__(self, one: int, other: int) -> None:
        self._to = {one: other, other: one}
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run, name="mover")
        self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as ready:
            for descriptor in (*self._to, self._stop):
                ready.register(descriptor, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fd == self._stop:
                        return
                    with suppress(BlockingIOError):
                        self._move(key.fd)

    def _move(self, source: int) -> None:
        while packet := os.read(source, _LARGEST):
            try:
                os.write(self._to[source], packet)
            except OSError as error:
                if error.errno != errno.EIO:  # the other end is not up yet
                    raise

    def stop(self) -> None:
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)


def tun(*, ethernet: bool = False, offloads: bool = False) -> Cable:
    """Two tun devices (or tap, which have an Ethernet header) and a program that moves their packets.

    ``offloads``: super-packets stay whole on the way, each with a header of virtio, as a virtual machine's do.
    """
    flags = (_IFF_TAP if ethernet else _IFF_TUN) | _IFF_NO_PI | (_IFF_VNET_HDR if offloads else 0)

    def opened(netns: str) -> int:
        with linux.in_netns(netns):
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", LINK.encode(), flags))
        if offloads:
            fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _ALL_OFFLOADS)
        kernel.ip_batch(netns, [f"link set {LINK} txqueuelen 10000"])
        return descriptor

    @contextmanager
    def cable(near: str, beyond: str) -> Iterator[None]:
        ends = [opened(netns) for netns in (near, beyond)]
        mover = _Mover(*ends)
        try:
            yield
        finally:
            mover.stop()
            for end in ends:
                os.close(end)

    return cable


@contextmanager
def behind(node: TwoPods, cable: Cable) -> Iterator[None]:
    """Adds the place ``beyond`` to a node, behind its device ``link0``."""
    netns = f"{node.node}-beyond"
    linux.create_netns(netns)
    node.netns["beyond"] = netns
    try:
        kernel.sysctl(netns, quiet.NAMESPACE)
        with cable(node.node, netns):
            for place, number in ((node.node, 1), (netns, 2)):
                kernel.ip_batch(place, [f"addr add 10.9.4.{number}/24 dev {LINK}", f"link set {LINK} up"])
                kernel.ip_batch(place, [f"addr add fd00:4::{number}/64 dev {LINK} nodad"])
                quiet.neighbours(place)
            kernel.ip_batch(netns, ["route add default via 10.9.4.1", "route add default via fd00:4::1"])
            yield
    finally:
        del node.netns["beyond"]
        linux.delete_netns(netns)


def talk(node: TwoPods, size: int = 300_000) -> None:
    """TCP both ways, UDP whole and in fragments, and the errors of ICMP that answer it, over IPv4 and IPv6."""
    for address, back in ((BEYOND, A), (BEYOND6, A6)):
        transfer(node, ("a", "beyond"), (address, PORT), size)
        transfer(node, ("beyond", "a"), (back, PORT), size)
        with node.socket("a", socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for length in (1, 1400, 5000):
                udp.sendto(bytes(length), (address, CLOSED_PORT))
                time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the flow program counted at ``link0``, and what the device itself did.

    Attributes:
        rows: the flows that passed the device.
        elsewhere: all others.
        counters: of the program, at all devices.
        devices: of each observed device; bytes with the Ethernet header where it has one.
        not_ip: frames that were not IP, by device.
    """

    rows: list[dict[str, Any]]
    elsewhere: list[dict[str, Any]]
    counters: dict[str, int]
    devices: dict[str, Traffic]
    not_ip: dict[str, NotIp]

    def counted(self) -> tuple[int, int]:
        """Packets and layer 3 bytes of the flows."""
        return sum(row["packets"] for row in self.rows), sum(row["bytes"] for row in self.rows)

    def by_device(self, header_bytes: int) -> tuple[int, int]:
        """IP packets and their layer 3 bytes as ``link0`` counted, whose packets have ``header_bytes`` before."""
        device, other = self.devices[LINK], self.not_ip.get(LINK, NotIp(0, 0))
        packets = device.packets - other.packets
        return packets, device.layer2_bytes - other.bytes - header_bytes * packets

    def by_ends(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Packets and bytes by source and destination."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for row in self.rows:
            ends = row["src_addr"], row["dst_addr"]
            packets, length = found.get(ends, (0, 0))
            found[ends] = packets + row["packets"], length + row["bytes"]
        return found


def seen_at(node: TwoPods, work: Callable[[], None], *below: str) -> Seen:
    """Observes the pod's device, ``link0`` and what it goes through ``below`` while ``work`` runs."""
    devices = ("va", LINK, *below)
    settled(node, quiet.LINKED_S)
    with observed(node, devices) as watch:
        before = counters.devices(node.node)
        work()
        after = settled(node, 0.5)
        watch.detach()
        index = {name: node.ifindex(name) for name in devices}
        counted, not_ip = watch.program.counters(), watch.program.not_ip()
        rows = flows(watch.program.evict())
    here = [row for row in rows if any(point.split()[0] == str(index[LINK]) for point in row["observed"])]
    kept = {name.removeprefix("kernel_packets_"): value for name, value in counted.items() if value}
    passed = {name: after[name].since(before[name]) for name in devices}
    return Seen(
        here,
        [row for row in rows if row not in here],
        kept,
        passed,
        {name: not_ip[at] for name, at in index.items() if at in not_ip},
    )
