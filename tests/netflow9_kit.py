# SPDX-License-Identifier: Apache-2.0
"""For tests: NetFlow v9 written by hand with ``struct`` after RFC 3954, sharing nothing with the package."""

from __future__ import annotations

import struct
from collections.abc import Sequence

VERSION = 9
UPTIME_MS = 100_000_000
EXPORT_S = 1_767_000_000

Spec = tuple[int, int]
"""Field type and length."""

BASIC: tuple[Spec, ...] = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 4), (2, 4), (22, 4), (21, 4))
SYSTEM, INTERFACE, LINE_CARD, CACHE, TEMPLATE = 1, 2, 3, 4, 5


def packet(*flowsets: bytes, count: int | None = None, sequence: int = 0, source_id: int = 1, export_s: int = EXPORT_S,
           uptime_ms: int = UPTIME_MS) -> bytes:  # fmt: skip
    """An export packet; ``count`` is whatever an exporter may say."""
    said = len(flowsets) if count is None else count
    return struct.pack("!HHIIII", 9, said, uptime_ms & 0xFFFFFFFF, export_s, sequence, source_id) + b"".join(flowsets)


def flowset(number: int, *records: bytes, pad: int = 0, fill: bytes = b"\0") -> bytes:
    """A flowset of records and ``pad`` bytes of padding."""
    content = b"".join(records) + fill * pad
    return struct.pack("!HH", number, 4 + len(content)) + content


def template(number: int, fields: Sequence[Spec]) -> bytes:
    """A template record."""
    return struct.pack("!HH", number, len(fields)) + b"".join(struct.pack("!HH", *field) for field in fields)


def options_template(number: int, scope: Sequence[Spec], fields: Sequence[Spec]) -> bytes:
    """An options template record: lengths in bytes."""
    head = struct.pack("!HHH", number, 4 * len(scope), 4 * len(fields))
    return head + b"".join(struct.pack("!HH", *field) for field in (*scope, *fields))


def basic(octets: int, packets: int = 1, *, src_port: int = 1000, dst_port: int = 53, proto: int = 17,
          first_ms: int = UPTIME_MS - 5000, last_ms: int = UPTIME_MS - 1000) -> bytes:  # fmt: skip
    """A record of the fields ``BASIC``: 10.0.0.1 → 10.0.0.2."""
    ends = bytes((10, 0, 0, 1, 10, 0, 0, 2))
    uptimes = first_ms & 0xFFFFFFFF, last_ms & 0xFFFFFFFF
    return ends + struct.pack("!HHBIIII", src_port, dst_port, proto, octets, packets, *uptimes)


def basic_template(number: int = 256) -> bytes:
    """A flowset with the template of ``BASIC``."""
    return flowset(0, template(number, BASIC))
