# SPDX-License-Identifier: Apache-2.0
"""NetFlow v9 and IPFIX as programs that we did not write read them, field by field: tshark, and nfcapd with nfdump."""

from __future__ import annotations

import ipaddress
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import netflow9_kit as v9
from flowgauge.flow.rows import to_rows
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from oracle_kit import collected, dissected, flat, iso_ms
from wire_cases import NETFLOW_PORT
from wire_kit import EXPORT_S, a_set, message, template

SEED = 11
Row = dict[str, Any]
COMMON = {
    7: 2,
    11: 2,
    4: 1,
    6: 1,
    5: 1,
    1: 8,
    2: 8,
    10: 4,
    14: 4,
    16: 4,
    17: 4,
    61: 1,
    58: 2,
    56: 6,
    80: 6,
    52: 1,
    53: 1,
    136: 1,
}
OF_V4 = {8: 4, 12: 4, 9: 1, 13: 1, 15: 4, 18: 4}
OF_V6 = {27: 16, 28: 16, 29: 1, 30: 1, 62: 16, 63: 16}
UPTIMES, MILLISECONDS = {22: 4, 21: 4}, {152: 8, 153: 8}
PORTED = frozenset({6, 17})


def layout(*, v6: bool, ipfix: bool) -> dict[int, int]:
    """Elements and lengths, in an order that is not that of any column."""
    return (MILLISECONDS if ipfix else UPTIMES) | COMMON | (OF_V6 if v6 else OF_V4)


def values(chance: random.Random, *, v6: bool, ipfix: bool) -> dict[int, bytes]:
    """A record's value of each element."""
    found = {number: chance.randbytes(length) for number, length in layout(v6=v6, ipfix=ipfix).items()}
    proto = chance.choice((6, 17, 47))
    found[4] = bytes((proto,))
    if proto not in PORTED:
        found[7] = found[11] = bytes(2)
    found[6] = found[6] if proto == 6 else b"\0"
    for number, most in ((1, 1 << 40), (2, 1 << 30)):
        found[number] = struct.pack("!Q", chance.randrange(1, most))
    for number, most in ((10, 1 << 16), (14, 1 << 16), (58, 4095)):
        found[number] = chance.randrange(1, most).to_bytes(len(found[number]))
    for number in (9, 13, 29, 30):
        found[number] = bytes((chance.randrange(1, 32),))
    found[61], found[136] = bytes((chance.randrange(2),)), bytes((chance.randrange(1, 6),))
    found[52], found[53] = sorted((found[52], found[53]))
    ended = chance.randrange(1000)
    began = ended + chance.randrange(60_000)
    for number, ago in ((22, began), (21, ended)):
        found[number] = struct.pack("!I", v9.UPTIME_MS - ago)
    for number, ago in ((152, began), (153, ended)):
        found[number] = struct.pack("!Q", EXPORT_S * 1000 - ago)
    return found


def payloads(*, ipfix: bool) -> list[bytes]:
    """Templates of both families, then forty datagrams of random records, numbered as a device would."""
    chance, records_before, found = random.Random(SEED), 0, []  # noqa: S311 - the same each time
    specs = [list(layout(v6=v6, ipfix=ipfix).items()) for v6 in (False, True)]
    if ipfix:
        found.append(message(a_set(2, *[template(256 + number, fields) for number, fields in enumerate(specs)])))
    else:
        found.append(v9.packet(v9.flowset(0, *[v9.template(256 + number, fields) for number, fields in enumerate(specs)])))
    for number in range(1, 41):
        v6, count = bool(chance.randrange(2)), chance.randrange(1, 9)
        every = [values(chance, v6=v6, ipfix=ipfix) for _ in range(count)]
        content = [b"".join(one[element] for element in layout(v6=v6, ipfix=ipfix)) for one in every]
        if ipfix:
            found.append(message(a_set(256 + v6, *content), sequence=records_before))
        else:
            found.append(v9.packet(v9.flowset(256 + v6, *content), sequence=number))
        records_before += count
    return found


def rows(content: Sequence[bytes]) -> list[Row]:
    decoded = Decoder().decode(Datagrams.from_payloads(content))
    assert not decoded.problems
    assert not any(name.startswith("sequence") for name in decoded.counts)
    return list(to_rows(decoded.flows))


