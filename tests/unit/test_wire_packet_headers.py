# SPDX-License-Identifier: Apache-2.0
"""Heads of sampled packets: through every encapsulation, cut anywhere, outer and inner. Traps: see golden/wire."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowgauge.flow.addresses import to_text
from flowgauge.wire.packet_headers import parse
from flowgauge.wire.packet_headers_bytes import SLACK_BYTES, Windows
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.packet_headers_link import ETHERNET_FRAME, IPV4, IPV6, MPLS, PPP_FRAME
from sflow_kit import MAC_A, MAC_B, ethernet, ipv4, ipv6, label, tcp, udp

TCP4 = ipv4(6, tcp())
TCP6 = ipv6(6, tcp())


def heads(*packets: bytes, kind: int = ETHERNET_FRAME, inner: bool = False) -> Heads:
    """The packets side by side in one buffer, with noise between, which must never be read as theirs."""
    buffer = bytearray()
    start, end = [], []
    for packet in packets:
        buffer += b"\xee" * 7
        start.append(len(buffer))
        buffer += packet
        end.append(len(buffer))
    buffer += b"\xee" * SLACK_BYTES
    windows = Windows(np.frombuffer(bytes(buffer), np.uint8))
    return parse(windows, np.array(start), np.array(end), np.full(len(packets), kind, np.int32), inner=inner)


def only(found: Heads) -> dict[str, Any]:
    """One packet's values; addresses as text."""
    assert len(found.proto) == 1
    return {
        "ends": (to_text(found.src_addr[0].tobytes()), to_text(found.dst_addr[0].tobytes())),
        "ports": (int(found.src_port[0]), int(found.dst_port[0])),
        **{name: int(getattr(found, name)[0]) for name in ("proto", "tos", "ttl", "tcp_flags", "icmp_type", "icmp_code",
                                                            "ether_type", "vlan_id", "customer_vlan", "l3_bytes")},
        "labels": [int(entry) >> 12 for entry in found.labels[0].tolist() if entry],
    }  # fmt: skip


V4_ENDS, V6_ENDS = ("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")
SNAP = bytes.fromhex("aaaa03000000")
PPPOE = bytes.fromhex("110000010030")
CONTROL_WORD = bytes.fromhex("00000123")
ENCAPSULATIONS = {
    "plain": ethernet(0x0800, TCP4),
    "802.1Q": ethernet(0x0800, TCP4, tags=[(0x8100, 0x6064)]),
    "QinQ": ethernet(0x0800, TCP4, tags=[(0x8100, 100), (0x8100, 200)]),
    "802.1ad": ethernet(0x0800, TCP4, tags=[(0x88A8, 100), (0x8100, 200)]),
    "three tags": ethernet(0x0800, TCP4, tags=[(0x9100, 100), (0x8100, 200), (0x8100, 300)]),
    "SNAP": ethernet(50, SNAP + b"\x08\x00" + TCP4),
    "MPLS": ethernet(0x8847, label(16) + label(17, bottom=True) + TCP4),
    "MPLS behind a tag": ethernet(0x8847, label(17, bottom=True) + TCP4, tags=[(0x8100, 5)]),
    "MPLS explicit null": ethernet(0x8847, label(0, bottom=True) + TCP4),
    "Ethernet over MPLS": ethernet(0x8847, label(16) + label(17, bottom=True) + ethernet(0x0800, TCP4)),
    "Ethernet over MPLS with a control word": ethernet(0x8847, label(17, bottom=True) + CONTROL_WORD + ethernet(0x0800, TCP4)),
    "a tagged frame over MPLS": ethernet(
        0x8847, label(17, bottom=True) + CONTROL_WORD + ethernet(0x0800, TCP4, tags=[(0x8100, 100)])
    ),
    "PPPoE": ethernet(0x8864, PPPOE + b"\x00\x21" + TCP4),
    "PPPoE behind a tag": ethernet(0x8864, PPPOE + b"\x00\x21" + TCP4, tags=[(0x8100, 5)]),
    "options": ethernet(0x0800, ipv4(6, tcp(), options=b"\x01" * 8)),
}


