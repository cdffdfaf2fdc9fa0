# SPDX-License-Identifier: Apache-2.0
"""Stored flows as IPFIX and NetFlow v9: our decoder, nfdump and tshark read back what the store had."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture_kit import ethernet, ip, pcap, udp
from export_kit import UdpReceiver, decoded, exported, stored
from flowgauge.export.messages import FlowMessages, Message, Numbering
from flowgauge.export.settings import ExportSettings, FlowProtocol, Transport
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.rows import to_rows
from flowgauge.schema.column import Kind
from flowgauge.schema.columns import BY_NAME, stored_columns
from flowgauge.wire.ipfix_write import variable
from flowgauge.wire.stored_encode import MAX_TEXT_BYTES
from flowgauge.wire.stored_fields import COMMON, NOT_SENT
from oracle_kit import flow_capture
from store_kit import flows

NOT_READ = {"exporter_addr", "node_reporter", "in_if_name"}
"""Our decoder takes these from the message and from options data, not from flow records."""

Row = dict[str, Any]


def messages(batch: FlowBatch, **settings: object) -> list[Message]:
    return FlowMessages(ExportSettings("127.0.0.1", 2055, **settings)).flows(batch)  # type: ignore[arg-type]


def payloads(found: list[Message], protocol: FlowProtocol = FlowProtocol.IPFIX) -> Iterator[bytes]:
    numbering = Numbering(protocol)
    for message in found:
        yield bytes(numbering.stamped(message))
        numbering.sent(message)


def key(row: Row) -> tuple[str, ...]:
    """Rows come back grouped by template: what tells two apart is their key, counters and times."""
    return tuple(str(row.get(name)) for name in ("src_addr", "dst_addr", "bytes", "packets", "time_end_ns"))


def comparable(rows: list[Row], names: set[str]) -> list[Row]:
    return sorted(({name: row[name] for name in names if name in row} for row in rows), key=key)


def sent_columns() -> set[str]:
    """What IPFIX carries of the columns that are stored by default."""
    carried = {
        column.name
        for column in stored_columns()
        if (column.element or column.enterprise) and column.name not in NOT_SENT | NOT_READ
    }
    return carried | {"time_start_ns", "time_end_ns"}


def test_ipfix_brings_back_every_stored_column_that_has_an_element() -> None:
    batch = stored(500)
    # Latencies travel as 32-bit nanoseconds.
    batch = batch.with_columns({name: batch.array(name) % 4_000_000 for name in batch if name.endswith("_us")})
    got = decoded(*payloads(messages(batch)))
    assert not got.problems
    names = sent_columns()
    assert {"src_namespace", "dst_owner", "rtt_avg_ns", "drop_cause", "dns_name", "dst_layer", "src_zone"} <= names
    expected, found = comparable(to_rows(batch), names), comparable(to_rows(got.flows), names)
    assert found == expected


def test_netflow9_brings_back_what_it_has_fields_for() -> None:
    batch = stored(500)
    # Flags have a byte there, and a rate beyond 2**24 is taken for one in the other byte order, as a device sends them.
    fitting = {"tcp_flags": batch.array("tcp_flags") & 0xFF, "sampling_rate": batch.array("sampling_rate") & 0xFFFFFF}
    batch = batch.with_columns(fitting)
    got = decoded(*payloads(messages(batch, protocol=FlowProtocol.NETFLOW9), FlowProtocol.NETFLOW9))
    assert not got.problems
    names = {
        name for name in sent_columns()
        if BY_NAME[name].element and BY_NAME[name].kind not in (Kind.NAMES, Kind.LIST)
    }  # fmt: skip
    expected = comparable(to_rows(batch), names)
    for row in expected:
        if row.get("flow_direction") == "inner":  # IANA's element has only the other two
            del row["flow_direction"]
    assert comparable(to_rows(got.flows), names) == expected


def test_a_latency_of_more_than_four_seconds_is_sent_as_it_is() -> None:
    batch = flows("shop", 1, rtt_max_us=4_294_968)
    (row,) = to_rows(decoded(*payloads(messages(batch))).flows)
    assert row["rtt_max_ns"] == 4_294_968_000


@pytest.mark.parametrize("protocol", FlowProtocol)
def test_messages_fit_the_mtu_and_number_themselves(protocol: FlowProtocol) -> None:
    found = messages(stored(800), protocol=protocol, mtu_bytes=1200)
    # 27 names of 254 bytes are one record that no message of this size takes: it goes alone.
    assert all(len(one.payload) <= 1200 or one.records == 1 for one in found)
    assert sum(one.flows for one in found) == 800
    sent = list(payloads(found, protocol))
    assert decoded(*sent).counts["decode_records"] == 800
    numbers = [struct.unpack_from("!I", payload, 8 if protocol is FlowProtocol.IPFIX else 12)[0] for payload in sent]
    steps = [one.records if protocol is FlowProtocol.IPFIX else 1 for one in found]
    assert numbers == [sum(steps[:place]) for place in range(len(steps))]


def test_templates_come_before_their_flows_and_again_when_due() -> None:
    now = [0]
    maker = FlowMessages(ExportSettings("127.0.0.1", 2055, template_refresh_s=5), monotonic=lambda: now[0])
    first, second = maker.flows(flows("shop", 2)), maker.flows(flows("shop", 2))
    assert first[0].flows == 0
    assert all(message.flows for message in second), "nothing new, nothing due"
    now[0] += 5
    third = maker.flows(flows("shop", 2))
    assert decoded(*payloads(third)).counts["decode_records"] == 2, "who listens only now understands everything"


def test_over_a_stream_templates_are_told_once() -> None:
    now = [0]
    settings = ExportSettings("127.0.0.1", 4739, transport=Transport.TCP, template_refresh_s=5)
    maker = FlowMessages(settings, monotonic=lambda: now[0])
    maker.flows(flows("shop", 2))
    now[0] += 3600
    assert all(message.flows for message in maker.flows(flows("shop", 2)))


def test_a_long_string_is_cut_between_two_characters() -> None:
    name = "ü" * MAX_TEXT_BYTES
    (row,) = to_rows(decoded(*payloads(messages(flows("shop", 1, src_name=[name])))).flows)
    assert row["src_name"] == "ü" * (MAX_TEXT_BYTES // 2)
    assert len(variable(row["src_name"].encode())) == MAX_TEXT_BYTES + 3


def test_rows_that_share_a_hash_of_their_names_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowgauge.wire.stored_encode._mix", lambda columns: np.zeros(columns, np.uint64))
    batch = flows("shop", 3, src_name=["a", "b", "c"])
    found = decoded(*payloads(messages(batch))).flows
    assert sorted(row["src_name"] for row in to_rows(found)) == ["a", "b", "c"]


@pytest.mark.tool("nfcapd", "nfdump")
@pytest.mark.parametrize("protocol", FlowProtocol)
def test_nfdump_reads_the_same_flows(protocol: FlowProtocol, tmp_path: Path) -> None:
    batch = stored(500, seed=7)
    with flow_capture(tmp_path) as port:
        # Its receive buffer is the system's default.
        counts = exported(batch, ExportSettings("127.0.0.1", port, protocol, rate_per_s=1000)).counts
    assert (counts.offered, counts.sent, counts.failed) == (500, 500, 0)
    told = subprocess.run(["nfdump", "-R", str(tmp_path), "-q", "-o", "json"], capture_output=True, text=True, check=True)
    found = sorted(map(of_nfdump, json.loads("[" + told.stdout.replace("}\n{", "},{") + "]")))
    assert found == sorted(map(as_nfdump_has_it, to_rows(batch)))


def of_nfdump(record: Row) -> tuple[str, ...]:
    ported = record["proto"] in (6, 17)
    return tuple(map(str, (
        record["src4_addr"] if "src4_addr" in record else record["src6_addr"],
        record["dst4_addr"] if "dst4_addr" in record else record["dst6_addr"],
        record["src_port"] if ported else 0, record["dst_port"] if ported else 0, record["proto"], record["in_bytes"],
        record["in_packets"], record["first"][:23], record["last"][:23],
    )))  # fmt: skip


def as_nfdump_has_it(row: Row) -> tuple[str, ...]:
    first, last = (np.datetime64(row[name], "ns").astype("datetime64[ms]") for name in ("time_start_ns", "time_end_ns"))
    return tuple(map(str, (
        row["src_addr"], row["dst_addr"], row.get("src_port", 0), row.get("dst_port", 0), row["proto"], row["bytes"],
        row["packets"], first, last,
    )))  # fmt: skip


NUMBERS = {
    "cflow.srcport": "src_port", "cflow.dstport": "dst_port", "cflow.octets": "bytes", "cflow.packets": "packets",
    "cflow.inputint": "in_if", "cflow.tcpflags": "tcp_flags", "cflow.protocol": "proto",
}  # fmt: skip


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("protocol", FlowProtocol)
def test_tshark_dissects_the_same_values(protocol: FlowProtocol, tmp_path: Path) -> None:
    batch = flows("shop", 30, in_if=7, tcp_flags=0x1B, dst_port=list(range(5000, 5030)), bytes=list(range(10**10, 10**10 + 30)),
                  src_name=[f"web-{row}" for row in range(30)], rtt_avg_us=1500)  # fmt: skip
    batch = batch.with_columns({"dst_addr": batch.array("src_addr")})
    listener = UdpReceiver()
    exported(batch, ExportSettings("127.0.0.1", listener.port, protocol))
    capture = tmp_path / "export.pcap"
    capture.write_bytes(pcap([ethernet(ip(udp(payload, port=2055))) for payload in listener.close()]))
    command = ["tshark", "-r", str(capture), "-d", "udp.port==2055,cflow", "-T", "json", "--no-duplicate-keys"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    found = list(records_of(json.loads(told.stdout)))
    assert len(found) == 30
    rows = to_rows(batch)
    for flow, row in zip(found, rows, strict=True):
        assert (flow["cflow.srcaddr"], flow["cflow.dstaddr"]) == (row["src_addr"], row["dst_addr"])
        assert {name: int(flow[field], 0) for field, name in NUMBERS.items()} == {name: row[name] for name in NUMBERS.values()}
        if protocol is FlowProtocol.IPFIX:
            assert row["src_name"].encode().hex(":") in json.dumps(flow), "the name, in an element of ours"


def records_of(packets: list[Row]) -> Iterator[Row]:
    """The flow records in tshark's JSON."""
    for packet in packets:
        yield from _flows(packet["_source"]["layers"].get("cflow", {}))


def _flows(node: Any) -> Iterator[Row]:
    if isinstance(node, list):
        for one in node:
            yield from _flows(one)
    elif isinstance(node, dict):
        if "cflow.srcaddr" in node:
            yield node
        else:
            for one in node.values():
                yield from _flows(one)


def test_every_column_of_a_flow_record_is_one_that_is_stored() -> None:
    assert set(COMMON) - {"time_start_ns"} <= {column.name for column in stored_columns()}
