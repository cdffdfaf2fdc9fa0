# SPDX-License-Identifier: Apache-2.0
"""Records of NetObserv's agents: every field lands in its column, with its meaning, and what is malformed is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.rows import to_rows
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded
from flowgauge.wire.pbflow import messages
from flowgauge.wire.pbflow.decoder import PbflowDecoder
from pbflow_kit import ENDED_NS, STARTED_NS, address, call, record

PROTO = Path(messages.__file__).with_name("pbflow.proto")


def decoded(*payloads: bytes, single: bool = False) -> Decoded:
    return PbflowDecoder(single=single).decode(Datagrams.from_payloads(list(payloads), source="198.51.100.1", received_ns=77))


def row(flows: FlowBatch) -> dict[str, Any]:
    (only,) = to_rows(flows)
    return only


def test_the_description_in_the_code_is_that_of_the_proto_file() -> None:
    described: dict[str, dict[int, tuple[str, str]]] = {}
    for name, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", PROTO.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        fields = re.findall(r"^\s+((?:repeated )?[\w.]+) (\w+) = (\d+);", body, re.MULTILINE)
        described[name] = {int(number): (field, kind) for kind, field, number in fields}
    assert described == {name: dict(fields) for name, fields in messages.FIELDS.items()}


def test_every_field_lands_in_its_column() -> None:
    found = row(decoded(call(record(
        sampling=50, pkt_drop_packets=3, pkt_drop_bytes=180, pkt_drop_latest_state=2, pkt_drop_latest_drop_cause=5,
        dns_id=99, dns_flags=0x8183, dns_latency__nanos=2_500_000, time_flow_rtt__nanos=1_000_000,
        xlat__src_addr__ipv4=address("10.0.0.1"), xlat__dst_addr__ipv4=address("10.244.1.5"), xlat__src_port=40_000,
        xlat__dst_port=15_432,
    ))).flows)  # fmt: skip
    assert found == {
        "time_start_ns": STARTED_NS, "time_end_ns": ENDED_NS, "time_received_ns": 77,
        "src_addr": "10.0.0.1", "dst_addr": "10.0.0.9", "src_port": 40_000, "dst_port": 5432, "proto": 6,
        "src_mac": "11:22:33:44:55:66", "ether_type": 2048, "bytes": 1234, "packets": 5, "sampling_rate": 50,
        "sampling_source": "record", "tcp_flags": 0x12, "ip_tos": 46 << 2, "exporter_addr": "192.0.2.7", "obs_domain_id": 0,
        "flow_format": "pbflow", "record_kind": "flow", "out_if_name": "eth0", "observed_if_names": ["eth0"],
        "observed_if_dirs": [1], "flow_direction": "egress", "rtt_min_ns": 1_000_000, "rtt_avg_ns": 1_000_000,
        "rtt_max_ns": 1_000_000, "drop_packets": 3, "drop_bytes": 180, "drop_cause": "5", "drop_tcp_state": "SYN_SENT",
        "dns_id": 99, "dns_rcode": "NXDOMAIN", "dns_latency_ns": 2_500_000, "post_nat_src_addr": "10.0.0.1",
        "post_nat_dst_addr": "10.244.1.5", "post_nat_src_port": 40_000, "post_nat_dst_port": 15_432,
    }  # fmt: skip


def test_what_an_agent_does_not_measure_is_absent() -> None:
    found = row(decoded(call(record())).flows)
    assert not {
        "rtt_avg_ns",
        "drop_packets",
        "drop_cause",
        "dns_rcode",
        "post_nat_dst_addr",
        "sampling_rate",
        "icmp_type",
    } & set(found)


def test_ipv6_icmp_and_every_interface_that_saw_it() -> None:
    one = record(transport__protocol=58, icmp_type=128, icmp_code=0, direction=0)
    one.network.src_addr.ipv6 = bytes.fromhex("20010db8" + "00" * 11 + "01")
    one.network.dst_addr.ipv6 = bytes.fromhex("20010db8" + "00" * 11 + "02")
    for name, way in (("vethA", 0), ("eth0", 1)):
        one.dup_list.add(interface=name, direction=way)
    found = row(decoded(call(one)).flows)
    assert (found["src_addr"], found["dst_addr"], found["icmp_type"], found["icmp_code"]) == (
        "2001:db8::1",
        "2001:db8::2",
        128,
        0,
    )
    assert (found["in_if_name"], found["out_if_name"], found["flow_direction"]) == ("vethA", "eth0", "ingress")
    assert (found["observed_if_names"], found["observed_if_dirs"]) == (["vethA", "eth0"], [0, 1])


def test_a_kafka_message_is_one_record_and_an_agent_without_a_name_is_its_sender() -> None:
    one = record()
    one.ClearField("agent_ip")
    found = row(decoded(one.SerializeToString(), single=True).flows)
    assert (found["exporter_addr"], found["bytes"]) == ("198.51.100.1", 1234)


def test_a_flow_that_an_agent_marked_as_seen_elsewhere_too_counts_once() -> None:
    found = decoded(call(record(), record(interface="br-ex", duplicate=True)))
    assert (len(found.flows), dict(found.counts)) == (1, {"decode_records": 2, "pipeline_duplicates_dropped": 1})


def test_what_is_malformed_is_named_and_costs_its_neighbours_nothing() -> None:
    bare = record()
    bare.ClearField("network")
    found = decoded(call(record(bytes=1)), b"\xff\xff\xff", call(record(bytes=2), bare), b"")
    assert sorted(found.flows.array("bytes").tolist()) == [1, 2]
    assert found.counts == {"decode_records": 2, "decode_error_datagrams": 2}
    assert [(one.cause, one.datagram) for one in found.problems] == [("protobuf", 1), ("no_addresses", 2)]


def test_fields_of_later_agents_are_passed_over() -> None:
    later = record().SerializeToString() + b"\xf2\x01\x03abc"  # field 30, a string
    assert row(decoded(later, single=True).flows)["bytes"] == 1234


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_raise(payload: bytes, single: bool) -> None:  # noqa: FBT001
    found = decoded(payload, single=single)
    assert found.counts.get("decode_records", 0) >= len(found.flows)


@pytest.mark.parametrize("seconds", [-(1 << 62), 1 << 62])
def test_times_that_cannot_be_are_none(seconds: int) -> None:
    found = decoded(call(record(time_flow_start__seconds=seconds, dns_latency__seconds=seconds)))
    assert found.flows.array("time_start_ns").tolist() == [0]