@pytest.mark.parametrize("name", ENCAPSULATIONS)
def test_the_packet_is_found_through(name: str) -> None:
    """Trap 79."""
    found = only(heads(ENCAPSULATIONS[name]))
    assert (found["ends"], found["ports"], found["proto"], found["tcp_flags"]) == (V4_ENDS, (40000, 443), 6, 0x18)


def test_all_side_by_side_are_found_as_well() -> None:
    found = heads(*ENCAPSULATIONS.values(), ethernet(0x86DD, TCP6), ethernet(0x0806, bytes(28)))
    assert found.dst_port.tolist() == [443] * (len(ENCAPSULATIONS) + 1) + [0]
    assert found.is_ip.tolist() == [True] * (len(ENCAPSULATIONS) + 1) + [False]


@pytest.mark.parametrize(
    ("name", "vlan", "customer", "ether_type", "labels"),
    [
        ("plain", 0, 0, 0x0800, []),
        ("802.1Q", 100, 0, 0x0800, []),
        ("QinQ", 100, 200, 0x0800, []),
        ("802.1ad", 100, 200, 0x0800, []),
        ("three tags", 100, 200, 0x0800, []),
        ("MPLS", 0, 0, 0x8847, [16, 17]),
        ("PPPoE behind a tag", 5, 0, 0x8864, []),
    ],
)
def test_what_the_frame_says(name: str, vlan: int, customer: int, ether_type: int, labels: list[int]) -> None:
    """Trap 27: The stack ends at the bottom bit."""
    found = only(heads(ENCAPSULATIONS[name]))
    assert (found["vlan_id"], found["customer_vlan"], found["ether_type"]) == (vlan, customer, ether_type)
    assert found["labels"] == labels


@pytest.mark.parametrize(
    "carried",
    [
        b"\x10\0\0\0" + TCP4,  # an associated channel (RFC 5586)
        CONTROL_WORD + TCP4,
        CONTROL_WORD + ethernet(0x0806, bytes(28)),
        ethernet(0x0800, b"\x05" + TCP4[1:]),
        CONTROL_WORD + ethernet(0x86DD, TCP4),
        CONTROL_WORD,
        b"",
    ],
)
def test_what_is_no_ip_below_labels_is_not_taken_for_it(carried: bytes) -> None:
    found = heads(ethernet(0x8847, label(16) + label(17, bottom=True) + carried))
    assert (found.is_ip.tolist(), only(found)["proto"], only(found)["labels"]) == ([False], 0, [16, 17])


def test_a_customers_frame_over_mpls_leaves_the_outer_ones_addresses() -> None:
    inside = ethernet(0x86DD, TCP6, tags=[(0x8100, 7)])
    found = heads(ethernet(0x8847, label(17, bottom=True) + CONTROL_WORD + inside, tags=[(0x8100, 5)]))
    assert found.src_mac.tobytes() == MAC_A
    assert (only(found)["vlan_id"], only(found)["ends"], only(found)["l3_bytes"]) == (5, V6_ENDS, len(TCP6))


def test_mac_addresses() -> None:
    found = heads(ENCAPSULATIONS["plain"])
    assert (found.src_mac[0].tobytes(), found.dst_mac[0].tobytes()) == (MAC_A, MAC_B)


def test_fields_of_both_families() -> None:
    v4 = only(heads(ethernet(0x0800, ipv4(17, udp(), tos=0xB8, ttl=7))))
    v6 = only(heads(ethernet(0x86DD, ipv6(17, udp(), traffic_class=0xB8, hops=7))))
    assert (v4["tos"], v4["ttl"], v4["l3_bytes"]) == (0xB8, 7, 28)
    assert (v6["tos"], v6["ttl"], v6["l3_bytes"], v6["ends"]) == (0xB8, 7, 48, V6_ENDS)


def test_nine_flags_of_tcp() -> None:
    assert only(heads(ethernet(0x0800, ipv4(6, tcp(flags=0x1AB)))))["tcp_flags"] == 0x1AB


