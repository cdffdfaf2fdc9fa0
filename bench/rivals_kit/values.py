# SPDX-License-Identifier: Apache-2.0
"""Plausible flows as numbers, and records of any fixed layout made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

START_S = 1_790_000_000
"""Export time of the first datagram, seconds since 1970."""
UPTIME_MS = 400_000_000
"""Uptime of all exporters at that time."""

Columns = Mapping[str, npt.NDArray[Any]]
Field = tuple[int, int, str | int]
"""Element, length in bytes (6: a MAC address), and a column of ``flows`` or a constant."""


def flows(count: int, seed: int) -> Columns:
    """``count`` flows of pods and services: mostly TCP, some hosts and ports far busier than others, some ICMP."""
    random = np.random.default_rng(seed)
    proto = random.choice(np.array([6, 17, 1]), count, p=[0.75, 0.23, 0.02])
    services = np.array([443, 80, 53, 6443, 8080, 9090, 5432, 3306, 6379, 9092])
    client = random.integers(32768, 60999, count)
    server = services[(len(services) * random.random(count) ** 2).astype(np.int64)]
    answer, icmp = random.random(count) < 0.5, proto == 1
    packets = np.maximum(1, random.lognormal(1.5, 1.6, count)).astype(np.int64)
    start_ms = START_S * 1000 - 60_000 + np.arange(count) // 50 + random.integers(0, 5_000, count)
    lasted_ms = np.where(packets > 1, random.integers(1, 30_000, count), 0)
    outside = random.random(count) < 0.3
    pods = 0x0A800000 + random.integers(0, 1 << 16, 20_000)
    hosts = random.integers(0x0B000000, 0xDF000000, 50_000)
    return {
        "src": _busy(random, pods, count),
        "dst": np.where(outside, _busy(random, hosts, count), _busy(random, pods, count)),
        "src_port": np.where(icmp, 0, np.where(answer, server, client)),
        "dst_port": np.where(icmp, 0x800, np.where(answer, client, server)),
        "proto": proto,
        "flags": np.where(proto == 6, random.choice(np.array([0x1B, 0x12, 0x02, 0x18, 0x14]), count), 0),
        "tos": random.choice(np.array([0, 0x28, 0xB8]), count, p=[0.9, 0.06, 0.04]),
        "direction": random.integers(0, 2, count),
        "packets": packets,
        "bytes": packets * random.integers(52, 1400, count),
        "start_ms": start_ms,
        "end_ms": start_ms + lasted_ms,
        "first": start_ms - START_S * 1000 + UPTIME_MS,
        "last": start_ms + lasted_ms - START_S * 1000 + UPTIME_MS,
        "in_if": random.integers(1, 48, count),
        "out_if": random.integers(1, 48, count),
        "src_mac": 0x0A580A000000 + random.integers(0, 4096, count),
        "dst_mac": 0x0A580A000000 + random.integers(0, 4096, count),
        "vlan": random.choice(np.array([0, 100, 200, 300]), count),
        "src_mask": np.full(count, 24),
        "dst_mask": np.where(outside, 16, 24),
        "next_hop": 0x0A000001 + random.integers(0, 16, count),
        "src_as": random.integers(64512, 65000, count),
        "dst_as": random.integers(1, 60000, count),
        "reason": random.integers(1, 5, count),
    }


def _busy(random: np.random.Generator, of: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Some are drawn far more often than others."""
    return of[(len(of) * random.random(count) ** 3).astype(np.int64)]


def records(of: Columns, fields: Sequence[Field]) -> npt.NDArray[np.uint8]:
    """Each flow as it is on the wire, uint8 (n, bytes of a record)."""
    count = len(of["src"])
    parts = []
    for _, length, source in fields:
        values = of[source] if isinstance(source, str) else np.full(count, source)
        octets = np.ascontiguousarray(values.astype(">u8")).view(np.uint8).reshape(count, 8)
        parts.append(octets[:, 8 - length :] if length <= 8 else _address(values))
    return np.concatenate(parts, axis=1)


def _address(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """IPv6 addresses that end with ``values``."""
    octets = np.zeros((len(values), 16), np.uint8)
    octets[:, :2] = 0x20, 0x01
    octets[:, 12:] = np.ascontiguousarray(values.astype(">u4")).view(np.uint8).reshape(-1, 4)
    return octets
