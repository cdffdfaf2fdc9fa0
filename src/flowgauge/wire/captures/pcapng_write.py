# SPDX-License-Identifier: Apache-2.0
"""Capture files of Wireshark (pcapng, draft-ietf-opsawg-pcapng), written: one section, little-endian, times in nanoseconds.

A block is bytes that stand for themselves, so that a file that ends behind any block is whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

ETHERNET, RAW_IP = 1, 101
"""Link types: LINKTYPE_ETHERNET, and LINKTYPE_RAW for packets without a link header."""
INBOUND, OUTBOUND = 1, 2
"""Directions in ``epb_flags``."""

SECTION, INTERFACE, STATISTICS, PACKET, MARK = 0x0A0D0D0A, 1, 5, 6, 0x40000BAD
"""Types of blocks. A mark is a custom block that programs do not copy; it has no place in a file."""

_PEN = 32473
"""Private enterprise number for examples (RFC 5612): whose custom block it is."""
_COMMENT, _NANOSECONDS = 1, 9
_MAX_TEXT_BYTES = 1024
"""Of one option: names beyond it are cut."""


def section(application: str, comment: str = "") -> bytes:
    """The block that begins a file; ``application`` wrote it."""
    return _block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options([(_COMMENT, comment), (4, application)]))


def interface(name: str, description: str, link: int, snap_bytes: int) -> bytes:
    """Says what the next interface number is: the first is 0. Packets are cut to ``snap_bytes`` or less."""
    options = _options([(2, name), (3, description)], [(9, bytes([_NANOSECONDS]))])
    return _block(INTERFACE, struct.pack("<HHI", link, 0, snap_bytes) + options)


def packet(number: int, time_ns: int, data: bytes, length: int, *, direction: int = 0, comment: str = "") -> bytes:
    """A packet of interface ``number``: ``data`` is what was kept of its ``length`` bytes."""
    head = struct.pack("<IIIII", number, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), length)
    flags = [(2, struct.pack("<I", direction))] if direction else []
    return _block(PACKET, head + data + bytes(-len(data) % 4) + _options([(_COMMENT, comment)], flags))


def statistics(number: int, time_ns: int, lost: int | None = None, comment: str = "") -> bytes:
    """Says at the end that ``lost`` packets of interface ``number`` came too fast to be here (``isb_ifdrop``)."""
    head = struct.pack("<III", number, time_ns >> 32, time_ns & 0xFFFFFFFF)
    drops = [] if lost is None else [(5, struct.pack("<Q", lost))]
    return _block(STATISTICS, head + _options([(_COMMENT, comment)], drops))


def mark(time_ns: int, lost: int) -> bytes:
    """Says to who merges files: every packet until ``time_ns`` has been told, but ``lost`` of them since the file began."""
    return _block(MARK, struct.pack("<IQQ", _PEN, time_ns, lost))


def read_mark(body: bytes) -> tuple[int, int]:
    """``time_ns`` and ``lost`` of what ``mark`` made; (0, 0) for somebody else's custom block."""
    pen, time_ns, lost = struct.unpack_from("<IQQ", body) if len(body) >= 20 else (0, 0, 0)
    return (time_ns, lost) if pen == _PEN else (0, 0)


def _options(texts: Iterable[tuple[int, str]], values: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """Options with their end; nothing where there are none. Empty texts are left out."""
    given = [(code, _text(text)) for code, text in texts if text]
    parts = [struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in (*given, *values)]
    return b"".join([*parts, bytes(4)]) if parts else b""


def _text(text: str) -> bytes:
    """UTF-8, cut between characters."""
    return text.encode("utf-8", "replace")[:_MAX_TEXT_BYTES].decode("utf-8", "ignore").encode()


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length
