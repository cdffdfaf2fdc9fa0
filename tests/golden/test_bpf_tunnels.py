# SPDX-License-Identifier: Apache-2.0
"""Packets in tunnels through the real program in the real kernel (PROG_TEST_RUN): the packet within, or the one outside.

The law: in a tunnel a packet is the flow that it is without. The witness of what is within and outside is the packet itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from ebpf_kit import context, flows, loaded, show, touched
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.flow import addresses
from flowgauge.schema.enums import TUNNEL_KIND, code

pytestmark = pytest.mark.bpf

MACS = bytes(12)
IN, OUT, IN6, OUT6 = ("10.0.0.1", "10.0.0.2"), ("192.0.2.1", "192.0.2.2"), ("fd00::1", "fd00::2"), ("fd99::1", "fd99::2")
MORE_FRAGMENTS = 0x2000


def ip(proto: int, body: bytes, ends: tuple[str, str] = OUT, fragment: int = 0) -> bytes:
    src, dst = (ip_address(end).packed for end in ends)
    if len(src) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), proto, 64) + src + dst + body
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, fragment, 64, proto, 0) + src + dst + body


def udp(port: int, body: bytes) -> bytes:
    return struct.pack("!HHHH", 50000, port, 8 + len(body), 0) + body


def frame(packet: bytes, tags: bytes = b"") -> bytes:
    return MACS + tags + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


def gre(protocol: int, body: bytes, flags: int = 0, options: bytes = b"") -> bytes:
    return struct.pack("!HH", flags, protocol) + options + body


TCP = ip(6, struct.pack("!HHIIHHHH", 40000, 5432, 1, 2, 0x5018, 100, 0, 0) + bytes(1000), IN)
TCP6 = ip(6, struct.pack("!HHIIHHHH", 40000, 443, 1, 2, 0x5012, 100, 0, 0) + bytes(77), IN6)
VXLAN = b"\x08\0\0\0\0\x12\x34\0"
GENEVE = b"\x02\0\x65\x58\0\0\x2a\0" + bytes(8)
BRIDGED, V4, V6 = 0x6558, 0x0800, 0x86DD

TUNNELS = {
    "vxlan": (ip(17, udp(4789, VXLAN + frame(TCP))), TCP, ("vxlan", 0x1234)),
    "vxlan on Linux's own port": (ip(17, udp(8472, VXLAN + frame(TCP))), TCP, ("vxlan", 0x1234)),
    "vxlan over IPv6": (ip(17, udp(4789, VXLAN + frame(TCP)), OUT6), TCP, ("vxlan", 0x1234)),
    "IPv6 in vxlan": (ip(17, udp(4789, VXLAN + frame(TCP6))), TCP6, ("vxlan", 0x1234)),
    "vxlan with a VLAN within": (ip(17, udp(4789, VXLAN + frame(TCP, b"\x81\0\0\x05"))), TCP, ("vxlan", 0x1234)),
    "geneve with options": (ip(17, udp(6081, GENEVE + frame(TCP))), TCP, ("geneve", 42)),
    "geneve of IP": (ip(17, udp(6081, b"\0\0\x08\0\0\0\x2a\0" + TCP)), TCP, ("geneve", 42)),
    "gre": (ip(47, gre(V4, TCP)), TCP, ("gre", 0)),
    "gre of IPv6": (ip(47, gre(V6, TCP6)), TCP6, ("gre", 0)),
    "gre of Ethernet": (ip(47, gre(BRIDGED, frame(TCP))), TCP, ("gre", 0)),
    "gre with checksum, key and number": (ip(47, gre(V4, TCP, 0xB000, struct.pack("!HHII", 1, 0, 77, 5))), TCP, ("gre", 77)),
    "ipip": (ip(4, TCP), TCP, ("ipip", 0)),
    "6in4": (ip(41, TCP6), TCP6, ("ipip", 0)),
    "4in6": (ip(4, TCP, OUT6), TCP, ("ipip", 0)),
    "vxlan in gre": (ip(47, gre(V4, ip(17, udp(4789, VXLAN + frame(TCP)), ("192.0.2.8", "192.0.2.9")))), TCP,
                     ("gre", 0)),
}  # fmt: skip
"""What is on the wire, what is within, and the outermost tunnel's kind and identifier."""

