# SPDX-License-Identifier: Apache-2.0
"""sFlow samples and their records become flows, events and counters. Traps: see golden/wire."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from flowgauge.flow.addresses import packed, to_text
from flowgauge.flow.rows import to_rows
from flowgauge.wire.decoded import Decoded
from flowgauge.wire.decoder import Decoder
from sflow_kit import (
    AGENT,
    DISCARDED,
    LOCAL,
    SEVERAL,
    address,
    counter_sample,
    datagram,
    discarded,
    ethernet,
    expanded_sample,
    flow_sample,
    gateway,
    interface_counters,
    ipv4,
    ipv6,
    label,
    opaque,
    part,
    raw,
    tcp,
    udp,
    words,
)
from wire_kit import column, decode

HTTPS = raw(ethernet(0x0800, ipv4(6, tcp())))


def rows(*samples: bytes, inner: bool = False, **header: Any) -> list[dict[str, Any]]:
    """The flows of one datagram; nothing may be malformed."""
    decoded = decode(datagram(*samples, **header), decoder=Decoder(inner=inner), received_ns=7)
    assert not decoded.problems
    return to_rows(decoded.flows)


def row(*records: bytes, **sample: Any) -> dict[str, Any]:
    """The one flow of a sample of these records."""
    (only,) = rows(flow_sample(*records, **sample))
    return only


def causes(decoded: Decoded) -> list[tuple[str, int, str, str]]:
    return [(problem.cause, problem.offset, problem.expected, problem.found) for problem in decoded.problems]


def test_a_sample_is_a_flow_of_one_packet() -> None:
    frame = ethernet(0x0800, ipv4(6, tcp(flags=0x112), tos=4), tags=[(0x8100, 100)])
    (found,) = rows(flow_sample(raw(frame), source=3, rate=512, ports=(3, 9)), agent="2001:db8::9", sub_agent=17)
    found.pop("sampling_source", None)  # a later module's
    assert found == {
        "time_start_ns": 7, "time_end_ns": 7, "time_received_ns": 7, "src_addr": "10.0.0.1", "dst_addr": "10.0.0.2",
        "src_port": 40000, "dst_port": 443, "proto": 6, "ether_type": 0x0800, "bytes": 40, "packets": 1, "sampling_rate": 512,
        "sampling_algorithm": "packet", "tcp_flags": 0x112, "ip_tos": 4, "ip_ttl_min": 63, "ip_ttl_max": 63,
        "src_mac": "0a:00:00:00:00:01", "dst_mac": "0a:00:00:00:00:02", "vlan_id": 100, "exporter_addr": "2001:db8::9",
            "socket_addr": "192.0.2.1",
        "obs_domain_id": 17, "flow_format": "sflow5", "record_kind": "flow", "in_if": 3, "out_if": 9,
        "flow_direction": "ingress",
    }  # fmt: skip


def test_expanded_samples_say_the_same() -> None:
    """Trap 75: their formats and values are words of their own; indexes of more than 24 bits."""
    (compact,) = rows(flow_sample(HTTPS, source=3, ports=(3, 4)))
    (expanded,) = rows(expanded_sample(HTTPS))
    (large,) = rows(expanded_sample(HTTPS, source=(0, 1 << 30), came=(0, 1 << 30), went=(0, 0xFFFFFFFF)))
    assert expanded == compact
    assert (large["in_if"], large["out_if"], large["flow_direction"]) == (1 << 30, 0xFFFFFFFF, "ingress")


def test_the_exporter_is_the_agent_not_the_sender() -> None:
    """Trap 74."""
    (found,) = rows(flow_sample(HTTPS))
    (unknown,) = rows(flow_sample(HTTPS), agent="")
    (zero,) = rows(flow_sample(HTTPS), agent="0.0.0.0")
    assert found["exporter_addr"] == AGENT
    assert unknown["exporter_addr"] == zero["exporter_addr"] == "192.0.2.1"


@pytest.mark.parametrize(
    ("out", "index", "status"),
    [(4, 4, None), (LOCAL, None, None), (0, None, None), (SEVERAL | 5, None, None), (DISCARDED | 258, None, 130),
     (DISCARDED | 257, None, 137), (DISCARDED | 256, None, 128), (3 << 30 | 1, None, None)],
)  # fmt: skip
def test_formats_of_interfaces(out: int, index: int | None, status: int | None) -> None:
    """Trap 75: discarded packets are marked, the device itself and several ports have no index."""
    found = row(HTTPS, ports=(3, out))
    assert found.get("out_if") == index
    assert found.get("forwarding_status") == status


@pytest.mark.parametrize(("source", "direction"), [(3, "ingress"), (4, "egress"), (5, None), (1 << 24 | 3, None)])
def test_the_direction_follows_from_where_it_was_sampled(source: int, direction: str | None) -> None:
    """Trap 88: what tells two samples of one packet apart."""
    assert row(HTTPS, source=source, ports=(3, 4)).get("flow_direction") == direction


@pytest.mark.parametrize(
    ("frame", "stripped"),
    [(14 + 40 + 4, 4), (14 + 40, 0), (14 + 40, 4), (64, 4), (60, 0)],
    ids=["with FCS", "without FCS", "stripped but not counted", "padded with FCS", "padded"],
)
def test_bytes_are_those_of_layer_3(frame: int, stripped: int) -> None:
    """Trap 77: however the agent counts, the IP packet had 40 bytes."""
    assert row(raw(ethernet(0x0800, ipv4(6, tcp())), frame=frame, stripped=stripped))["bytes"] == 40


def test_bytes_of_a_frame_of_which_only_the_head_was_captured() -> None:
    head = ethernet(0x0800, ipv4(6, tcp() + bytes(60), total=1500), tags=[(0x8100, 1)])
    assert row(raw(head[:128], frame=18 + 1500 + 4))["bytes"] == 1500


def test_bytes_where_the_ip_header_claims_none_or_too_many() -> None:
    """Cards that cut segments themselves leave 0 there; a lie is not believed."""
    assert row(raw(ethernet(0x0800, ipv4(6, tcp(), total=0)), frame=14 + 70_000 + 4))["bytes"] == 70_000
    assert row(raw(ethernet(0x0800, ipv4(6, tcp(), total=65535)), frame=14 + 40 + 4))["bytes"] == 40


def test_bytes_of_a_frame_that_is_not_ip() -> None:
    found = row(raw(ethernet(0x0806, bytes(46)), frame=64))
    assert (found["bytes"], found["ether_type"], "src_addr" in found) == (46, 0x0806, False)


@pytest.mark.parametrize(("protocol", "packet", "family"), [(11, ipv4(17, udp()), 4), (12, ipv6(17, udp()), 6)])
def test_heads_that_begin_with_ip(protocol: int, packet: bytes, family: int) -> None:
    """Trap 79."""
    found = row(raw(packet, protocol=protocol, frame=len(packet), stripped=0))
    assert (found["dst_port"], found["bytes"], "src_mac" in found) == (53, len(packet), False)
    assert (":" in found["src_addr"]) == (family == 6)


def test_tunnels_are_the_outer_packet_unless_asked() -> None:
    """Trap 79."""
    within = ethernet(0x0800, ipv4(6, tcp()))
    frame = ethernet(0x0800, ipv4(17, udp(50000, 4789, b"\x08" + bytes(7) + within), src="192.0.2.1"), tags=[(0x8100, 9)])
    (outer,) = rows(flow_sample(raw(frame)))
    (inner,) = rows(flow_sample(raw(frame)), inner=True)
    assert (outer["src_addr"], outer["dst_port"], outer["bytes"]) == ("192.0.2.1", 4789, len(frame) - 18)
    assert (inner["src_addr"], inner["dst_port"], inner["bytes"], inner["vlan_id"]) == ("10.0.0.1", 443, 40, 9)


def test_ports_that_were_not_captured_are_left_out() -> None:
    """Trap 78: 0 would be a port. Whoever shows rows leaves out what a block does not have."""
    cut = raw(ethernet(0x0800, ipv4(17, udp()))[: 14 + 20], frame=100)
    later = raw(ethernet(0x0800, ipv4(17, udp(), fragment=5)))
    arp = raw(ethernet(0x0806, bytes(46)))
    samples = [flow_sample(record) for record in (HTTPS, cut, arp, later)]
    decoded = Decoder(detailed=True).decode(_datagrams(datagram(*samples)))
    whole, without_ports, not_ip = decoded.details
    assert [detail.last - detail.first for detail in decoded.details] == [1, 2, 1]
    assert {"src_port", "proto"} <= whole.columns
    assert "proto" in without_ports.columns
    assert not {"src_port", "dst_port"} & without_ports.columns
    assert not {"src_port", "proto", "src_addr", "tcp_flags"} & not_ip.columns
    assert "ether_type" in not_ip.columns
    assert column(decoded, "dst_port") == [443, 0, 0, 0]


def _datagrams(*payloads: bytes) -> Any:
    from flowgauge.wire.datagrams import Datagrams

    return Datagrams.from_payloads(payloads)


IPV4_RECORD = part(3, words(1480, 6) + bytes((10, 1, 1, 1, 10, 1, 1, 2)) + words(1234, 80, 0x12, 0xB8))
IPV6_RECORD = part(4, words(1460, 17) + packed("2001:db8::5") + packed("2001:db8::6") + words(1234, 53, 0, 4))
ETHERNET_RECORD = part(2, words(1518) + bytes(range(6)) + b"\0\0" + bytes(range(6, 12)) + b"\0\0" + words(0x0800))


def test_what_agents_parsed_themselves() -> None:
    v4, v6 = row(ETHERNET_RECORD, IPV4_RECORD), row(IPV6_RECORD)
    assert (v4["src_addr"], v4["src_port"], v4["tcp_flags"], v4["ip_tos"], v4["bytes"]) == ("10.1.1.1", 1234, 0x12, 0xB8, 1480)
    assert (v4["src_mac"], v4["dst_mac"], v4["ether_type"]) == ("00:01:02:03:04:05", "06:07:08:09:0a:0b", 0x0800)
    assert (v6["src_addr"], v6["dst_port"], v6["bytes"], v6["proto"]) == ("2001:db8::5", 53, 1460, 17)


def test_an_ethernet_record_without_filling_behind_addresses() -> None:
    """Huawei."""
    tight = part(2, words(1518) + bytes(range(6)) + bytes(range(6, 12)) + words(0x0800))
    assert row(tight) == row(ETHERNET_RECORD)


def test_an_ethernet_record_alone_gives_bytes_without_the_frame() -> None:
    assert row(ETHERNET_RECORD)["bytes"] == 1500


def test_the_head_is_better_than_what_the_agent_parsed() -> None:
    found = row(IPV4_RECORD, ETHERNET_RECORD, HTTPS)
    assert (found["dst_port"], found["bytes"], found["src_mac"]) == (443, 40, "0a:00:00:00:00:01")


def test_samples_of_each_kind_of_record_in_one_batch() -> None:
    found = rows(flow_sample(HTTPS), flow_sample(IPV4_RECORD), flow_sample(IPV6_RECORD), flow_sample(ETHERNET_RECORD))
    assert [one.get("dst_port") for one in found] == [443, 80, 53, None]
    assert [one["bytes"] for one in found] == [40, 1480, 1460, 1500]


def test_a_sample_without_a_packet_counts_all_the_same() -> None:
    decoded = decode(datagram(flow_sample(part(1001, words(1, 0, 2, 0)))))
    assert column(decoded, "packets") == [1]
    assert column(decoded, "vlan_id") == [1]
    assert decoded.seen["samples_without_packet"] == 1


# --- what the device did ------------------------------------------------------------------------------------------------------


def test_switch_and_tags() -> None:
    switch = part(1001, words(7, 0, 8, 0))
    assert row(HTTPS, switch)["vlan_id"] == 7
    assert row(raw(ethernet(0x0800, ipv4(6, tcp()), tags=[(0x8100, 100)])), switch)["vlan_id"] == 100
    assert "vlan_id" not in row(HTTPS, part(1001, words(0xFFFFFFFF, 0, 0, 0)))


def test_tags_that_the_device_took_off() -> None:
    tunnel = part(1012, words(2, 0x88A8 << 16 | 0x2064, 0x8100 << 16 | 200))
    found = row(HTTPS, tunnel)
    assert (found["vlan_id"], found["dot1q_customer_vlan_id"]) == (100, 200)
    found = row(raw(ethernet(0x0800, ipv4(6, tcp()), tags=[(0x8100, 300)])), part(1012, words(1, 0x88A8 << 16 | 100)))
    assert (found["vlan_id"], found["dot1q_customer_vlan_id"]) == (100, 300)


@pytest.mark.parametrize("hop", ["192.0.2.7", "2001:db8::7", ""])
def test_router(hop: str) -> None:
    """Trap 80: the next hop has a type of its own, 0 among them."""
    found = row(HTTPS, part(1002, address(hop) + words(24, 16)))
    assert (found.get("next_hop", ""), found["src_mask"], found["dst_mask"]) == (hop, 24, 16)


@pytest.mark.parametrize(
    ("segments", "last"),
    [
        ([(2, [1, 2, 3])], 3),
        ([(2, [1, 2]), (1, [400_000, 500_000])], 500_000),
        ([(2, [1]), (2, [2]), (2, [3])], 3),
        ([(2, list(range(1, 256)))], 255),
        ([], None),
        ([(2, [])], None),
    ],
)
def test_gateway(segments: list[tuple[int, list[int]]], last: int | None) -> None:
    """Trap 80: paths of several segments and sets, and of none; numbers of 32 bits."""
    found = row(HTTPS, gateway(*segments))
    assert (found["src_as"], found.get("dst_as"), found["bgp_next_hop"]) == (64501, last, "192.0.2.8")


@pytest.mark.parametrize("record", [gateway((2, [1, 2]), claimed=3_000_000_000), gateway((2, [1, 2]), claimed=9)])
def test_a_path_longer_than_its_record_is_named(record: bytes) -> None:
    """Traps 80, 81."""
    decoded = decode(datagram(flow_sample(HTTPS, record)))
    assert [cause for cause, *_ in causes(decoded)] == ["as_path"]
    assert column(decoded, "src_as") == [64501]


def test_labels_of_the_head_and_of_the_record() -> None:
    record = part(1006, address("192.0.2.9") + words(2, 30 << 12, 31 << 12 | 0x100) + words(0))
    assert row(HTTPS, record)["mpls_labels"] == [30, 31]
    head = raw(ethernet(0x8847, label(16) + label(17, bottom=True) + ipv4(6, tcp())))
    found = row(head, record)
    assert (found["mpls_labels"], found["dst_port"], found["bytes"]) == ([16, 17], 443, 40)


def test_translation_of_what_was_translated() -> None:
    nat = part(1007, address("203.0.113.9") + address("10.0.0.2"))
    found = row(HTTPS, nat, part(1020, words(61000, 443)))
    assert (found["post_nat_src_addr"], found["post_nat_src_port"]) == ("203.0.113.9", 61000)
    assert "post_nat_dst_addr" not in found
    assert "post_nat_dst_port" not in found


def outer(proto: int, port: int, src: str, dst: str) -> bytes:
    """``sampled_ipv4`` or ``sampled_ipv6``."""
    return words(1500, proto) + address(src)[4:] + address(dst)[4:] + words(40_000, port, 0, 0)


def in_tunnel(found: dict[str, Any]) -> list[object]:
    return [found.get(f"tunnel_{name}") for name in ("kind", "src_addr", "dst_addr", "id")]


@pytest.mark.parametrize(
    ("proto", "port", "kind"),
    [
        (17, 4789, "vxlan"),
        (17, 8472, "vxlan"),
        (17, 6081, "geneve"),
        (17, 0xC117, "geneve"),
        (17, 0xB512, "vxlan"),
        (47, 0, "gre"),
        (4, 0, "ipip"),
        (17, 53, None),
    ],
)
@pytest.mark.parametrize(("egress", "ends"), [(1023, ("192.0.2.1", "192.0.2.2")), (1025, ("2001:db8::1", "2001:db8::2"))])
def test_the_tunnel_in_which_a_packet_goes(proto: int, port: int, kind: str | None, egress: int, ends: tuple[str, str]) -> None:
    found = row(HTTPS, part(egress, outer(proto, port, *ends)), part(1029, words(5001)))
    assert in_tunnel(found) == [kind, *ends, 5001]
    assert (found["src_addr"], found["dst_port"], found["bytes"]) == ("10.0.0.1", 443, 40)


def test_the_tunnel_in_which_a_packet_came_goes_before_the_next_one() -> None:
    came, goes = outer(17, 6081, "192.0.2.1", "192.0.2.2"), outer(47, 0, "192.0.2.2", "192.0.2.3")
    records = [part(1024, came), part(1030, words(7)), part(1023, goes), part(1029, words(9))]
    assert in_tunnel(row(HTTPS, *records)) == ["geneve", "192.0.2.1", "192.0.2.2", 7]
    plain, tunnelled = rows(flow_sample(HTTPS), flow_sample(HTTPS, *records, sequence=2))
    assert in_tunnel(plain) == [None] * 4
    assert in_tunnel(tunnelled)[3] == 7


def test_the_network_of_one_tunnel_is_not_given_to_another() -> None:
    came, goes = outer(4, 0, "192.0.2.1", "192.0.2.2"), outer(17, 4789, "192.0.2.2", "192.0.2.3")
    records = [part(1023, goes), part(1029, words(9)), part(1024, came)]
    plain, tunnelled = rows(flow_sample(HTTPS, *records[:2]), flow_sample(HTTPS, *records, sequence=2))
    assert in_tunnel(plain) == ["vxlan", "192.0.2.2", "192.0.2.3", 9]
    assert in_tunnel(tunnelled) == ["ipip", "192.0.2.1", "192.0.2.2", None]


def test_a_tunnel_record_that_is_cut_is_named_and_costs_only_itself() -> None:
    decoded = decode(datagram(flow_sample(part(1023, bytes(20)), HTTPS)))
    assert [cause for cause, *_ in causes(decoded)] == ["record_fields"]
    assert column(decoded, "dst_port") == [443]


def test_records_that_are_not_read_are_passed_over() -> None:
    """Trap 76: by length, padded to four bytes; of other enterprises too."""
    user = part(1004, words(106) + opaque(b"alice") + words(106) + opaque(b"bob"))
    others = [
        part(1021, bytes(40)),
        part(9 << 12 | 1, b"xyz"),
        part(2100, bytes(20)),
        part(1005, words(1) + opaque(b"http://x")),
    ]
    decoded = decode(datagram(flow_sample(user, *others, HTTPS, part(1002, address("") + words(1, 2)))))
    assert column(decoded, "dst_port") == [443]
    assert column(decoded, "src_mask") == [1]
    assert decoded.seen["skipped_records"] == 5
    assert not decoded.problems


def test_heads_of_odd_lengths_are_padded() -> None:
    """Trap 76."""
    odd = raw(ethernet(0x0800, ipv4(17, udp(content=b"abc")))[:53])
    assert row(odd, part(1002, address("") + words(5, 6)))["src_mask"] == 5


@pytest.mark.parametrize("size", [21, 22, 23, 24])
def test_an_ethernet_record_is_as_long_as_it_is_padded(size: int) -> None:
    """XDR fills it up to four bytes, its MAC addresses to eight; only records of 20 bytes have them as they are."""
    content = words(1518) + bytes(range(8)) + bytes(range(8, 16)) + words(0x0800)
    cut = words(2, size) + content
    assert row(cut)["ether_type"] == 0x0800
    assert row(part(2, words(1518) + bytes(12) + words(0x0806)))["ether_type"] == 0x0806


# --- not traffic --------------------------------------------------------------------------------------------------------------


def test_discarded_packets_are_events() -> None:
    """Trap 83: no packets and bytes of traffic, a count of drops with its cause."""
    decoded = decode(datagram(discarded(HTTPS, reason=258), discarded(HTTPS, sequence=2, reason=999), flow_sample(HTTPS)))
    assert sum(column(decoded, "packets")) == 1
    assert sum(column(decoded, "bytes")) == 40
    found = [one for one in to_rows(decoded.flows) if one["record_kind"] == "event"]
    assert [(one["drop_packets"], one["drop_bytes"], one["drop_cause"]) for one in found] == [
        (1, 40, "acl"),
        (1, 40, "reason_999"),
    ]
    assert [one["forwarding_status"] for one in found] == [130, 128]
    assert (found[0]["dst_port"], found[0]["in_if"], found[0]["sampling_rate"]) == (443, 3, 1)
    assert (decoded.seen["sflow_discarded"], decoded.seen["sflow_flow"]) == (2, 1)


def test_counters_beside_flows() -> None:
    """Trap 82."""
    host = part(2000, opaque(b"spine-1") + bytes(40))
    name = part(1005, opaque(b"swp7"))
    decoded = decode(datagram(counter_sample(interface_counters(7), name, source=7), flow_sample(HTTPS), counter_sample(host)))
    assert len(decoded.flows) == 1
    first, second = decoded.counters
    assert (to_text(first.exporter_addr), first.source_type, first.source_index) == (AGENT, 0, 7)
    assert (first.values["ifInOctets"], first.values["ifOutOctets"], first.values["ifStatus"]) == (10, 20, "up")
    assert first.values["ifSpeed"] == 10**10
    assert second.values == {"hostname": "spine-1"}
    (told,) = decoded.options
    assert told.records == ({"ingressInterface": 7, "interfaceName": "swp7"},)
    assert (to_text(told.exporter_addr), told.obs_domain_id) == (AGENT, 0)


def test_a_host_s_load() -> None:
    load = part(2003, struct.pack("!fff14I", 0.5, 1.0, 1.5, *range(14)))
    (found,) = decode(datagram(counter_sample(load))).counters
    assert (found.values["load_one"], found.values["contexts"]) == (0.5, 13)


def test_counters_that_are_too_short_are_named() -> None:
    decoded = decode(datagram(counter_sample(part(1, bytes(84))), flow_sample(HTTPS)))
    assert [cause for cause, *_ in causes(decoded)] == ["counter_fields"]
    assert len(decoded.flows) == 1


def test_what_is_not_flowgauge_s_is_counted() -> None:
    decoded = decode(datagram(part(77, bytes(8)), part(4413 << 12 | 1, bytes(8)), flow_sample(HTTPS)))
    assert decoded.seen["sflow_unknown"] == 2
    assert len(decoded.flows) == 1


# --- malformed ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 4, 6, 0x50000])
def test_other_versions_are_unknown(version: int) -> None:
    assert decode(words(version) + bytes(60)).counts.get("decode_unknown_version", 0) == (version != 0x50000)


def test_a_header_that_was_cut() -> None:
    whole = datagram()
    for size in range(4, len(whole)):
        assert [cause for cause, *_ in causes(decode(whole[:size]))] == ["datagram_header"]
    assert causes(decode(whole)) == []


def test_an_address_of_no_kind() -> None:
    assert causes(decode(words(5, 3) + bytes(60))) == [("agent_address_type", 4, "0, 1 or 2", "3")]


@pytest.mark.parametrize("count", [2, 0xFFFFFFFF])
def test_more_samples_claimed_than_there_are(count: int) -> None:
    """Trap 81: a count is held against the bytes that remain."""
    payload = datagram(flow_sample(HTTPS), count=count)
    decoded = decode(payload)
    assert len(decoded.flows) == 1
    assert causes(decoded) == [("sample_length", len(payload), "8", "0")]


def test_more_records_claimed_than_there_are() -> None:
    """Trap 81."""
    decoded = decode(datagram(flow_sample(HTTPS, count=0xFFFFFFFF), flow_sample(HTTPS)))
    assert len(decoded.flows) == 2
    assert [cause for cause, *_ in causes(decoded)] == ["record_length"]


def test_a_sample_longer_than_its_datagram_ends_it() -> None:
    broken = words(1, 0xFFFFFFF0) + bytes(40)
    decoded = decode(datagram(flow_sample(HTTPS), broken), datagram(flow_sample(HTTPS), sequence=2))
    assert len(decoded.flows) == 2
    ((cause, offset, expected, found),) = causes(decoded)
    assert (cause, expected, found) == ("sample_length", "40", str(0xFFFFFFF0))
    assert offset == len(datagram(flow_sample(HTTPS))) + 4


def test_a_record_longer_than_its_sample_keeps_the_others() -> None:
    broken = words(1002, 500) + bytes(8)
    decoded = decode(datagram(flow_sample(HTTPS, broken), flow_sample(HTTPS)))
    assert column(decoded, "dst_port") == [443, 443]
    assert [cause for cause, *_ in causes(decoded)] == ["record_length"]


def test_a_sample_too_short_for_its_fields() -> None:
    decoded = decode(datagram(part(1, bytes(28)), part(3, bytes(40)), part(5, bytes(8)), flow_sample(HTTPS)))
    assert len(decoded.flows) == 1
    assert [(cause, expected) for cause, _, expected, _ in causes(decoded)] == [
        ("sample_fields", "32"), ("sample_fields", "44"), ("sample_fields", "32"),
    ]  # fmt: skip


def test_a_head_longer_than_its_record_reads_what_is_there() -> None:
    decoded = decode(datagram(flow_sample(raw(ethernet(0x0800, ipv4(6, tcp())), length=2000, frame=2000))))
    assert column(decoded, "dst_port") == [443]
    assert [cause for cause, *_ in causes(decoded)] == ["header_length"]


def test_records_too_short_for_their_fields_are_named() -> None:
    short = [part(1, bytes(12)), part(2, bytes(16)), part(3, bytes(28)), part(1001, bytes(12)), part(1002, words(1, 0)),
             part(1002, words(2) + bytes(12)), part(1003, bytes(16)), part(1007, words(9) + bytes(20))]  # fmt: skip
    decoded = decode(datagram(*[flow_sample(record, sequence=number) for number, record in enumerate(short)]))
    assert len(decoded.flows) == len(short)
    assert {cause for cause, *_ in causes(decoded)} == {"record_fields"}
    assert len(decoded.problems) == len(short)


def test_agents_of_both_families_and_many_samples_in_one_batch() -> None:
    """Trap 84."""
    payloads = [
        datagram(
            *[flow_sample(HTTPS, sequence=number * 9 + k, source=k, ports=(k, 0)) for k in range(1, 1 + number % 9)],
            *[counter_sample(interface_counters(k), sequence=number) for k in range(number % 4)],
            sequence=number,
            agent=AGENT if number % 2 else "2001:db8::1",
        )
        for number in range(25)
    ]
    decoded = decode(*payloads)
    assert len(decoded.flows) == sum(number % 9 for number in range(25))
    assert len(decoded.counters) == sum(number % 4 for number in range(25))
    assert sorted({to_text(bytes(one)) for one in column(decoded, "exporter_addr")}) == [AGENT, "2001:db8::1"]
    assert not decoded.problems