@pytest.mark.parametrize(
    ("kind", "packet"),
    [
        (IPV4, TCP4),
        (IPV6, TCP6),
        (MPLS, label(9, bottom=True) + TCP4),
        (PPP_FRAME, b"\x00\x21" + TCP4),
        (PPP_FRAME, b"\xff\x03\x00\x57" + TCP6),
    ],
)
def test_packets_without_a_frame(kind: int, packet: bytes) -> None:
    """Trap 79: Header protocols other than Ethernet."""
    assert only(heads(packet, kind=kind))["ports"] == (40000, 443)


def test_icmp_has_a_type_and_no_ports() -> None:
    found = only(heads(ethernet(0x0800, ipv4(1, b"\x08\x01" + bytes(6)))))
    assert (found["icmp_type"], found["icmp_code"], found["ports"]) == (8, 1, (0, 0))


EXTENSIONS = {
    "hop by hop": (0, bytes((6, 0)) + bytes(6)),
    "routing": (43, bytes((6, 1)) + bytes(14)),
    "first fragment": (44, bytes((6, 0, 0, 1)) + bytes(4)),
    "authentication": (51, bytes((6, 4)) + bytes(22)),
    "two of them": (0, bytes((60, 0)) + bytes(6) + bytes((6, 0)) + bytes(6)),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extension_headers_are_walked(name: str) -> None:
    first, chain = EXTENSIONS[name]
    found = only(heads(ethernet(0x86DD, ipv6(first, chain + tcp()))))
    assert (found["proto"], found["ports"], found["tcp_flags"]) == (6, (40000, 443), 0x18)


def test_too_many_extension_headers_end_the_walk() -> None:
    chain = b"".join(bytes((0, 0)) + bytes(6) for _ in range(40))
    found = heads(ethernet(0x86DD, ipv6(0, chain + tcp())))
    assert (found.proto.tolist(), found.src_port.tolist()) == ([0], [0])


@pytest.mark.parametrize(
    "packet",
    [
        ethernet(0x0800, ipv4(6, tcp(), fragment=0x2000 | 100)),
        ethernet(0x0800, ipv4(17, udp(), fragment=1)),
        ethernet(0x86DD, ipv6(44, bytes((6, 0, 1, 1)) + bytes(4) + tcp())),
        ethernet(0x0800, ipv4(6, tcp()))[: 14 + 20 + 3],
        ethernet(0x86DD, ipv6(0, bytes((6, 3)) + bytes(30) + tcp()))[: 14 + 40 + 20],
    ],
)
def test_ports_that_were_not_captured_are_absent(packet: bytes) -> None:
    """Trap 78."""
    found = heads(packet)
    assert found.src_port.tolist() == [0]
    assert found.portless.tolist() == [found.proto[0] in (6, 17)]


def test_a_first_fragment_has_ports() -> None:
    assert only(heads(ethernet(0x0800, ipv4(6, tcp(), fragment=0x2000))))["ports"] == (40000, 443)


def test_padding_of_small_frames_is_not_read_as_ports() -> None:
    found = heads(ethernet(0x0800, ipv4(17, b"\x12\x34") + b"\x99" * 24))
    assert (found.src_port.tolist(), found.portless.tolist(), found.l3_bytes.tolist()) == ([0], [True], [22])


@pytest.mark.parametrize("name", ENCAPSULATIONS)
def test_a_head_cut_anywhere_yields_what_came_before(name: str) -> None:
    """Trap 78: Every prefix at once: values appear in their order and never change again, whatever lies behind the cut."""
    packet = ENCAPSULATIONS[name]
    found = heads(*[packet[:size] for size in range(len(packet) + 1)])
    whole = heads(packet)
    for column in ("src_addr", "proto", "src_port", "dst_port", "tcp_flags", "vlan_id", "customer_vlan", "src_mac", "dst_mac"):
        values = getattr(found, column).reshape(len(packet) + 1, -1)
        final = getattr(whole, column).reshape(1, -1)
        right = (values == final).all(axis=1)
        assert right[-1]
        assert (right | ~values.any(axis=1)).all()
        assert (np.diff(right.astype(int)) >= 0).all()


@pytest.mark.parametrize(("size", "vlan", "customer"), [(15, 0, 0), (16, 100, 0), (18, 100, 0), (19, 100, 0), (20, 100, 200)])
def test_a_tag_tells_its_vlan_also_where_the_type_behind_it_is_cut_off(size: int, vlan: int, customer: int) -> None:
    found = only(heads(ENCAPSULATIONS["QinQ"][:size]))
    assert (found["vlan_id"], found["customer_vlan"]) == (vlan, customer)


VXLAN = ipv4(17, udp(50000, 4789, b"\x08\0\0\0\0\0\x2a\0" + ethernet(0x0800, TCP4)), src="192.0.2.1", dst="192.0.2.2")
GENEVE_OPTIONS = b"\x02\x00\x65\x58\0\0\x2a\0" + bytes(8)
TUNNELS = {
    "VXLAN": VXLAN,
    "VXLAN over IPv6": ipv6(17, udp(50000, 8472, b"\x08\0\0\0\0\0\x2a\0" + ethernet(0x0800, TCP4))),
    "Geneve with options": ipv4(17, udp(50000, 6081, GENEVE_OPTIONS + ethernet(0x0800, TCP4)), src="192.0.2.1"),
    "Geneve with IP": ipv4(17, udp(50000, 6081, b"\0\0\x08\0\0\0\x2a\0" + TCP4), src="192.0.2.1"),
    "GRE": ipv4(47, b"\0\0\x08\0" + TCP4, src="192.0.2.1"),
    "GRE with checksum, key and sequence": ipv4(47, b"\xb0\0\x08\0" + bytes(12) + TCP4, src="192.0.2.1"),
    "GRE with Ethernet": ipv4(47, b"\x20\0\x65\x58" + bytes(4) + ethernet(0x0800, TCP4), src="192.0.2.1"),
    "ERSPAN": ipv4(47, b"\x10\0\x88\xbe" + bytes(4) + bytes(8) + ethernet(0x0800, TCP4), src="192.0.2.1"),
    "IP in IP": ipv4(4, TCP4, src="192.0.2.1"),
    "IPv4 in IPv6": ipv6(4, TCP4),
    "VXLAN in GRE": ipv4(47, b"\0\0\x08\0" + VXLAN, src="192.0.2.9"),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_tunnels_outer_and_inner(name: str) -> None:
    """Trap 79: The outer packet unless the inner one is asked for."""
    kind = 0x86DD if TUNNELS[name][0] >> 4 == 6 else 0x0800
    frame = ethernet(kind, TUNNELS[name])
    outer, inner = only(heads(frame)), only(heads(frame, inner=True))
    assert outer["ends"] != V4_ENDS
    assert outer["proto"] in (4, 17, 47)
    assert outer["l3_bytes"] == len(TUNNELS[name])
    assert (inner["ends"], inner["ports"], inner["proto"], inner["tcp_flags"]) == (V4_ENDS, (40000, 443), 6, 0x18)
    assert inner["l3_bytes"] == len(TCP4)


def test_tunnels_end_somewhere() -> None:
    """Trap 79."""
    packet = TCP4
    for _ in range(20):
        packet = ipv4(4, packet, src="192.0.2.1")
    assert only(heads(ethernet(0x0800, packet), inner=True))["proto"] == 4


def test_a_tunnel_whose_inside_is_not_ip_stays_the_outer() -> None:
    frame = ethernet(0x0800, ipv4(17, udp(50000, 4789, b"\x08\0\0\0\0\0\x2a\0" + ethernet(0x0806, bytes(28)))))
    assert only(heads(frame, inner=True)) == only(heads(frame))


def test_endless_tags_and_labels_end_somewhere() -> None:
    """Trap 79."""
    tags = only(heads(ethernet(0x0800, TCP4, tags=[(0x8100, 1)] * 30)))
    labels = only(heads(ethernet(0x8847, label(1) * 30 + label(1, bottom=True) + TCP4)))
    assert (tags["proto"], labels["proto"], len(labels["labels"])) == (0, 0, 10)


@pytest.mark.parametrize("kind", [0xFFF0, 0xFFF1, 0xFFFF, 0x05FF, 0x0600])
def test_strange_ether_types_are_nothing_special(kind: int) -> None:
    assert only(heads(ethernet(kind, TCP4)))["proto"] == 0