NOT_ENTERED = {
    "ARP within": ip(17, udp(4789, VXLAN + MACS + b"\x08\x06" + bytes(28))),
    "no network identifier": ip(17, udp(4789, bytes(8) + frame(TCP))),
    "another port": ip(17, udp(4790, VXLAN + frame(TCP))),
    "geneve of a later version": ip(17, udp(6081, b"\x40" + GENEVE[1:] + frame(TCP))),
    "PPTP": ip(47, gre(V4, TCP, flags=1)),
    "a mirror's copy": ip(47, gre(0x88BE, frame(TCP))),
    "cut off": ip(17, udp(4789, VXLAN + frame(TCP)[:20])),
    "no IP within": ip(4, bytes(40)),
    "a fragment": ip(17, udp(4789, VXLAN + frame(TCP)), fragment=MORE_FRAGMENTS),
}


@pytest.fixture(scope="module")
def inner() -> Iterator[FlowProgram]:
    with loaded(max_flows=1024, tunnels=True) as one:
        yield one


@pytest.fixture(scope="module")
def outer() -> Iterator[FlowProgram]:
    with loaded(max_flows=1024) as one:
        yield one


def seen(program: FlowProgram, packet: bytes, ctx: bytes = b"") -> list[dict[str, Any]]:
    """The flows of one packet in a frame."""
    show(program, frame(packet), ctx=ctx)
    return flows(program.evict())


@pytest.mark.parametrize("name", TUNNELS)
def test_a_packet_in_a_tunnel_is_the_flow_that_it_is_without(inner: FlowProgram, name: str) -> None:
    wire, within, (kind, number) = TUNNELS[name]
    show(inner, frame(wire))
    evicted = inner.evict()
    assert flows(evicted) == seen(inner, within)
    (link,), (key,) = evicted.tunnels.values, evicted.tunnels.keys
    assert key.tobytes() == evicted.keys[0].tobytes()
    assert (link["kind"], link["id"]) == (code(TUNNEL_KIND, kind), number)
    ends = [addresses.to_text(link[end].tobytes()) for end in ("src_addr", "dst_addr")]
    assert ends == list(OUT6 if wire[0] >> 4 == 6 else OUT)


@pytest.mark.parametrize("name", TUNNELS)
def test_unless_asked_the_outer_packet_counts(outer: FlowProgram, name: str) -> None:
    wire = TUNNELS[name][0]
    show(outer, frame(wire))
    evicted = outer.evict()
    (row,) = flows(evicted)
    assert (row["src_addr"], row["dst_addr"]) == (OUT6 if wire[0] >> 4 == 6 else OUT)
    assert row["bytes"] == len(wire)
    assert not len(evicted.tunnels)


@pytest.mark.parametrize("name", NOT_ENTERED)
def test_what_is_no_ip_packet_in_a_tunnel_counts_as_the_outer_packet(inner: FlowProgram, outer: FlowProgram, name: str) -> None:
    assert seen(inner, NOT_ENTERED[name]) == seen(outer, NOT_ENTERED[name])


@pytest.mark.parametrize("name", ["vxlan", "vxlan over IPv6", "geneve with options", "gre", "gre of Ethernet", "ipip"])
@pytest.mark.parametrize("told", [3, 0], ids=["segments told", "segments not told"])
def test_each_segment_of_a_super_packet_has_all_the_headers(
    inner: FlowProgram, outer: FlowProgram, name: str, told: int
) -> None:
    """1000 bytes of payload in segments of 400: three packets."""
    wire = TUNNELS[name][0]
    ctx = context(gso_size=400, gso_segments=told)
    (inside,), (outside,) = seen(inner, wire, ctx), seen(outer, wire, ctx)
    assert (inside["packets"], outside["packets"]) == (3, 3)
    assert inside["bytes"] == 3 * 40 + 1000
    assert outside["bytes"] == 3 * (len(wire) - 1000) + 1000


def test_what_a_packet_was_in_is_told_by_young_flows_once(inner: FlowProgram) -> None:
    wire, within, _ = TUNNELS["vxlan"]
    for _ in range(20):
        show(inner, frame(wire))
    show(inner, frame(within))
    evicted = inner.evict()
    assert len(evicted.tunnels) == 1
    assert [row["packets"] for row in flows(evicted)] == [21]


def test_a_tunnel_that_finds_no_room_is_counted_and_its_packet_all_the_same() -> None:
    with loaded(max_flows=256, tunnels=True) as program:
        for number in range(400):
            show(program, frame(ip(47, gre(V4, ip(17, udp(1000 + number, b""), IN)))))
        counters, evicted = touched(program.counters()), program.evict()
    assert counters["seen"] == 400
    assert counters["in_flows"] + counters.get("table_full", 0) == 400
    assert len(evicted.tunnels) <= len(evicted)
    assert len(evicted.tunnels) + counters.get("kernel_tunnels_full", 0) == len(evicted)
