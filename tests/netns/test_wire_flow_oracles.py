# SPDX-License-Identifier: Apache-2.0
"""NetFlow 1, 5, 7 and sFlow as programs that we did not write read them: tshark's dissectors, nfcapd and sfcapd, by value."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flowgauge.flow.rows import to_rows
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from legacy_kit import EXPORT_S, UPTIME_MS, datagram1, datagram5, datagram7, record1, record5, record7
from oracle_kit import collected, dissected, flat, iso_ms, pdus
from sflow_random import sflow_payloads
from wire_cases import NETFLOW_PORT, SFLOW_PORT

SEED = 7
ICMP = frozenset({1, 58})
SCTP = 132
Row = dict[str, Any]


def rows(payloads: Sequence[bytes]) -> list[Row]:
    """What we decode, in order of the datagrams."""
    decoded = [Decoder().decode(Datagrams.from_payloads([payload])) for payload in payloads]
    assert not any(one.problems for one in decoded)
    return [row for one in decoded for row in to_rows(one.flows)]


# --- NetFlow ------------------------------------------------------------------------------------------------------------------


def random_record(chance: random.Random) -> dict[str, Any]:
    proto = chance.choice((6, 17, 1, 47))
    first = UPTIME_MS - chance.randrange(600_000)
    address = [str(ipaddress.ip_address(chance.randrange(1 << 24, 0xE0 << 24))) for _ in range(3)]
    return {
        "src": address[0], "dst": address[1], "hop": address[2], "in_if": chance.randrange(1, 1 << 16),
        "out_if": chance.randrange(1, 1 << 16), "packets": chance.randrange(1, 1 << 32), "bytes": chance.randrange(1 << 32),
        "first": first, "last": chance.randrange(first, UPTIME_MS), "proto": proto,
        "sport": chance.randrange(1 << 16) if proto in (6, 17) else 0,
        "dport": chance.randrange(1 << 16) if proto in (6, 17, 1) else 0,
        "flags": chance.randrange(256) if proto == 6 else 0, "tos": chance.randrange(256),
        "src_as": chance.randrange(1 << 16), "dst_as": chance.randrange(1 << 16),
        "src_mask": chance.randrange(33), "dst_mask": chance.randrange(33),
    }  # fmt: skip


def netflow_payloads(version: int) -> list[bytes]:
    """Thirty datagrams of random records, numbered as a device would; of version 1 in the length that both programs know."""
    chance, payloads, sequence = random.Random(SEED), [], 0  # noqa: S311 - the same each time
    for _ in range(30):
        records = [random_record(chance) for _ in range(chance.randrange(1, 25))]
        export_ns = EXPORT_S * 10**9 + chance.randrange(10**9)
        if version == 1:
            payloads.append(datagram1(*[record1(size=48, **record) for record in records], export_ns=export_ns))
        elif version == 5:
            content = [record5(**record) for record in records]
            payloads.append(datagram5(*content, sequence=sequence, engine=(0, 3), sampling=0x4000, export_ns=export_ns))
        else:
            payloads.append(datagram7(*[record7(**record) for record in records], sequence=sequence, export_ns=export_ns))
        sequence += len(records)
    return payloads


def as_tuple(row: Row) -> tuple[Any, ...]:
    """What every reader of NetFlow has, times in ms since 1970."""
    return (
        row["src_addr"], row["dst_addr"], row["proto"], row.get("src_port", 0), row.get("dst_port", 0),
        row.get("icmp_type", 0), row.get("icmp_code", 0), row["bytes"], row["packets"], row["tcp_flags"], row["ip_tos"],
        row.get("in_if", 0), row.get("out_if", 0), row.get("src_as", 0), row.get("dst_as", 0), row.get("next_hop", ""),
        row["time_start_ns"] // 10**6, row["time_end_ns"] // 10**6,
    )  # fmt: skip


def from_tshark(pdu: dict[str, Any]) -> tuple[Any, ...]:
    fields = dict(flat(pdu))

    def number(name: str) -> int:
        return int(fields.get(f"cflow.{name}", "0"), 0)

    proto, port = number("protocol"), number("dstport")
    icmp = proto in ICMP
    return (
        fields["cflow.srcaddr"], fields["cflow.dstaddr"], proto, 0 if icmp else number("srcport"), 0 if icmp else port,
        port >> 8 if icmp else 0, port & 0xFF if icmp else 0, number("octets"), number("packets"), number("tcpflags"),
        number("tos"), number("inputint"), number("outputint"), number("srcas"), number("dstas"), fields["cflow.nexthop"],
        number("srcmask"), number("dstmask"),
    )  # fmt: skip


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("version", [1, 5, 7])
def test_tshark_reads_every_field_of_netflow_alike(tmp_path: Path, version: int) -> None:
    """All but the times, which it shows relative to the exporter's start."""
    payloads = netflow_payloads(version)
    seen = [
        from_tshark(pdu) for layers in dissected(tmp_path / "in.pcap", payloads, NETFLOW_PORT, "cflow") for pdu in pdus(layers)
    ]
    ours = [(*as_tuple(row)[:-2], row.get("src_mask", 0), row.get("dst_mask", 0)) for row in rows(payloads)]
    assert len(seen) > 200
    assert sorted(seen) == sorted(ours)


