# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the programs that use it
"""Datagrams with their senders as a pcap file: Ethernet, IPv4, UDP to port 2055."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

PORT = 2055


@dataclass(frozen=True)
class Sent:
    """One datagram and its sender's address."""

    source: str
    payload: bytes


def pcap(sent: Iterable[Sent]) -> bytes:
    """The file."""
    content = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for number, one in enumerate(sent):
        ends = socket.inet_aton(one.source) + socket.inet_aton("192.0.2.100")
        head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(one.payload), number & 0xFFFF, 0, 64, 17, 0)
        udp = struct.pack("!HHHH", 40000, PORT, 8 + len(one.payload), 0)
        frame = bytes(12) + b"\x08\0" + head + ends + udp + one.payload
        content.append(struct.pack("<IIII", 1_767_000_000, 0, len(frame), len(frame)) + frame)
    return b"".join(content)
