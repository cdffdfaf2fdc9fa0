# SPDX-License-Identifier: Apache-2.0
"""What the agent sends, as programs that we did not write read it: tshark's dissector and nfdump, value by value."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from flowgauge.agent.messages import AgentMessages, Messages
from flowgauge.agent.messages_netflow9 import NetFlow9Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Collector, Exporter
from flowgauge.export.messages import Numbering
from flowgauge.export.settings import FlowProtocol
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.ledger import BY_NAME
from oracle_kit import IN_UTC, collected, iso_ms
from wire_kit import decode, random_flows

PORT = 2055
DIRECTIONS = {0: 255, 1: 0, 2: 1, 3: 2}
COUNTERS = {"kernel_packets_seen": 123_456_789_012, "export_records_sent": 7}
NAMES = {1: "lo", 2: "eth0", 300: "cali0123456789a"}


@pytest.fixture(scope="module")
def flows() -> FlowBatch:
    return random_flows(400, seed=5)


@pytest.fixture(scope="module")
def payloads(flows: FlowBatch) -> list[bytes]:
    """What an agent sends first: templates, types, flows, itself, names; with sequence numbers."""
    agent = Messages(AgentSettings(node="node-a", obs_domain_id=42))
    found, sequence = [], 0
    for message in [*agent.templates(), *agent.flows(flows), *agent.options(COUNTERS, NAMES, Exporter(sampling=100))]:
        stamped = bytearray(message.payload)
        struct.pack_into("!I", stamped, 8, sequence)
        sequence += message.records
        found.append(bytes(stamped))
    return found


def expected(flows: FlowBatch) -> list[dict[str, Any]]:
    """The flows as plain values, by column."""
    plain = {name: flows[name].tolist() for name in flows}  # type: ignore[union-attr]
    rows = [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]
    for row in rows:
        for name, value in row.items():
            if name.endswith("_addr"):
                row[name] = to_text(bytes(value))
    return rows


# --- tshark -------------------------------------------------------------------------------------------------------------------


def write_pcap(path: Path, payloads: list[bytes]) -> None:
    """The datagrams in Ethernet, IPv4 and UDP, from 127.0.0.1 to port 2055."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for payload in payloads:
            udp = struct.pack("!HHHH", 40000, PORT, 8 + len(payload), 0)
            address = socket.inet_aton("127.0.0.1")
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, address, address)
            frame = bytes(12) + b"\x08\0" + ip + udp + payload
            file.write(struct.pack("<IIII", 1_767_000_000, 0, len(frame), len(frame)) + frame)


@pytest.fixture(scope="module")
def dissected(payloads: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[str]]]:
    """Every record that tshark finds: field name → values."""
    path = tmp_path_factory.mktemp("oracle") / "agent.pcap"
    write_pcap(path, payloads)
    command = ["tshark", "-n", "-r", str(path), "-d", f"udp.port=={PORT},cflow", "-T", "pdml"]
    output = subprocess.run(command, capture_output=True, check=True, env=IN_UTC).stdout
    records = []
    for field in ET.fromstring(output).iter("field"):  # noqa: S314 - tshark's own output
        if field.get("name") == "" and field.get("show", "").startswith("Flow "):
            record: dict[str, list[str]] = {}
            for inner in field.iter("field"):
                record.setdefault(inner.get("name", ""), []).append(inner.get("show", ""))
            records.append(record)
    return records


