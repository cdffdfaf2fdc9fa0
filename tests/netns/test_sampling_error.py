# SPDX-License-Identifier: Apache-2.0
"""Sampling in the kernel has the spread that the stated error is computed from, and keeps connections whole where it should."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from ebpf_kit import context, flows, loaded, show, touched
from flowgauge.ebpf.rules import sample_below

pytestmark = [pytest.mark.root, pytest.mark.bpf]

CLIENT, SERVICE, BACKEND = "10.244.1.2", "10.96.0.80", "10.244.2.9"


def tcp(src: tuple[str, int], dst: tuple[str, int], payload: int = 10) -> bytes:
    l4 = struct.pack("!HHIIBBHHH", src[1], dst[1], 1, 1, 0x50, 0x10, 512, 0, 0) + bytes(payload)
    ends = socket.inet_aton(src[0]) + socket.inet_aton(dst[0])
    head = struct.pack("!BBHHHBBH", 0x45, 0, min(20 + len(l4), 65_535), 1, 0, 64, 6, 0)
    return bytes(12) + b"\x08\x00" + head + ends + l4


@pytest.mark.parametrize("segments", [1, 45])
def test_packets_of_super_packets_are_taken_one_by_one(segments: int) -> None:
    """The variance over runs is that of a binomial count; taken as a whole, super-packets would have 45 times as much."""
    rate, shown, runs = 20, 100, 60
    payload = 1448 if segments == 1 else segments * 60
    frame = tcp((CLIENT, 40_000), (SERVICE, 80), payload)
    ctx = context() if segments == 1 else context(gso_size=60, gso_segments=segments)
    with loaded(max_flows=1024, sampling=rate) as program:
        counts, size = [], []
        for _ in range(runs):
            for _ in range(shown):
                show(program, frame, ctx=ctx)
            rows = flows(program.evict())
            counts.append(sum(row["packets"] for row in rows))
            size.append(sum(row["bytes"] for row in rows))
        seen = touched(program.counters())
    total = shown * segments
    expected = total * (1 / rate) * (1 - 1 / rate)
    assert seen["in_flows"] + seen["sampled_out"] == seen["seen"] == total * runs
    assert sum(counts) == seen["in_flows"]
    assert abs(np.mean(counts) - total / rate) < 5 * (expected / runs) ** 0.5
    assert 0.4 < np.var(counts, ddof=1) / expected < 2.2
    each = [length / count for length, count in zip(size, counts, strict=True) if count]
    assert np.ptp(each) <= 1, "the share of the bytes is that of the packets"


def ports() -> Iterator[int]:
    return iter(range(33_000, 33_400))


def test_a_connection_is_whole_before_and_behind_the_address_of_a_service_in_both_directions() -> None:
    rate = 4
    with loaded(max_flows=8192, sampling=rate, sampling_mode="flow") as program:
        for port in ports():
            client = (CLIENT, port)
            for server in ((SERVICE, 80), (BACKEND, 8080)):
                show(program, tcp(client, server))
                show(program, tcp(server, client))
        rows = flows(program.evict())
    by_port: dict[int, int] = {}
    for row in rows:
        port = max(row["src_port"], row["dst_port"])
        by_port[port] = by_port.get(port, 0) + 1
    assert set(by_port.values()) == {4}
    share = 400 / rate
    assert abs(len(by_port) - share) < 5 * (share * (1 - 1 / rate)) ** 0.5


def test_connections_to_a_port_in_the_range_of_clients_are_chosen_one_by_one() -> None:
    with loaded(max_flows=8192, sampling=4, sampling_mode="flow") as program:
        for port in ports():
            show(program, tcp((CLIENT, port), (BACKEND, 50_051)))
        taken = len(flows(program.evict()))
    assert 55 < taken < 150, "all or nothing would be 0 or 400"


def test_a_long_connection_stays_visible_at_1_of_100() -> None:
    """Of 2,000 packets on 5432 about 20 are seen in an interval; that none is has a probability of 2 in a billion."""
    with loaded(max_flows=1024, sampling=100) as program:
        for _ in range(2000):
            show(program, tcp((CLIENT, 40_000), (BACKEND, 5432)))
        (row,) = flows(program.evict())
    assert row["dst_port"] == 5432
    assert abs(row["packets"] * 100 - 2000) <= 5 * (2000 * 99) ** 0.5


def test_the_number_below_is_the_rate() -> None:
    assert sample_below(1) == 0
    assert sample_below(100) == round(2**32 / 100)