def ours(row: Row) -> tuple[Any, ...]:
    """What every reader of NetFlow has."""
    return (
        ipaddress.ip_address(row["src_addr"]), ipaddress.ip_address(row["dst_addr"]), row["proto"], row.get("src_port", 0),
        row.get("dst_port", 0), row.get("tcp_flags", 0), row["ip_tos"], row["bytes"], row["packets"], row["in_if"],
        row["out_if"], row.get("src_as", 0), row.get("dst_as", 0), ipaddress.ip_address(row["next_hop"]),
        ipaddress.ip_address(row["bgp_next_hop"]), row["vlan_id"], row["src_mac"], row["dst_mac"],
        {"ingress": 0, "egress": 1}[row["flow_direction"]],
    )  # fmt: skip


def more(row: Row) -> tuple[Any, ...]:
    """What tshark has besides."""
    lasted_ms = (row["time_end_ns"] - row["time_start_ns"]) // 10**6
    ttl = row.get("ip_ttl_min", 0), row.get("ip_ttl_max", 0)
    return row["src_mask"], row["dst_mask"], *ttl, row["flow_end_reason"], lasted_ms


def times(row: Row) -> tuple[int, int]:
    """What nfdump has besides: ms since 1970."""
    return row["time_start_ns"] // 10**6, row["time_end_ns"] // 10**6


def of_tshark(record: dict[str, str]) -> tuple[Any, ...]:
    def one(*names: str) -> str:
        return next((record[f"cflow.{name}"] for name in names if f"cflow.{name}" in record), "0")

    def number(*names: str) -> int:
        return int(one(*names), 0)

    def address(*names: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(one(*names))

    return (
        address("srcaddr", "srcaddrv6"), address("dstaddr", "dstaddrv6"), number("protocol"), number("srcport"),
        number("dstport"), number("tcpflags"), number("tos"), number("octets"), number("packets"), number("inputint"),
        number("outputint"), number("srcas"), number("dstas"), address("nexthop", "nexthopv6"),
        address("bgpnexthop", "bgpnexthopv6"), number("vlanid"), one("srcmac"), one("dstmac"), number("direction"),
        number("srcmask", "srcmaskv6"), number("dstmask", "dstmaskv6"), number("ttl_min"), number("ttl_max"),
        number("flow_end_reason"), round(float(one("timedelta")) * 1000),
    )  # fmt: skip


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("ipfix", [False, True], ids=["netflow9", "ipfix"])
def test_tshark_reads_every_field_alike(tmp_path: Path, *, ipfix: bool) -> None:
    content = payloads(ipfix=ipfix)
    seen = [
        of_tshark(dict(flat(record)))
        for layers in dissected(tmp_path / "in.pcap", content, NETFLOW_PORT, "cflow")
        for name, group in layers["cflow"].items()
        if name.startswith(("FlowSet", "Set")) and isinstance(group, dict)
        for flow, record in group.items()
        if flow.startswith("Flow ")
    ]
    assert len(seen) > 100
    assert sorted(seen, key=repr) == sorted(((*ours(row), *more(row)) for row in rows(content)), key=repr)


def of_nfdump(flow: Row) -> tuple[Any, ...]:
    def address(*names: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(next(flow[name] for name in names if name in flow))

    flags = sum(1 << bit for bit, letter in enumerate("FSRPAUEC") if letter in flow.get("tcp_flags", ""))
    return (
        address("src4_addr", "src6_addr"), address("dst4_addr", "dst6_addr"), flow["proto"], flow.get("src_port", 0),
        flow.get("dst_port", 0), flags, flow["src_tos"], flow["in_bytes"], flow["in_packets"], flow["input_snmp"],
        flow["output_snmp"], flow["src_as"], flow["dst_as"], address("ip4_next_hop", "ip6_next_hop"),
        address("bgp4_next_hop", "bgp6_next_hop"), flow["src_vlan"], flow["in_src_mac"], flow["in_dst_mac"],
        flow["direction"], iso_ms(flow["first"]), iso_ms(flow["last"]),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.tool("nfcapd", "nfdump")
@pytest.mark.parametrize("ipfix", [False, True], ids=["netflow9", "ipfix"])
def test_nfdump_reads_every_field_alike(tmp_path: Path, *, ipfix: bool) -> None:
    """All that both keep; version 1.7 of nfdump has no TTL and end reason, and prints masks for one family only."""
    content = payloads(ipfix=ipfix)
    seen = [of_nfdump(flow) for flow in collected("nfcapd", content, tmp_path)]
    assert sorted(seen, key=repr) == sorted(((*ours(row), *times(row)) for row in rows(content)), key=repr)
