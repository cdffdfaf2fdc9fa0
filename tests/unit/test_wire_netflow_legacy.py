# SPDX-License-Identifier: Apache-2.0
"""NetFlow 1, 5 and 7: counts, masks, lengths, times across wraps, sequence numbers. Traps: see golden/wire."""

from __future__ import annotations

import pytest

from flowgauge.flow.rows import to_rows
from flowgauge.wire.decoder import Decoder
from legacy_kit import EXPORT_S, UPTIME_MS, datagram1, datagram5, datagram7, record1, record5, record7
from wire_kit import column, decode

NS = 10**9
MS = 10**6


def test_every_field_of_version_5() -> None:
    record = record5(src="192.0.2.1", dst="198.51.100.2", hop="203.0.113.3", in_if=65535, out_if=7, packets=2**32 - 1,
                     bytes=2**32 - 2, sport=65535, dport=443, flags=0x1B, proto=6, tos=0xB8, src_as=64512, dst_as=23456,
                     src_mask=24, dst_mask=32)  # fmt: skip
    decoded = decode(datagram5(record, engine=(1, 2), sampling=0x4064), received_ns=5)
    (row,) = to_rows(decoded.flows)
    row.pop("sampling_source", None)  # a later module's
    assert row == {
        "time_start_ns": EXPORT_S * NS - 5000 * MS, "time_end_ns": EXPORT_S * NS - 1000 * MS, "time_received_ns": 5,
        "src_addr": "192.0.2.1", "dst_addr": "198.51.100.2", "src_port": 65535, "dst_port": 443, "proto": 6,
        "bytes": 2**32 - 2, "packets": 2**32 - 1, "sampling_rate": 100, "sampling_algorithm": "packet", "tcp_flags": 0x1B,
        "ip_tos": 0xB8, "src_as": 64512, "dst_as": 23456, "src_mask": 24, "dst_mask": 32, "next_hop": "203.0.113.3",
        "exporter_addr": "192.0.2.1", "obs_domain_id": 0x0102, "flow_format": "netflow5", "record_kind": "flow",
        "in_if": 65535, "out_if": 7,
    }  # fmt: skip
    assert decoded.counts == {"decode_records": 1}


@pytest.mark.parametrize(
    ("field", "rate", "algorithm"),
    [(0x4064, 100, "packet"), (0x8064, 100, "packet"), (0, None, None), (1, 1, "packet"), (0xFFFF, 16383, "packet")],
)
def test_sampling_is_fourteen_bits_below_the_mode(field: int, rate: int | None, algorithm: str | None) -> None:
    """Trap 2: Also: an interval of 0 says nothing (67: unknown is not 1)."""
    (row,) = to_rows(decode(datagram5(record5(), sampling=field)).flows)
    assert (row.get("sampling_rate"), row.get("sampling_algorithm")) == (rate, algorithm)


def test_a_count_beyond_the_body_reads_what_is_there() -> None:
    """Trap 1."""
    decoded = decode(datagram5(record5(bytes=1), record5(bytes=2), count=30))
    assert column(decoded, "bytes") == [1, 2]
    (problem,) = decoded.problems
    assert (problem.cause, problem.offset, problem.expected, problem.found) == ("record_count", 2, "2", "30")


def test_a_count_below_the_body_is_believed() -> None:
    """Trap 1: What is behind may be left over from an earlier datagram in the exporter's buffer."""
    decoded = decode(datagram5(*[record5()] * 30, count=2))
    assert len(decoded.flows) == 2
    assert [(problem.expected, problem.found) for problem in decoded.problems] == [("30", "2")]


def test_a_record_that_was_cut_is_left_out() -> None:
    decoded = decode(datagram5(record5(bytes=1), record5(bytes=2)[:-1]))
    assert column(decoded, "bytes") == [1]
    assert decoded.counts["decode_error_datagrams"] == 1


@pytest.mark.parametrize("size", [2, 10, 23])
def test_a_header_that_was_cut_is_named(size: int) -> None:
    decoded = decode(datagram5()[:size])
    assert [(p.cause, p.expected, p.found) for p in decoded.problems] == [("datagram_header", "24", str(size))]


def test_an_empty_datagram_is_in_order() -> None:
    assert decode(datagram5(), datagram1()).counts == {}


@pytest.mark.parametrize("size", [52, 48])
def test_version_1_in_both_lengths(size: int) -> None:
    """Trap 3."""
    records = [record1(size=size, bytes=number, flags=2, proto=6, tos=4, hop="10.9.9.9") for number in range(1, 25)]
    decoded = decode(datagram1(*records))
    assert column(decoded, "bytes") == list(range(1, 25))
    row = to_rows(decoded.flows)[23]
    assert (row["flow_format"], row["proto"], row["tcp_flags"], row["ip_tos"]) == ("netflow1", 6, 2, 4)
    assert (row["src_port"], row["dst_port"], row["next_hop"]) == (1000, 53, "10.9.9.9")
    assert "sampling_rate" not in row
    assert not decoded.problems


