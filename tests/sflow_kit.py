# SPDX-License-Identifier: Apache-2.0
"""For tests: sFlow datagrams and sampled packets written by hand with ``struct``, sharing nothing with the decoder."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

AGENT = "198.51.100.7"
MAC_A, MAC_B = bytes.fromhex("0a0000000001"), bytes.fromhex("0a0000000002")
IFINDEX, DISCARDED, SEVERAL = 0, 1 << 30, 2 << 30
LOCAL = 0x3FFFFFFF


def words(*values: int) -> bytes:
    """Unsigned 32-bit integers."""
    return struct.pack(f"!{len(values)}I", *values)


def opaque(content: bytes) -> bytes:
    """A length, the content, and zeros up to four bytes."""
    return words(len(content)) + content + bytes(-len(content) % 4)


def address(text: str) -> bytes:
    """An address with its type; none for an empty text."""
    if not text:
        return words(0)
    packed = ipaddress.ip_address(text).packed
    return words(1 if len(packed) == 4 else 2) + packed


def part(tag: int, content: bytes) -> bytes:
    """A sample or a record: its format, and its content as opaque data."""
    return words(tag) + opaque(content)


def datagram(*samples: bytes, sequence: int = 1, agent: str = AGENT, sub_agent: int = 0, uptime_ms: int = 1000,
             count: int | None = None) -> bytes:  # fmt: skip
    """A datagram of samples; ``count``: what it claims, if not how many there are."""
    claimed = len(samples) if count is None else count
    return words(5) + address(agent) + words(sub_agent, sequence, uptime_ms, claimed) + b"".join(samples)


def flow_sample(*records: bytes, sequence: int = 1, source: int = 3, rate: int = 1000, pool: int = 1000, drops: int = 0,
                ports: tuple[int, int] = (3, 4), count: int | None = None) -> bytes:  # fmt: skip
    """A flow sample; ``source``: type × 2²⁴ + index; ``ports``: input and output as they stand."""
    claimed = len(records) if count is None else count
    return part(1, words(sequence, source, rate, pool, drops, *ports, claimed) + b"".join(records))


def expanded_sample(*records: bytes, sequence: int = 1, source: tuple[int, int] = (0, 3), rate: int = 1000, pool: int = 1000,
                    drops: int = 0, came: tuple[int, int] = (0, 3), went: tuple[int, int] = (0, 4)) -> bytes:  # fmt: skip
    """An expanded flow sample; interfaces as (format, value)."""
    return part(3, words(sequence, *source, rate, pool, drops, *came, *went, len(records)) + b"".join(records))


def discarded(*records: bytes, sequence: int = 1, source: tuple[int, int] = (0, 3), drops: int = 0,
              ports: tuple[int, int] = (3, 0), reason: int = 258) -> bytes:  # fmt: skip
    """A discarded packet."""
    return part(5, words(sequence, *source, drops, *ports, reason, len(records)) + b"".join(records))


def counter_sample(*records: bytes, sequence: int = 1, source: int = 3) -> bytes:
    """A counter sample."""
    return part(2, words(sequence, source, len(records)) + b"".join(records))


def interface_counters(index: int, octets_in: int = 10, octets_out: int = 20) -> bytes:
    """Generic interface counters, format 1."""
    content = struct.pack(
        "!IIQIIQIIIIIIQIIIIII", index, 6, 10**10, 1, 3, octets_in, 1, 2, 3, 4, 5, 6, octets_out, 7, 8, 9, 10, 11, 0
    )
    return part(1, content)


def raw(head: bytes, *, protocol: int = 1, frame: int | None = None, stripped: int = 4, length: int | None = None) -> bytes:
    """The record with a packet's head; the frame had ``frame`` bytes, its check sequence included."""
    claimed = len(head) if length is None else length
    size = len(head) + 4 if frame is None else frame
    return part(1, words(protocol, size, stripped, claimed) + head + bytes(-len(head) % 4))


def ethernet(kind: int, content: bytes, *, tags: Sequence[tuple[int, int]] = ()) -> bytes:
    """A frame from A to B; ``tags``: (TPID, TCI), the outer first."""
    stack = b"".join(struct.pack("!HH", *tag) for tag in tags)
    return MAC_B + MAC_A + stack + struct.pack("!H", kind) + content


def ipv4(proto: int, content: bytes, *, src: str = "10.0.0.1", dst: str = "10.0.0.2", tos: int = 0, ttl: int = 63,
         fragment: int = 0, options: bytes = b"", total: int | None = None) -> bytes:  # fmt: skip
    """An IPv4 packet; ``fragment``: flags and offset as they stand; ``total``: length if not the real one."""
    size = 20 + len(options)
    length = size + len(content) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, tos, length, 1, fragment, ttl, proto, 0)
    return head + ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + options + content


def ipv6(proto: int, content: bytes, *, src: str = "2001:db8::1", dst: str = "2001:db8::2", traffic_class: int = 0,
         hops: int = 63, payload: int | None = None) -> bytes:  # fmt: skip
    """An IPv6 packet."""
    length = len(content) if payload is None else payload
    head = struct.pack("!IHBB", 6 << 28 | traffic_class << 20, length, proto, hops)
    return head + ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + content


def tcp(src: int = 40000, dst: int = 443, flags: int = 0x18, content: bytes = b"") -> bytes:
    """A TCP segment; ``flags``: nine bits."""
    return struct.pack("!HHIIHHHH", src, dst, 1, 1, 5 << 12 | flags, 512, 0, 0) + content


def udp(src: int = 5000, dst: int = 53, content: bytes = b"") -> bytes:
    """A UDP datagram."""
    return struct.pack("!HHHH", src, dst, 8 + len(content), 0) + content


def label(value: int, *, bottom: bool = False) -> bytes:
    """An MPLS label stack entry."""
    return words(value << 12 | bottom << 8 | 64)


def gateway(*segments: tuple[int, list[int]], hop: str = "192.0.2.8", claimed: int | None = None) -> bytes:
    """Extended gateway data: a BGP path of (kind, autonomous systems), which may claim to be longer than it is."""
    path = b"".join(words(kind, len(systems), *systems) for kind, systems in segments)
    count = len(segments) if claimed is None else claimed
    return part(1003, address(hop) + words(64500, 64501, 64502, count) + path + words(1, 42, 100))
