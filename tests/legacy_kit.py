# SPDX-License-Identifier: Apache-2.0
"""For tests: NetFlow 1, 5 and 7 written by hand with ``struct``, sharing nothing with the decoder."""

from __future__ import annotations

import socket
import struct
from typing import Any

EXPORT_S = 1_767_000_000
UPTIME_MS = 1_000_000

DEFAULTS: dict[str, Any] = {
    "src": "10.0.0.1", "dst": "10.0.0.2", "hop": "0.0.0.0", "in_if": 1, "out_if": 2, "packets": 10, "bytes": 1000,
    "first": UPTIME_MS - 5000, "last": UPTIME_MS - 1000, "sport": 1000, "dport": 53, "flags": 0, "proto": 17, "tos": 0,
    "src_as": 0, "dst_as": 0, "src_mask": 0, "dst_mask": 0,
}  # fmt: skip


def _common(row: dict[str, Any]) -> bytes:
    ends = b"".join(socket.inet_aton(row[name]) for name in ("src", "dst", "hop"))
    numbers = [row[name] for name in ("in_if", "out_if", "packets", "bytes", "first", "last", "sport", "dport")]
    return ends + struct.pack("!HHIIIIHH", *numbers)


def record1(*, size: int = 52, **fields: Any) -> bytes:
    """A record of version 1, of 52 (Cisco) or 48 bytes (softflowd)."""
    row = DEFAULTS | fields
    return (_common(row) + struct.pack("!HBBB", 0, row["proto"], row["tos"], row["flags"])).ljust(size, b"\0")


def record5(**fields: Any) -> bytes:
    """A record of version 5."""
    row = DEFAULTS | fields
    names = ("flags", "proto", "tos", "src_as", "dst_as", "src_mask", "dst_mask")
    return _common(row) + struct.pack("!xBBBHHBB2x", *(row[name] for name in names))


def record7(*, invalid: int = 0, router: str = "192.0.2.254", **fields: Any) -> bytes:
    """A record of version 7; ``invalid``: its first flags field."""
    record = bytearray(record5(**fields))
    record[36] = invalid
    return bytes(record) + socket.inet_aton(router)


def _header(version: int, count: int, uptime_ms: int, export_ns: int) -> bytes:
    return struct.pack("!HHIII", version, count, uptime_ms, *divmod(export_ns, 10**9))


def datagram1(
    *records: bytes, count: int | None = None, uptime_ms: int = UPTIME_MS, export_ns: int = EXPORT_S * 10**9
) -> bytes:
    """A datagram of version 1."""
    return _header(1, len(records) if count is None else count, uptime_ms, export_ns) + b"".join(records)


def datagram5(*records: bytes, count: int | None = None, uptime_ms: int = UPTIME_MS, export_ns: int = EXPORT_S * 10**9,
              sequence: int = 0, engine: tuple[int, int] = (0, 0), sampling: int = 0) -> bytes:  # fmt: skip
    """A datagram of version 5; ``sampling``: the field as it stands; ``engine``: type and number."""
    head = _header(5, len(records) if count is None else count, uptime_ms, export_ns)
    return head + struct.pack("!IBBH", sequence, *engine, sampling) + b"".join(records)


def datagram7(*records: bytes, uptime_ms: int = UPTIME_MS, export_ns: int = EXPORT_S * 10**9, sequence: int = 0) -> bytes:
    """A datagram of version 7."""
    return _header(7, len(records), uptime_ms, export_ns) + struct.pack("!II", sequence, 0) + b"".join(records)