def from_tshark(record: dict[str, list[str]]) -> dict[str, Any]:
    """One record of flows in our columns."""

    def one(*names: str) -> str:
        return next((record[name][0] for name in names if name in record), "")

    def number(*names: str) -> int:
        return int(one(*names) or "0", 0)

    own = record["cflow.enterprise_private_entry"]
    v4_icmp = number("cflow.icmp_type_code_ipv4")
    is_icmp = number("cflow.protocol") in (1, 58)
    return {
        "src_addr": one("cflow.srcaddr", "cflow.srcaddrv6"),
        "dst_addr": one("cflow.dstaddr", "cflow.dstaddrv6"),
        "src_port": number("cflow.srcport"),
        "dst_port": number("cflow.dstport"),
        "proto": number("cflow.protocol"),
        "icmp_type": (number("cflow.icmp_ipv6_type") or v4_icmp >> 8) if is_icmp else -1,
        "icmp_code": (number("cflow.icmp_ipv6_code") or v4_icmp & 0xFF) if is_icmp else -1,
        "ip_tos": number("cflow.tos"),
        "tcp_flags": number("cflow.tcpflags"),
        "bytes": number("cflow.octets"),
        "packets": number("cflow.packets"),
        "in_if": number("cflow.inputint"),
        "out_if": number("cflow.outputint"),
        "flow_direction": number("cflow.direction"),
        "sampling_rate": number("cflow.sampling_interval"),
        "vlan_id": number("cflow.vlanid"),
        "time_start_ns": utc_ns(one("cflow.abstimestart")),
        "time_end_ns": utc_ns(one("cflow.abstimeend")),
        "local_ends": int(own[0], 16),
        "observed_ifs": [int(own[1].replace(":", "")[at : at + 8], 16) for at in range(0, 32, 8)],
        "post_nat_src_addr": address(one("cflow.post_natsource_ipv4_address", "cflow.post_nat_source_ipv6_address")),
        "post_nat_dst_addr": address(one("cflow.post_natdestination_ipv4_address", "cflow.post_nat_destination_ipv6_address")),
        "post_nat_src_port": number("cflow.post_naptsource_transport_port"),
        "post_nat_dst_port": number("cflow.post_naptdestination_transport_port"),
    }


def utc_ns(text: str) -> int:
    """``Dec 29, 2025 09:20:00.123000000 UTC`` in ns since 1970."""
    whole, _, fraction = text.removesuffix(" UTC").partition(".")
    moment = dt.datetime.strptime(whole, "%b %d, %Y %H:%M:%S").replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction)


def address(text: str) -> str:
    return "" if text in ("", "0.0.0.0", "::") else text


@pytest.mark.tool("tshark")
def test_tshark_reads_every_column_of_every_flow(flows: FlowBatch, dissected: list[dict[str, list[str]]]) -> None:
    seen = [from_tshark(record) for record in dissected if "cflow.octets" in record]
    wanted = expected(flows)
    for row in wanted:
        row["flow_direction"] = DIRECTIONS[row["flow_direction"]]
    assert sorted(map(repr_of, seen)) == sorted(map(repr_of, wanted))


