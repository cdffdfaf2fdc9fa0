# SPDX-License-Identifier: Apache-2.0
"""Links and routes of a network namespace, read over rtnetlink (``linux/rtnetlink.h``), and notice of their changes.

Messages are walked by hand instead of through a library: a dump of 400 links takes 3 ms so, 130 ms with pyroute2's full
decoding, and a node whose pods come and go dumps often. A socket belongs to the namespace of the thread that makes it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from flowgauge.flow.addresses import V4_MAPPED_PREFIX

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 20, 21, 24, 25, 26
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP = 0x301
_DUMP_INTERRUPTED = 0x10
_CLONED = 0x200
_EVENT_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE."""

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ROUTE = struct.Struct("=8BI")
_ATTRIBUTE = struct.Struct("=HH")
_STATISTICS = struct.Struct("=16Q")
"""The beginning of struct rtnl_link_stats64 (IFLA_STATS64)."""
_BUFFER_BYTES = 1 << 16
_EVENT_BUFFER_BYTES = 1 << 20
"""Receive buffer for change events; when it overflows everything is read again, so no change is missed."""

IFF_UP, IFF_LOOPBACK = 0x1, 0x8
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772
UNICAST, LOCAL = 1, 2
"""Types of route (RTN_…) that say where an address lives; the others drop, or are for groups."""

_Message = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class Link:
    """One device.

    Attributes:
        kind: ``veth``, ``bridge``, ``vxlan`` …; empty for a physical device.
        up: whether it is administratively up.
        hardware: ARPHRD_… of ``linux/if_arp.h``.
        master: ifIndex of the bridge or bond it belongs to, or 0.
        lower: ifIndex of the device below (VLAN, macvlan) in the same namespace, or 0.
    """

    ifindex: int
    name: str
    kind: str = ""
    up: bool = True
    hardware: int = ARPHRD_ETHER
    master: int = 0
    lower: int = 0

    @property
    def loopback(self) -> bool:
        """Whether it is the loopback device."""
        return self.hardware == ARPHRD_LOOPBACK


@dataclass(frozen=True, slots=True)
class OneWay:
    """What a device counted in one direction: packets, and bytes of layer 2."""

    packets: int
    bytes: int
    errors: int
    dropped: int


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """A device's own counters; what it missed for lack of room is among what it dropped."""

    received: OneWay
    sent: OneWay


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Attributes:
        prefix: 16 bytes, IPv4 as v4-mapped; ``length`` counts in these 128 bits.
        kind: RTN_… (``UNICAST``, ``LOCAL``).
        devices: ifIndex of each next hop.
        gateways: those of ``devices`` that are reached through a gateway.
    """

    prefix: bytes
    length: int
    kind: int
    table: int
    devices: tuple[int, ...]
    gateways: tuple[int, ...]


@dataclass(slots=True)
class Changes:
    """What change events said: whether links or routes must be read again, and which devices went away."""

    links: bool = False
    routes: bool = False
    gone: set[int] | None = None

    def merge(self, other: Changes) -> None:
        """Adds ``other``."""
        self.links |= other.links
        self.routes |= other.routes
        self.gone = (self.gone or set()) | (other.gone or set())


class Rtnetlink:
    """A socket for dumps and one for events, both of the calling thread's network namespace; used by one thread."""

    def __init__(self) -> None:
        self._dumps = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._dumps.settimeout(5.0)
        self.events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self.events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _EVENT_BUFFER_BYTES)
        self.events.setblocking(False)
        self.events.bind((0, _EVENT_GROUPS))
        self._waiting = select.poll()
        self._waiting.register(self.events, select.POLLIN)
        self._sequence = 0

    def close(self) -> None:
        """Closes both sockets."""
        self._dumps.close()
        self.events.close()

    def links(self) -> list[Link]:
        """Every device of the namespace; OSError when the kernel refuses."""
        request = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        return [_link(body) for kind, _, body in self._dump(_RTM_GETLINK, request) if kind == _RTM_NEWLINK]

    def statistics(self) -> dict[str, LinkStatistics]:
        """What each device of the namespace counted, by its name; OSError when the kernel refuses."""
        request = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        bodies = [body for kind, _, body in self._dump(_RTM_GETLINK, request) if kind == _RTM_NEWLINK]
        found = [read_attributes(body, _LINK.size) for body in bodies]
        return {_text(link.get(3)): _statistics(link[23]) for link in found if len(link.get(23, b"")) >= _STATISTICS.size}

    def routes(self) -> list[Route]:
        """Every IPv4 and IPv6 route of every table, local addresses included; OSError when the kernel refuses."""
        found: list[Route] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            request = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            routes = (_route(body) for kind, _, body in self._dump(_RTM_GETROUTE, request) if kind == _RTM_NEWROUTE)
            found += [route for route in routes if route is not None]
        return found

    def changes(self, timeout_s: float) -> Changes:
        """Waits for change events and takes all there are; empty after ``timeout_s``."""
        changes = Changes()
        if not self._waiting.poll(timeout_s * 1000):
            return changes
        while True:
            try:
                data = self.events.recv(_BUFFER_BYTES)
            except BlockingIOError:
                return changes
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                changes.links = changes.routes = True
                continue
            for kind, _, body in read_messages(data):
                changes.merge(_change(kind, body))

    def _dump(self, kind: int, body: bytes) -> list[_Message]:
        for _ in range(3):  # a dump that a change interrupted is inconsistent: ask again, then take it as it is
            messages, interrupted = self._dump_once(kind, body)
            if not interrupted:
                break
        return messages

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[_Message], bool]:
        self._sequence += 1
        self._dumps.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, self._sequence, 0) + body)
        messages: list[_Message] = []
        interrupted = False
        while True:
            for answer in read_messages(self._dumps.recv(_BUFFER_BYTES)):
                interrupted |= bool(answer[1] & _DUMP_INTERRUPTED)
                if answer[0] == _NLMSG_DONE:
                    return messages, interrupted
                if answer[0] == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", answer[2])[0]
                    raise OSError(number, f"read links or routes: {os.strerror(number)}")
                messages.append(answer)


