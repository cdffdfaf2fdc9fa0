# SPDX-License-Identifier: Apache-2.0
"""Classic capture files of tcpdump: either byte order, times in µs or ns."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from flowgauge.errors import WireError
from flowgauge.wire.captures.packet import MAX_PACKET_BYTES, Packet
from flowgauge.wire.captures.source import Source

_NS_OF_FRACTION = {0xA1B2C3D4: 1_000, 0xA1B23C4D: 1, 0xA1B2CD34: 1_000}
_PATCHED_MAGIC = 0xA1B2CD34
"""Written by a patched libpcap of old distributions: eight more bytes in each record header."""
HEADER_BYTES = 24


def byte_order(magic: bytes) -> str:
    """How numbers are written in a file that begins with these four bytes: ``<`` or ``>``; empty when it is no such file."""
    for order in "<>":
        if len(magic) == 4 and struct.unpack(f"{order}I", magic)[0] in _NS_OF_FRACTION:
            return order
    return ""


def packets(source: Source) -> Iterator[Packet]:
    """The packets of a file whose beginning ``byte_order`` knows.

    Raises:
        WireError: the file ends within a packet, or is damaged; what was before has been given.
    """
    header = source.take(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        raise WireError("capture_header", offset=0, expected=f"{HEADER_BYTES} bytes", found=f"{len(header)}")
    order = byte_order(header[:4])
    magic, link = struct.unpack(f"{order}I16xI", header)
    link &= 0xFFFF  # the upper bits tell the length of frame check sequences
    scale = _NS_OF_FRACTION[magic]
    record = struct.Struct(f"{order}IIII8x" if magic == _PATCHED_MAGIC else f"{order}IIII")
    take, unpack, size = source.take, record.unpack, record.size
    while len(head := take(size)) == size:
        second, fraction, captured, length = unpack(head)
        if captured > MAX_PACKET_BYTES:
            raise WireError(
                "capture_packet", offset=source.at - size, expected=f"at most {MAX_PACKET_BYTES} bytes", found=f"{captured}"
            )
        data = take(captured)
        if len(data) < captured:
            raise _cut_off(source, captured, len(data))
        yield Packet(link, second * 1_000_000_000 + fraction * scale, data, length)
    if head:
        raise _cut_off(source, size, len(head))


def _cut_off(source: Source, wanted: int, found: int) -> WireError:
    return WireError("capture_cut_off", offset=source.at, expected=f"{wanted} bytes", found=f"end of file after {found}")