def from_nfdump(flow: dict[str, Any]) -> tuple[Any, ...]:
    flags = sum(1 << bit for bit, letter in enumerate("FSRPAUEC") if letter in flow.get("tcp_flags", ""))
    return (
        flow["src4_addr"], flow["dst4_addr"], flow["proto"], flow.get("src_port", 0), flow.get("dst_port", 0),
        flow.get("icmp_type", 0), flow.get("icmp_code", 0), flow["in_bytes"], flow["in_packets"], flags, flow["src_tos"],
        flow.get("input_snmp", 0), flow.get("output_snmp", 0), flow.get("src_as", 0), flow.get("dst_as", 0),
        flow.get("ip4_next_hop", "").replace("0.0.0.0", ""), iso_ms(flow["first"]), iso_ms(flow["last"]),
    )  # fmt: skip


@pytest.mark.tool("nfcapd", "nfdump")
@pytest.mark.parametrize("version", [1, 5, 7])
def test_nfcapd_reads_every_field_of_netflow_alike(tmp_path: Path, version: int) -> None:
    """Times too, to the millisecond; but no masks, which version 1.7 of nfdump prints as 0."""
    payloads = netflow_payloads(version)
    seen = [from_nfdump(flow) for flow in collected("nfcapd", payloads, tmp_path)]
    assert sorted(seen) == sorted(as_tuple(row) for row in rows(payloads))


# --- sFlow --------------------------------------------------------------------------------------------------------------------


def of_sample(layers: dict[str, Any]) -> tuple[Any, ...]:
    """The fields of the one sample in tshark's tree of a datagram."""
    fields: dict[str, list[str]] = {}
    for name, value in flat(layers["sflow"]):
        fields.setdefault(name, []).append(value)

    def one(*names: str) -> str:
        return next((fields[name][0] for name in names if name in fields), "0")

    v6 = "ipv6.src" in fields
    tos = int(one("ipv6.tclass"), 0) if v6 else int(one("ip.dsfield"), 0)
    size = int(one("ipv6.plen")) + 40 if v6 else int(one("ip.len"))
    return (
        one("ip.src", "ipv6.src"), one("ip.dst", "ipv6.dst"), int(one("ip.proto", "ipv6.nxt")),
        int(one("tcp.srcport", "udp.srcport", "sctp.srcport")), int(one("tcp.dstport", "udp.dstport", "sctp.dstport")),
        int(one("tcp.flags"), 16) & 0x1FF, tos, int(one("ip.ttl", "ipv6.hlim")), size, int(one("ieee8021ad.id", "vlan.id")),
        one("eth.src"), [int(entry) for entry in fields.get("mpls.label", [])],
    )  # fmt: skip


def sampled(row: Row) -> tuple[Any, ...]:
    return (
        row["src_addr"], row["dst_addr"], row["proto"], row.get("src_port", 0), row.get("dst_port", 0), row["tcp_flags"],
        row["ip_tos"], row["ip_ttl_min"], row["bytes"], row.get("vlan_id", 0), row["src_mac"], row.get("mpls_labels", []),
    )  # fmt: skip


@pytest.mark.tool("tshark")
def test_tshark_reads_every_sampled_packet_alike(tmp_path: Path) -> None:
    payloads = list(sflow_payloads(SEED, 400))
    seen = [of_sample(layers) for layers in dissected(tmp_path / "in.pcap", payloads, SFLOW_PORT, "sflow")]
    ours = [sampled(row) for row in rows(payloads)]
    for number, (theirs, mine) in enumerate(zip(seen, ours, strict=True)):
        assert theirs == mine, number


def sfcapd_flow(flow: dict[str, Any]) -> tuple[Any, ...]:
    source, destination = flow.get("src4_addr") or flow["src6_addr"], flow.get("dst4_addr") or flow["dst6_addr"]
    flags = sum(1 << bit for bit, letter in enumerate("FSRPAUEC") if letter in flow.get("tcp_flags", ""))
    return (
        ipaddress.ip_address(source), ipaddress.ip_address(destination), flow["proto"], flow.get("src_port", 0),
        flow.get("dst_port", 0), flow["in_packets"], flow.get("input_snmp", 0), flow.get("output_snmp", 0), flags,
        flow["src_tos"], flow["in_src_mac"], flow["out_dst_mac"], flow["src_as"], flow["dst_as"], flow["ip4_next_hop"],
        flow["bgp4_next_hop"], flow["src_mask"], flow["dst_mask"],
    )  # fmt: skip


def as_sfcapd(row: Row) -> tuple[Any, ...]:
    """It multiplies by the sampling rate when it stores, and so do we for the comparison; it knows no ports of SCTP."""
    ports = (0, 0) if row["proto"] == SCTP else (row.get("src_port", 0), row.get("dst_port", 0))
    return (
        ipaddress.ip_address(row["src_addr"]), ipaddress.ip_address(row["dst_addr"]), row["proto"], *ports,
        row["packets"] * row["sampling_rate"], row.get("in_if", 0), row.get("out_if", 0), row.get("tcp_flags", 0) & 0xFF,
        row["ip_tos"], row["src_mac"], row["dst_mac"], row["src_as"], row["dst_as"], row["next_hop"], row["bgp_next_hop"],
        row.get("src_mask", 0), row.get("dst_mask", 0),
    )  # fmt: skip


@pytest.mark.tool("sfcapd", "nfdump")
def test_sfcapd_reads_every_sample_alike(tmp_path: Path) -> None:
    """All that both keep, but bytes, of which it counts the frame's, and VLANs, which it takes from the switch's record."""
    payloads = [payload for payload in sflow_payloads(SEED, 300) if not _has_labels(payload)]
    seen = [sfcapd_flow(flow) for flow in collected("sfcapd", payloads, tmp_path)]
    assert sorted(seen, key=repr) == sorted((as_sfcapd(row) for row in rows(payloads)), key=repr)


def _has_labels(payload: bytes) -> bool:
    """Packets below MPLS labels, which sfcapd does not open."""
    return "mpls_labels" in rows([payload])[0]