def read_messages(data: bytes) -> Iterator[_Message]:
    """(type, flags, body) of each message in one read."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, flags, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def read_attributes(body: bytes, at: int) -> dict[int, bytes]:
    """Type → value of the netlink attributes from offset ``at`` on."""
    found: dict[int, bytes] = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = body[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def _number(value: bytes | None) -> int:
    return int.from_bytes(value, "little" if struct.pack("=H", 1)[0] else "big") if value else 0


def _text(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0").decode(errors="replace")


def _link(body: bytes) -> Link:
    _, hardware, ifindex, flags, _ = _LINK.unpack_from(body)
    attributes = read_attributes(body, _LINK.size)
    info = read_attributes(attributes.get(18, b""), 0)  # IFLA_LINKINFO
    elsewhere = 37 in attributes  # IFLA_LINK_NETNSID: the device below is in another namespace
    return Link(
        ifindex=ifindex,
        name=_text(attributes.get(3)),  # IFLA_IFNAME
        kind=_text(info.get(1)),  # IFLA_INFO_KIND
        up=bool(flags & IFF_UP),
        hardware=hardware,
        master=_number(attributes.get(10)),  # IFLA_MASTER
        lower=0 if elsewhere else _number(attributes.get(5)),  # IFLA_LINK
    )


def _statistics(value: bytes) -> LinkStatistics:
    numbers = _STATISTICS.unpack_from(value)
    packets, octets, errors, dropped = (numbers[at : at + 2] for at in (0, 2, 4, 6))  # each received, sent
    missed = numbers[15]
    return LinkStatistics(
        OneWay(packets[0], octets[0], errors[0], dropped[0] + missed), OneWay(packets[1], octets[1], errors[1], dropped[1])
    )


def _route(body: bytes) -> Route | None:
    """The route of a message; None for what is no route of its own (a cached clone)."""
    family, length, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(body)
    if flags & _CLONED:
        return None
    attributes = read_attributes(body, _ROUTE.size)
    device = _number(attributes.get(4))  # RTA_OIF
    hops = [(device, 5 in attributes or 18 in attributes)] if device else []  # RTA_GATEWAY, RTA_VIA
    hops += _next_hops(attributes.get(9, b""))  # RTA_MULTIPATH
    width = 4 if family == socket.AF_INET else 16
    prefix = attributes.get(1, b"").ljust(width, b"\0")  # RTA_DST
    return Route(
        prefix=V4_MAPPED_PREFIX + prefix if width == 4 else prefix,
        length=length + 96 if width == 4 else length,
        kind=kind,
        table=_number(attributes.get(15)) or table,  # RTA_TABLE
        devices=tuple(hop for hop, _ in hops),
        gateways=tuple(hop for hop, gateway in hops if gateway),
    )


def _next_hops(data: bytes) -> list[tuple[int, bool]]:
    """(ifIndex, whether through a gateway) of each ``struct rtnexthop``."""
    hops: list[tuple[int, bool]] = []
    at = 0
    while at + 8 <= len(data):
        length, _, _, ifindex = struct.unpack_from("=HBBi", data, at)
        if length < 8:
            break
        attributes = read_attributes(data[at : at + length], 8)
        hops.append((ifindex, 5 in attributes or 18 in attributes))
        at += (length + 3) & ~3
    return hops


def _change(kind: int, body: bytes) -> Changes:
    if kind in {_RTM_NEWLINK, _RTM_DELLINK}:
        family, _, ifindex, _, _ = _LINK.unpack_from(body)
        if family != socket.AF_UNSPEC:  # a bridge tells of its ports in the same group
            return Changes()
        return Changes(links=True, routes=kind == _RTM_DELLINK, gone={ifindex} if kind == _RTM_DELLINK else None)
    return Changes(routes=kind in {_RTM_NEWADDR, _RTM_DELADDR, _RTM_NEWROUTE, _RTM_DELROUTE})
