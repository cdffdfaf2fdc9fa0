# SPDX-License-Identifier: Apache-2.0
"""For tests: IPFIX written by hand with ``struct``, sharing nothing with our encoder, and random batches of flows."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from flowgauge.flow.batch import FlowBatch, definition, dtype_of, shape_of
from flowgauge.flow.names import Names
from flowgauge.schema.column import Kind
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoded, Decoder

PEN = 32473
EXPORT_S = 1_767_000_000
VARIABLE = 65535

Spec = tuple[int, int] | tuple[int, int, int]
"""Element and length, and the enterprise number if it is not IANA's."""

BASIC: tuple[Spec, ...] = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 4), (2, 4))


def template(template_id: int, fields: Sequence[Spec], scope: int = 0) -> bytes:
    """A template record; with ``scope`` an options template."""
    record = struct.pack("!HH", template_id, len(fields)) + (struct.pack("!H", scope) if scope else b"")
    for field in fields:
        if len(field) == 3:
            record += struct.pack("!HHI", field[0] | 0x8000, field[1], field[2])
        else:
            record += struct.pack("!HH", *field)
    return record


def a_set(set_id: int, *records: bytes) -> bytes:
    """A set of records."""
    content = b"".join(records)
    return struct.pack("!HH", set_id, 4 + len(content)) + content


def message(*sets: bytes, sequence: int = 0, domain: int = 1, export_s: int = EXPORT_S) -> bytes:
    """An IPFIX message."""
    content = b"".join(sets)
    return struct.pack("!HHIII", 10, 16 + len(content), export_s, sequence, domain) + content


def basic(octets: int, packets: int = 1, *, src_port: int = 1000, proto: int = 17) -> bytes:
    """A record of the fields ``BASIC``: 10.0.0.1 → 10.0.0.2:53."""
    return bytes((10, 0, 0, 1, 10, 0, 0, 2)) + struct.pack("!HHBII", src_port, 53, proto, octets, packets)


def basic_template(template_id: int = 256) -> bytes:
    """A set with the template of ``BASIC``."""
    return a_set(2, template(template_id, BASIC))


def decode(*payloads: bytes, decoder: Decoder | None = None, source: str = "192.0.2.1", received_ns: int = 0) -> Decoded:
    """One batch through ``decoder`` or a new one."""
    return (decoder or Decoder()).decode(Datagrams.from_payloads(payloads, source, received_ns=received_ns))


def column(decoded: Decoded, name: str) -> list[Any]:
    """The values of a column, as Python values."""
    data = decoded.flows[name]
    return data.to_list() if isinstance(data, Names) else data.tolist()


def rows(batch: FlowBatch, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows as tuples of plain values, sorted: two batches with the same flows are equal whatever their order."""
    columns = []
    for name in names:
        data = batch[name]
        columns.append(data.to_list() if isinstance(data, Names) else data.reshape(len(batch), -1).tolist())
    return sorted(zip(*columns, strict=True))


def random_flows(count: int, seed: int, *, v6_share: float = 0.3) -> FlowBatch:
    """Flows as an agent has them: consistent, of both families, some ICMP, some translated."""
    random = np.random.default_rng(seed)
    v6 = random.random(count) < v6_share
    proto = random.choice(np.array([6, 17, 132, 1, 47], np.uint8), count)
    icmp = proto == 1
    proto[icmp & v6] = 58
    ported = np.isin(proto, (6, 17, 132))
    nat = random.random(count) < 0.3
    start = 1_767_000_000_000 + random.integers(0, 10_000, count)
    columns: dict[str, np.ndarray] = {
        "time_start_ns": start * 1_000_000,
        "time_end_ns": (start + random.integers(0, 5000, count)) * 1_000_000,
        "src_addr": _addresses(random, v6),
        "dst_addr": _addresses(random, v6),
        "src_port": random.integers(1, 65536, count) * ported,
        "dst_port": random.integers(1, 65536, count) * ported,
        "icmp_type": np.where(icmp, random.integers(0, 256, count), -1),
        "icmp_code": np.where(icmp, random.integers(0, 256, count), -1),
        "proto": proto,
        "ip_tos": random.integers(0, 256, count),
        "tcp_flags": random.integers(0, 512, count) * (proto == 6),
        "bytes": random.integers(40, 1 << 40, count),
        "packets": random.integers(1, 1 << 20, count),
        "in_if": random.integers(0, 50, count),
        "out_if": random.integers(0, 50, count),
        "flow_direction": random.integers(1, 4, count),
        "sampling_rate": random.choice(np.array([1, 100]), count),
        "vlan_id": random.choice(np.array([0, 7]), count),
        "observed_ifs": random.integers(0, 1 << 32, (count, 4)),
        "local_ends": random.integers(1, 5, count),
        "post_nat_src_addr": np.zeros((count, 16), np.uint8),
        "post_nat_dst_addr": _addresses(random, v6) * nat[:, None],
        "post_nat_src_port": np.zeros(count),
        "post_nat_dst_port": random.integers(1, 65536, count) * (nat & ported),
    }
    return FlowBatch({name: data.astype(dtype_of(definition(name))) for name, data in columns.items()}, count)


def _addresses(random: np.random.Generator, v6: np.ndarray) -> np.ndarray:
    address = random.integers(0, 256, (len(v6), 16)).astype(np.uint8)
    address[:, 0] = 0xFD
    address[~v6, :10] = 0
    address[~v6, 10:12] = 0xFF
    address[~v6, 12] = 10
    return address


WORDS = ("", "NO_SOCKET", "api.shop.svc.cluster.local", "größe", "x" * 254)


def random_column(name: str, count: int, random: np.random.Generator) -> np.ndarray | Names:
    """Any values that the column's type can hold, absent ones among them."""
    column = definition(name)
    shape, kind = shape_of(column, count), column.kind
    if kind in (Kind.NAMES, Kind.LIST):
        return Names.from_strings(random.choice(WORDS, count).tolist())
    if kind is Kind.ENUM:
        return random.integers(0, len(column.labels), shape).astype(np.uint8)
    if kind is Kind.I16:
        return random.integers(-1, 256, shape).astype(np.int16)
    if name.startswith("time_"):
        return random.integers(0, 1 << 42, shape) * 1_000_000
    info = np.iinfo(dtype_of(column, name))
    values = random.integers(info.min, info.max, shape, dtype=info.dtype, endpoint=True)
    values *= (random.random(shape) < 0.7).astype(info.dtype)
    return np.minimum(values, np.asarray(column.most, info.dtype)) if column.most else values
