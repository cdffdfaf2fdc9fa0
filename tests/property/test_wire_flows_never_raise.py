# SPDX-License-Identifier: Apache-2.0
"""NetFlow 1, 5, 7 and sFlow: whatever arrives is counted; random records come back as they were; batching changes nothing."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_mutations import Mutator
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.packet_headers import parse
from flowgauge.wire.packet_headers_bytes import SLACK_BYTES, Windows
from flowgauge.wire.packet_headers_link import ETHERNET_FRAME, IPV4, IPV6, MPLS, PPP_FRAME
from flowgauge.wire.problems import MAX_PROBLEMS
from legacy_kit import UPTIME_MS, datagram5, record5
from sflow_kit import datagram, ethernet, flow_sample, ipv4, ipv6, part, raw, tcp, udp, words
from wire_kit import column, decode, rows

pytestmark = pytest.mark.filterwarnings("error")
U16, U32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)


@given(payloads=st.lists(st.binary(max_size=120).map(lambda data: words(5, 1) + data), max_size=10))
def test_noise_behind_the_version_of_sflow(payloads: list[bytes]) -> None:
    decode(*payloads)


@given(payloads=st.lists(st.tuples(st.sampled_from([1, 5, 7]), st.binary(max_size=150)), max_size=10))
def test_noise_behind_the_versions_of_netflow(payloads: list[tuple[int, bytes]]) -> None:
    decode(*[bytes((0, version)) + data for version, data in payloads])


@given(
    records=st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 1001, 1002, 1003, 1006, 1007, 1012, 1020]), st.binary(max_size=90)))
)
def test_noise_in_known_records(records: list[tuple[int, bytes]]) -> None:
    decode(datagram(flow_sample(*[part(*record) for record in records])))


@given(seed=st.integers(0, 2**32), inner=st.booleans())
def test_broken_datagrams_are_counted(seed: int, *, inner: bool) -> None:
    mutator, decoder = Mutator(seed), Decoder(inner=inner)
    for _ in range(3):
        decoded = decode(*mutator.batch(20), decoder=decoder)
        assert decoded.counts.get("decode_records", 0) == len(decoded.flows)
        assert len(decoded.problems) <= MAX_PROBLEMS
        assert all(count > 0 for count in decoded.counts.values())
    decoder.finish()


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_a_datagram_reads_the_same_alone_and_among_others(seed: int) -> None:
    """Lockstep over a batch must not let one row touch another.

    Times are left out: the unit of an exporter's uptime is learnt from how its clock goes on, and these clocks are mutated.
    """
    payloads, decoder = Mutator(seed).batch(20), Decoder()
    alone = [decode(payload, decoder=decoder).flows for payload in payloads]
    together = decode(*payloads).flows
    names = sorted({name for flows in alone for name in flows} - {"time_start_ns", "time_end_ns"})
    apart = sorted(row for flows in alone if len(flows) for row in rows(flows, names))
    assert (rows(together, names) if len(together) else []) == apart


@given(packets=st.lists(st.binary(max_size=80), min_size=1, max_size=20), inner=st.booleans(),
       kind=st.sampled_from([ETHERNET_FRAME, PPP_FRAME, IPV4, IPV6, MPLS]))  # fmt: skip
def test_heads_never_read_beyond_what_was_captured(packets: list[bytes], *, inner: bool, kind: int) -> None:
    """What lies behind a packet, zeros or ones, changes nothing."""
    found = []
    for filling in (0x00, 0xFF):
        buffer, start, end = bytearray(), [], []
        for packet in packets:
            start.append(len(buffer))
            buffer += packet
            end.append(len(buffer))
            buffer += bytes([filling]) * 100
        windows = Windows(np.frombuffer(bytes(buffer + bytes([filling]) * SLACK_BYTES), np.uint8))
        found.append(parse(windows, np.array(start), np.array(end), np.full(len(packets), kind, np.int32), inner=inner))
    for name in type(found[0]).__slots__:
        assert np.array_equal(*(getattr(one, name) for one in found)), name


RECORD = st.fixed_dictionaries({
    "src": st.ip_addresses(v=4).map(str), "dst": st.ip_addresses(v=4).map(str), "in_if": U16, "out_if": U16, "packets": U32,
    "bytes": U32, "first": st.integers(0, UPTIME_MS), "last": st.integers(0, UPTIME_MS), "sport": U16, "dport": U16,
    "flags": st.integers(0, 255), "proto": st.sampled_from([6, 17, 132]), "tos": st.integers(0, 255), "src_as": U16,
    "dst_as": U16, "src_mask": st.integers(0, 32), "dst_mask": st.integers(0, 32),
})  # fmt: skip
NAMES = {"bytes": "bytes", "packets": "packets", "in_if": "in_if", "out_if": "out_if", "src_port": "sport", "dst_port": "dport",
         "proto": "proto", "tcp_flags": "flags", "ip_tos": "tos", "src_as": "src_as", "dst_as": "dst_as",
         "src_mask": "src_mask", "dst_mask": "dst_mask"}  # fmt: skip


@given(datagrams=st.lists(st.lists(RECORD, max_size=30), min_size=1, max_size=5), sampling=U16)
def test_records_of_version_5_come_back(datagrams: list[list[dict[str, Any]]], sampling: int) -> None:
    decoded = decode(*[datagram5(*[record5(**record) for record in records], sampling=sampling) for records in datagrams])
    every = [record for records in datagrams for record in records]
    assert not decoded.problems
    for name, field in NAMES.items():
        assert sorted(column(decoded, name)) == sorted(record[field] for record in every)
    assert set(column(decoded, "sampling_rate")) <= {sampling & 0x3FFF}
    lasted = [end - start for start, end in zip(column(decoded, "time_start_ns"), column(decoded, "time_end_ns"), strict=True)]
    assert sorted(lasted) == sorted((record["last"] - record["first"]) * 1_000_000 for record in every)


PACKET = st.tuples(st.booleans(), st.booleans(), U16, U16, st.lists(st.integers(1, 4094), max_size=2), st.integers(0, 60))


@given(packets=st.lists(PACKET, min_size=1, max_size=12), rate=U32)
def test_sampled_packets_come_back(packets: list[tuple[bool, bool, int, int, list[int], int]], rate: int) -> None:
    samples, wanted = [], []
    for number, (six, is_tcp, src, dst, vlans, size) in enumerate(packets):
        segment = tcp(src, dst, content=bytes(size)) if is_tcp else udp(src, dst, bytes(size))
        packet = (ipv6 if six else ipv4)(6 if is_tcp else 17, segment)
        frame = ethernet(0x86DD if six else 0x0800, packet, tags=[(0x8100, vlan) for vlan in vlans])
        samples.append(flow_sample(raw(frame[:128], frame=len(frame) + 4), sequence=number, rate=rate))
        wanted.append((src, dst, len(packet), [*vlans, 0][0], 6 if is_tcp else 17, rate))
    decoded = decode(datagram(*samples))
    assert not decoded.problems
    names = ("src_port", "dst_port", "bytes", "vlan_id", "proto", "sampling_rate")
    assert list(zip(*(column(decoded, name) for name in names), strict=True)) == wanted


@pytest.mark.parametrize(
    "payload",
    [
        words(5, 1, 0, 0, 1, 1, 0xFFFFFFFF) + words(1, 0) * 8000,
        datagram(*[flow_sample(*[part(9999, b"")] * 7000)]),
        datagram(*[part(2, words(1, 1, 0))] * 3000),
        datagram(*[flow_sample(sequence=n * 7919, source=n) for n in range(1500)]),
        b"\0\5" + b"\xff" * 65_000,
    ],
    ids=["empty samples", "empty records", "counter samples", "sources", "netflow"],
)
def test_the_largest_datagrams_stay_within_memory(payload: bytes) -> None:
    """64 of the largest that UDP carries, made to cost as much as they can."""
    datagrams, decoder = Datagrams.from_payloads([payload[:65_507]] * 64), Decoder()
    tracemalloc.start()
    try:
        decoder.decode(datagrams)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 256 << 20


@pytest.mark.slow
def test_endless_new_agents_and_sources_stay_within_their_bounds() -> None:
    """An attacker with many names: the decoder forgets the oldest, and what it keeps does not grow with them."""
    decoder = Decoder()
    tracemalloc.start()
    try:
        for turn in range(40):
            payloads = [
                datagram(*[flow_sample(source=n * 50 + k, sequence=1) for k in range(50)], sub_agent=turn * 100 + n)
                for n in range(100)
            ]
            decode(*payloads, decoder=decoder)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 64 << 20
