# SPDX-License-Identifier: Apache-2.0
"""For tests: captures written by hand with ``struct``: packets of exporters, and the files that hold them."""

from __future__ import annotations

import io
import ipaddress
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from flowgauge.errors import WireError
from flowgauge.wire.captures.files import kind_of, read
from flowgauge.wire.captures.packet import Export
from flowgauge.wire.captures.source import Source

EXPORTER, COLLECTOR = "192.0.2.1", "192.0.2.9"
EXPORTER_V6, COLLECTOR_V6 = "2001:db8::1", "2001:db8::9"
PORT = 2055
AT_S = 1_767_000_000
SYN, ACK = 0x02, 0x10


def udp(payload: bytes, port: int = PORT, source_port: int = 40000) -> bytes:
    return struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload


def tcp(payload: bytes, sequence: int, flags: int = ACK, ports: tuple[int, int] = (40000, 4739)) -> bytes:
    return struct.pack("!HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, 0, 0x50, flags, 1000, 0, 0) + payload


def ip(content: bytes, proto: int = 17, *, v6: bool = False, source: str = "") -> bytes:
    """A packet of the family of ``v6``."""
    return b"".join(fragments(content, proto, [len(content)], v6=v6, source=source))


def fragments(
    content: bytes, proto: int, sizes: Sequence[int], *, v6: bool = False, source: str = "", identity: int = 7
) -> list[bytes]:
    """Packets that carry pieces of these sizes, each but the last a multiple of 8."""
    found, at = [], 0
    for size in sizes:
        piece, last = content[at : at + size], at + size >= len(content)
        whole = last and not at
        found.append(_v6(piece, proto, source, None if whole else (identity, at, last)) if v6
                     else _v4(piece, proto, source, (identity, at, last)))  # fmt: skip
        at += size
    return found


def _v4(piece: bytes, proto: int, source: str, place: tuple[int, int, bool]) -> bytes:
    identity, at, last = place
    ends = ipaddress.ip_address(source or EXPORTER).packed + ipaddress.ip_address(COLLECTOR).packed
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(piece), identity, at // 8 | (0 if last else 0x2000), 64, proto, 0)
        + ends
        + piece
    )


def _v6(piece: bytes, proto: int, source: str, place: tuple[int, int, bool] | None) -> bytes:
    ends = ipaddress.ip_address(source or EXPORTER_V6).packed + ipaddress.ip_address(COLLECTOR_V6).packed
    if place is not None:
        identity, at, last = place
        piece = struct.pack("!BBHI", proto, 0, at | (0 if last else 1), identity) + piece
        proto = 44
    return struct.pack("!IHBB", 0x60000000, len(piece), proto, 64) + ends + piece


def ethernet(packet: bytes, tags: Sequence[int] = ()) -> bytes:
    """A frame, with VLAN tags of these EtherTypes."""
    return bytes(12) + b"".join(struct.pack("!HH", tag, 7) for tag in tags) + ether_type(packet) + packet


def ether_type(packet: bytes) -> bytes:
    return b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"


def pcap(
    frames: Iterable[bytes], link: int = 1, order: str = "<", *, magic: int = 0xA1B2C3D4, cut: int = 1 << 18, second: int = AT_S
) -> bytes:
    """A classic capture: frame n was taken n fractions of a second after ``second``; ``cut``: the snapshot length."""
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, cut, link)]
    for number, frame in enumerate(frames):
        parts += [struct.pack(f"{order}IIII", second, number, min(len(frame), cut), len(frame)), frame[:cut]]
    return b"".join(parts)


def block(order: str, kind: int, body: bytes) -> bytes:
    """A block of pcapng."""
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int = 1, options: bytes = b"", snap: int = 0) -> bytes:
    return block(order, 1, struct.pack(f"{order}HHI", link, 0, snap) + options)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def packet_block(order: str, frame: bytes, ticks: int = 0, number: int = 0) -> bytes:
    head = struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(order, 6, head + frame)


def reading(content: bytes) -> tuple[list[Export], Counter[str], str]:
    """Everything that is in a file: exports, counts, and the damage that ended it, if any."""
    counts, damage = Counter[str](), ""
    source = Source(io.BytesIO(content).read)
    found: list[Export] = []
    try:
        found.extend(_each(source, counts))
    except WireError as error:
        damage = error.cause
    return found, counts, damage


def _each(source: Source, counts: Counter[str]) -> Iterator[Export]:
    yield from read(source, kind_of(source), counts)


def payloads(content: bytes) -> list[bytes]:
    """The payloads in a file that is whole."""
    found, _, damage = reading(content)
    assert not damage
    return [export.payload for export in found]
