# SPDX-License-Identifier: Apache-2.0
"""Capture files of Wireshark (pcapng, draft-ietf-opsawg-pcapng): several sections and interfaces, each with its own clock."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from flowgauge.errors import WireError
from flowgauge.wire.captures.packet import MAX_PACKET_BYTES, MAX_TIME_NS, Packet
from flowgauge.wire.captures.source import Source

MAGIC = b"\x0a\x0d\x0d\x0a"
"""The type of a section header block, the same in either byte order."""
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_PACKETS = frozenset({_OLD_PACKET, _SIMPLE_PACKET, _PACKET})
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_END_OF_OPTIONS, _RESOLUTION, _OFFSET = 0, 9, 14

MAX_BLOCK_BYTES = MAX_PACKET_BYTES + (1 << 16)
"""Longest block read: a packet and its options. Others (names, secrets) are passed over, however long."""
MAX_INTERFACES = 1 << 16
"""Interfaces of one section remembered."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a section: ``ticks`` a second since 1970 plus ``offset_s``."""

    link: int
    snap_bytes: int
    ticks: int = 1_000_000
    offset_s: int = 0

    def time_ns(self, high: int, low: int) -> int:
        """The time of a packet."""
        time = ((high << 32 | low) * 1_000_000_000) // self.ticks + self.offset_s * 1_000_000_000
        return min(max(time, 0), MAX_TIME_NS)


def packets(source: Source) -> Iterator[Packet]:
    """The packets of a file that begins with ``MAGIC``.

    Raises:
        WireError: the file ends within a block, or is damaged; what was before has been given.
    """
    order = "<"
    interfaces: list[Interface] = []
    while head := source.take(8):
        start = source.at - len(head)
        if len(head) < 8:
            raise _cut_off(start, 8, len(head))
        if head[:4] == MAGIC:
            order, interfaces = _byte_order(source, start), []
        kind, length = struct.unpack(f"{order}II", head)
        body = _body(source, start, kind, length)
        if kind == _INTERFACE:
            if len(body) < 8 or len(interfaces) >= MAX_INTERFACES:
                raise WireError("capture_interface", offset=start, expected=f"one of {MAX_INTERFACES}", found=f"{length} bytes")
            interfaces.append(_interface(order, body))
        elif kind in _PACKETS:
            yield _packet(order, kind, body, interfaces, start)


def _body(source: Source, start: int, kind: int, length: int) -> bytes:
    """The content of a block whose header was read, without the length at its end; empty for a kind that is passed over."""
    if length < 12 or length % 4:
        raise WireError("capture_block", offset=start + 4, expected="length from 12, a multiple of 4", found=f"{length}")
    if kind != _INTERFACE and kind not in _PACKETS:
        if not source.skip(length - 8):
            raise _cut_off(start, length, source.at - start)
        return b""
    if length > MAX_BLOCK_BYTES:
        raise WireError("capture_block", offset=start + 4, expected=f"at most {MAX_BLOCK_BYTES} bytes", found=f"{length}")
    body = source.take(length - 8)
    if len(body) < length - 8:
        raise _cut_off(start, length, len(body) + 8)
    return body[:-4]


def _byte_order(source: Source, start: int) -> str:
    magic = source.peek(4)
    for order in "<>":
        if magic == struct.pack(f"{order}I", _BYTE_ORDER_MAGIC):
            return order
    raise WireError("capture_section", offset=start + 8, expected="a byte-order mark", found=magic.hex() or "end of file")


def _interface(order: str, body: bytes) -> Interface:
    link, snap_bytes = struct.unpack_from(f"{order}HxxI", body)
    ticks, offset_s, at = 1_000_000, 0, 8
    while len(body) - at >= 4:
        code, length = struct.unpack_from(f"{order}HH", body, at)
        value = body[at + 4 : at + 4 + length]
        if code == _END_OF_OPTIONS:
            break
        if code == _RESOLUTION and len(value) == 1:
            ticks = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == _OFFSET and len(value) == 8:
            (offset_s,) = struct.unpack(f"{order}q", value)
        at += 4 + length + -length % 4
    return Interface(link, snap_bytes, ticks, offset_s)


def _packet(order: str, kind: int, body: bytes, interfaces: list[Interface], start: int) -> Packet:
    """A packet block of any of the three kinds."""
    number = high = low = 0
    if kind == _PACKET and len(body) >= 20:
        number, high, low, captured, length = struct.unpack_from(f"{order}IIIII", body)
        begin = 20
    elif kind == _OLD_PACKET and len(body) >= 20:
        number, high, low, captured, length = struct.unpack_from(f"{order}HxxIIII", body)
        begin = 20
    elif kind == _SIMPLE_PACKET and len(body) >= 4:
        (length,) = struct.unpack_from(f"{order}I", body)
        snap_bytes = interfaces[0].snap_bytes if interfaces else 0
        begin, captured = 4, min(length, snap_bytes or length)
    else:
        raise WireError("capture_block", offset=start, expected="a packet's header", found=f"{len(body)} bytes")
    if number >= len(interfaces):
        raise WireError("capture_interface", offset=start + 8, expected=f"below {len(interfaces)}", found=f"{number}")
    if captured > len(body) - begin:
        raise WireError("capture_packet", offset=start, expected=f"{captured} bytes", found=f"{len(body) - begin}")
    interface = interfaces[number]
    time_ns = 0 if kind == _SIMPLE_PACKET else interface.time_ns(high, low)
    return Packet(interface.link, time_ns, body[begin : begin + captured], length)


def _cut_off(start: int, wanted: int, found: int) -> WireError:
    return WireError("capture_cut_off", offset=start, expected=f"block of {wanted} bytes", found=f"end of file after {found}")