def test_version_1_of_both_lengths_in_one_batch() -> None:
    decoded = decode(datagram1(record1(bytes=1)), datagram1(record1(size=48, bytes=2)), datagram1(record1(bytes=3)))
    assert sorted(column(decoded, "bytes")) == [1, 2, 3]


def test_interface_0_is_unknown() -> None:
    """Trap 4."""
    (row,) = to_rows(decode(datagram5(record5(in_if=0, out_if=0))).flows)
    assert "in_if" not in row
    assert "out_if" not in row


def test_as_0_is_unknown() -> None:
    """Trap 6."""
    (row,) = to_rows(decode(datagram5(record5(src_as=0, dst_as=65535))).flows)
    assert "src_as" not in row
    assert row["dst_as"] == 65535


def times(uptime_ms: int, first: int, last: int, export_ns: int) -> tuple[int, int]:
    decoded = decode(datagram5(record5(first=first, last=last), uptime_ms=uptime_ms, export_ns=export_ns))
    return column(decoded, "time_start_ns")[0], column(decoded, "time_end_ns")[0]


def test_nanoseconds_of_the_header_count() -> None:
    """Trap 7."""
    start, end = times(UPTIME_MS, UPTIME_MS - 2, UPTIME_MS, EXPORT_S * NS + 999_999_999)
    assert end == EXPORT_S * NS + 999_999_999
    assert end - start == 2 * MS


def test_a_flow_that_began_before_the_uptime_wrapped() -> None:
    """Trap 22: The counter of milliseconds wraps after 49.7 days."""
    start, end = times(1000, 2**32 - 4000, 500, EXPORT_S * NS)
    assert start == EXPORT_S * NS - 5000 * MS
    assert end == EXPORT_S * NS - 500 * MS


def test_a_flow_that_ends_after_its_export_stamp() -> None:
    """Trap 22: Devices stamp the header before they fill it: never 49 days off."""
    start, end = times(UPTIME_MS, UPTIME_MS - 10, UPTIME_MS + 25, EXPORT_S * NS)
    assert start == EXPORT_S * NS - 10 * MS
    assert end == EXPORT_S * NS + 25 * MS


def test_icmp_travels_in_the_port() -> None:
    """Trap 25."""
    (row,) = to_rows(decode(datagram5(record5(proto=1, sport=0, dport=0x0301))).flows)
    assert (row["icmp_type"], row["icmp_code"]) == (3, 1)
    assert "src_port" not in row
    assert "dst_port" not in row


def test_version_7_and_its_invalid_fields() -> None:
    """Trap 8: Zero fields are absent, no sampling is claimed, the records behind each other are 52 bytes apart."""
    decoded = decode(
        datagram7(record7(bytes=1, src_as=5), record7(invalid=0x10, src="0.0.0.0", bytes=2, proto=0, sport=0, dport=0))
    )
    first, second = to_rows(decoded.flows)
    assert (first["flow_format"], first["bytes"], first["src_as"], first["src_addr"]) == ("netflow7", 1, 5, "10.0.0.1")
    assert second["bytes"] == 2
    assert "src_addr" not in second
    assert "sampling_rate" not in first


def lost(*datagrams: bytes) -> dict[str, int]:
    decoder = Decoder()
    counts = dict(decode(*datagrams, decoder=decoder).counts)
    for name, count in decoder.finish().items():
        counts[name] = counts.get(name, 0) + count
    return {name: count for name, count in counts.items() if name.startswith("sequence")}


def test_the_sequence_counts_flows_of_each_engine() -> None:
    """Trap 5: One engine loses two flows, the other's numbers are its own."""
    two = (record5(), record5())
    assert lost(
        datagram5(*two, sequence=10, engine=(0, 1)), datagram5(*two, sequence=500, engine=(0, 2)),
        datagram5(*two, sequence=14, engine=(0, 1)), datagram5(*two, sequence=502, engine=(0, 2)),
    ) == {"sequence_gap_records": 2}  # fmt: skip


def test_the_sequence_wraps() -> None:
    assert lost(datagram5(*[record5()] * 10, sequence=2**32 - 5), datagram5(record5(), sequence=5)) == {}


def test_version_1_has_no_sequence() -> None:
    assert lost(*[datagram1(record1())] * 5) == {}


def test_datagrams_that_came_in_another_order() -> None:
    """Trap 87."""
    found = [datagram5(record5(), sequence=number) for number in (0, 2, 1, 3)]
    assert lost(*found) == {"sequence_late_datagrams": 1}


def test_versions_side_by_side() -> None:
    decoded = decode(datagram5(record5(bytes=5)), datagram1(record1(bytes=1)), datagram7(record7(bytes=7)), b"\0\6" + bytes(40))
    assert sorted(zip(column(decoded, "flow_format"), column(decoded, "bytes"), strict=True)) == [(1, 1), (2, 5), (3, 7)]
    assert decoded.counts["decode_unknown_version"] == 1