def repr_of(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


@pytest.mark.tool("tshark")
def test_tshark_reads_what_the_agent_says_of_itself(dissected: list[dict[str, list[str]]]) -> None:
    (system,) = [record for record in dissected if "cflow.observation_domain_name" in record]
    assert system["cflow.od_id"] == ["42"]
    assert system["cflow.observation_domain_name"] == ["node-a"]
    assert system["cflow.sampling_interval"] == ["100"]
    first = int(system["cflow.enterprise_private_entry"][0].replace(":", ""), 16)
    assert first == COUNTERS["kernel_packets_seen"]
    names = {int(r["cflow.inputint"][0]): r["cflow.if_name"][0] for r in dissected if "cflow.if_name" in r}
    assert names == NAMES


@pytest.mark.tool("tshark")
def test_tshark_reads_the_types_of_our_elements(dissected: list[dict[str, list[str]]]) -> None:
    types = {
        r["cflow.information_element_name"][0]: int(r["cflow.information_element_id"][0])
        for r in dissected
        if "cflow.information_element_name" in r
    }
    assert types["local_ends"] == 1
    assert types["kernel_packets_seen"] == BY_NAME["kernel_packets_seen"].enterprise


@pytest.mark.tool("tshark")
def test_tshark_finds_nothing_malformed(payloads: list[bytes], tmp_path: Path) -> None:
    write_pcap(tmp_path / "agent.pcap", payloads)
    command = [
        "tshark",
        "-n",
        "-r",
        str(tmp_path / "agent.pcap"),
        "-d",
        f"udp.port=={PORT},cflow",
        "-Y",
        "_ws.malformed || _ws.expert",
    ]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""


# --- nfdump -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def captured(payloads: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every flow that nfdump has after nfcapd received the agent's messages."""
    return collected("nfcapd", payloads, tmp_path_factory.mktemp("nfcapd"))


def from_nfdump(flow: dict[str, Any]) -> tuple[Any, ...]:
    """What nfdump 1.7 keeps, in the order of ``as_nfdump``. Its times are local: UTC here."""
    flags = sum(1 << bit for bit, letter in enumerate("FSRPAUEC") if letter in flow.get("tcp_flags", ""))
    return (
        ipaddress.ip_address(flow.get("src4_addr") or flow["src6_addr"]),
        ipaddress.ip_address(flow.get("dst4_addr") or flow["dst6_addr"]),
        flow["proto"], flow.get("src_port", 0), flow.get("dst_port", 0), flow.get("icmp_type", -1), flow.get("icmp_code", -1),
        flow["in_bytes"], flow["in_packets"], flags, flow["src_tos"], iso_ms(flow["first"]), iso_ms(flow["last"]),
        flow.get("input_snmp", 0), flow.get("output_snmp", 0), flow.get("direction", 0), flow.get("src_vlan", 0),
        flow.get("dst4_xlt_ip", ""), int(flow.get("dst_xlt_port", 0)),
    )  # fmt: skip


def as_nfdump(row: dict[str, Any]) -> tuple[Any, ...]:
    """The same of a flow of ours. nfdump 1.7 knows eight TCP flags and no translated IPv6 addresses."""
    translated = row["post_nat_dst_addr"]
    return (
        ipaddress.ip_address(row["src_addr"]), ipaddress.ip_address(row["dst_addr"]),
        row["proto"], row["src_port"], row["dst_port"], row["icmp_type"], row["icmp_code"],
        row["bytes"], row["packets"], row["tcp_flags"] & 0xFF, row["ip_tos"],
        row["time_start_ns"] // 1_000_000, row["time_end_ns"] // 1_000_000,
        row["in_if"], row["out_if"], DIRECTIONS[row["flow_direction"]], row["vlan_id"],
        "" if ":" in translated else translated, row["post_nat_dst_port"],
    )  # fmt: skip


@pytest.mark.tool("nfcapd", "nfdump")
def test_nfdump_reads_what_it_keeps_of_every_flow(flows: FlowBatch, captured: list[dict[str, Any]]) -> None:
    seen = sorted((from_nfdump(flow) for flow in captured if flow["type"] == "FLOW"), key=repr)
    assert seen == sorted((as_nfdump(row) for row in expected(flows)), key=repr)


@pytest.mark.tool("nfcapd", "nfdump")
def test_nfdump_reads_what_netflow9_carries_of_every_flow(flows: FlowBatch, tmp_path: Path) -> None:
    settings = AgentSettings(node="node-a", obs_domain_id=42, collector=Collector(type="NetFlow"))
    agent, numbering = NetFlow9Messages(settings), Numbering(FlowProtocol.NETFLOW9)
    sent = []
    for message in [*agent.templates(), *agent.flows(flows), *agent.options({}, NAMES, Exporter(sampling=100))]:
        sent.append(bytes(numbering.stamped(message)))
        numbering.sent(message)
    seen = [flow for flow in collected("nfcapd", sent, tmp_path) if flow["type"] == "FLOW"]
    wanted = [
        {**row, "flow_direction": row["flow_direction"] if row["flow_direction"] in (1, 2) else 0} for row in expected(flows)
    ]
    assert sorted(map(from_nfdump, seen), key=repr) == sorted(map(as_nfdump, wanted), key=repr)
    assert decode(*sent).counts.get("sequence_gap_records", 0) == 0


@pytest.mark.tool("nfcapd", "nfdump")
@pytest.mark.parametrize("kind", ["IPFIX", "NetFlow"])
def test_nfdump_scales_flows_by_the_rate_that_the_agent_told_before(flows: FlowBatch, kind: str, tmp_path: Path) -> None:
    settings = AgentSettings(node="node-of-seven", obs_domain_id=42, collector=Collector(type=kind))
    agent: AgentMessages = NetFlow9Messages(settings) if kind == "NetFlow" else Messages(settings)
    numbering = Numbering(FlowProtocol.NETFLOW9 if kind == "NetFlow" else FlowProtocol.IPFIX)
    told = agent.options({}, NAMES, Exporter(sampling=7))
    sent = [bytes(numbering.stamped(message)) for message in [*agent.templates(), *told, *agent.flows(flows)]]
    seen = [flow for flow in collected("nfcapd", sent, tmp_path) if flow["type"] == "FLOW"]
    assert sum(flow["in_packets"] for flow in seen) == 7 * int(flows.array("packets").sum())
    assert sum(flow["in_bytes"] for flow in seen) == 7 * int(flows.array("bytes").sum())


def test_we_read_the_same_bytes_alike(flows: FlowBatch, payloads: list[bytes]) -> None:
    decoded = decode(*payloads)
    ours = [{name: row[name] for name in flows} for row in expected(decoded.flows)]
    assert sorted(map(repr_of, ours)) == sorted(map(repr_of, expected(flows)))
