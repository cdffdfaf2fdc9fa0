# SPDX-License-Identifier: Apache-2.0
"""For tests and benchmarks: IPFIX messages as an agent sends them, made of arrays and by nothing of the product's.

One template (IPv4, times in ms, our ``local_ends``), the agent's options, sequence numbers. RFC 7011 §3.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping

import numpy as np

PEN = 32473
TEMPLATE, OPTIONS = 300, 301
RECORDS_PER_MESSAGE = 20
COUNTER_ELEMENTS = {"kernel_packets_seen": 200, "eviction_flows": 210, "export_records_sent": 212, "export_records_failed": 213}

_FIELDS = (  # name, element, bytes, enterprise?
    ("start_ms", 152, 8, False), ("end_ms", 153, 8, False), ("src", 8, 4, False), ("dst", 12, 4, False),
    ("src_port", 7, 2, False), ("dst_port", 11, 2, False), ("proto", 4, 1, False), ("tcp_flags", 6, 2, False),
    ("bytes", 1, 8, False), ("packets", 2, 8, False), ("in_if", 10, 4, False), ("out_if", 14, 4, False),
    ("sampling", 34, 4, False), ("local_ends", 1, 1, True),
)  # fmt: skip
RECORD = np.dtype([(name, f">u{size}") for name, _, size, _ in _FIELDS])
LOCAL = {"none": 1, "src": 2, "dst": 3, "both": 4}


def records(count: int, *, seed: int = 1, ended_ms: int | None = None, local_ends: str = "src", **fixed: int) -> np.ndarray:
    """``count`` flows between pods of 10.0.0.0/16 that ended within the last second; shape (count,), dtype ``RECORD``."""
    random = np.random.default_rng(seed)
    end = time.time_ns() // 1_000_000 if ended_ms is None else ended_ms
    rows = np.zeros(count, RECORD)
    rows["end_ms"] = end - random.integers(0, 1000, count)
    rows["start_ms"] = rows["end_ms"].astype(np.int64) - random.integers(0, 5000, count)
    for side in ("src", "dst"):
        rows[side] = (10 << 24) + random.integers(1, 2000, count)
    rows["src_port"] = random.integers(32768, 60999, count)
    rows["dst_port"] = random.choice(np.array([80, 443, 5432, 8080]), count)
    rows["proto"], rows["tcp_flags"], rows["sampling"] = 6, 24, 1
    rows["packets"] = random.integers(1, 60, count)
    rows["bytes"] = rows["packets"].astype(np.int64) * random.integers(60, 1400, count)
    rows["in_if"], rows["out_if"], rows["local_ends"] = 3, 2, LOCAL[local_ends]
    for name, value in fixed.items():
        rows[name] = value
    return rows


class Exporter:
    """One agent's observation domain: makes messages with their sequence numbers."""

    def __init__(self, domain: int = 1, node: str = "node-a", started_ms: int = 1_700_000_000_000) -> None:
        self.domain, self.node, self.started_ms = domain, node, started_ms
        self.sequence = 0

    def templates(self) -> bytes:
        """The message that describes records and options."""
        fields = b"".join(_field(element, size, enterprise) for _, element, size, enterprise in _FIELDS)
        option_fields = [(149, 4, False), (300, 0xFFFF, False), (323, 8, False), (34, 4, False),
                         *((element, 8, True) for element in COUNTER_ELEMENTS.values())]  # fmt: skip
        told = b"".join(_field(*field) for field in option_fields)
        return self._message(
            _set(2, struct.pack("!HH", TEMPLATE, len(_FIELDS)) + fields)
            + _set(3, struct.pack("!HHH", OPTIONS, len(option_fields), 1) + told),
            0,
        )

    def options(self, counters: Mapping[str, int]) -> bytes:
        """The message that says who the agent is and what it has counted."""
        name = self.node.encode()
        body = struct.pack("!IB", self.domain, len(name)) + name + struct.pack("!QI", self.started_ms, 1)
        body += b"".join(struct.pack("!Q", counters.get(counter, 0)) for counter in COUNTER_ELEMENTS)
        return self._message(_set(OPTIONS, body), 1)

    def data(self, rows: np.ndarray) -> list[bytes]:
        """Messages with the records ``rows``."""
        return [
            self._message(_set(TEMPLATE, part.tobytes()), len(part))
            for part in np.split(rows, range(RECORDS_PER_MESSAGE, len(rows), RECORDS_PER_MESSAGE))
        ]

    def _message(self, sets: bytes, count: int) -> bytes:
        header = struct.pack("!HHIII", 10, 16 + len(sets), int(time.time()), self.sequence, self.domain)
        self.sequence = (self.sequence + count) & 0xFFFFFFFF
        return header + sets


def _set(set_id: int, content: bytes) -> bytes:
    return struct.pack("!HH", set_id, 4 + len(content)) + content


def _field(element: int, size: int, enterprise: object) -> bytes:
    return struct.pack("!HHI", element | 0x8000, size, PEN) if enterprise else struct.pack("!HH", element, size)
