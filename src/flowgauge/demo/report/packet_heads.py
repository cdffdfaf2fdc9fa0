# SPDX-License-Identifier: Apache-2.0
"""Packet heads of one connection, cut from what agents keep, against what its client's socket counted.

The capture file is read here block by block (pcapng, draft-ietf-opsawg-pcapng-01, sections 4.1 to 4.3), not by what reads
captures elsewhere in Flowgauge. A connection is captured at every device that it passes: those of one of them are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from flowgauge.demo.report.score import Score, judged

HEADS = "packet heads of a connection"
PAYLOAD = "bytes of a connection's payload among its heads"
CHECKED = (HEADS, PAYLOAD)
_WHERE = "in a capture of the past"

_INTERFACE, _PACKET = 1, 6
_IF_NAME = 2
_FEWEST_BYTES = 12
_ETHERNET_BYTES, _IPV4 = 14, b"\x08\x00"


@dataclass(frozen=True, slots=True)
class Head:
    """One packet of a capture file: the device's name, its bytes that are there, and how many it had."""

    device: str
    data: bytes
    length: int


def heads(capture: bytes) -> Iterator[Head]:
    """Every packet of a little-endian capture file; ends at what is no block."""
    devices: list[str] = []
    at = 0
    while len(capture) - at >= _FEWEST_BYTES:
        kind, length = struct.unpack_from("<II", capture, at)
        if length < _FEWEST_BYTES or at + length > len(capture):
            return
        body = capture[at + 8 : at + length - 4]
        if kind == _INTERFACE:
            devices.append(_name(body[8:]))
        elif kind == _PACKET:
            number, _, _, captured, whole = struct.unpack_from("<5I", body)
            yield Head(devices[number], body[20 : 20 + captured], whole)
        at += length


def scores(capture: bytes, device: str, packets: int) -> list[Score]:
    """Of a connection over IPv4 that ``device`` passed on, of which a socket counted ``packets`` in both directions."""
    found = [head for head in heads(capture) if head.device == device]
    payload = sum(max(len(head.data) - _header_bytes(head.data), 0) for head in found)
    return [
        judged(
            HEADS,
            len(found),
            packets,
            abs(len(found) - packets),
            0,
            source="tcpi_segs_out and tcpi_segs_in of its client",
            where=_WHERE,
        ),
        judged(PAYLOAD, payload, 0, payload, 0, source="the lengths that its headers tell", where=_WHERE),
    ]


def _name(options: bytes) -> str:
    """The option ``if_name``; empty without it."""
    at = 0
    while len(options) - at >= 4:
        code, length = struct.unpack_from("<HH", options, at)
        if code == _IF_NAME:
            return options[at + 4 : at + 4 + length].decode("utf-8", "replace")
        at += 4 + length + -length % 4
    return ""


def _header_bytes(data: bytes) -> int:
    """Of Ethernet, IPv4 and TCP; of anything else of Ethernet alone, so that what follows is payload."""
    if len(data) < _ETHERNET_BYTES + 20 or data[12:14] != _IPV4:
        return _ETHERNET_BYTES
    tcp = _ETHERNET_BYTES + 4 * (data[_ETHERNET_BYTES] & 0x0F)
    return tcp + 4 * (data[tcp + 12] >> 4) if len(data) > tcp + 12 else tcp
