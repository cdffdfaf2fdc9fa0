# SPDX-License-Identifier: Apache-2.0
"""What a capture file holds: packets; and what comes out of them: payloads that exporters sent."""

from __future__ import annotations

from typing import NamedTuple

MAX_PACKET_BYTES = 1 << 18
"""Longest packet believed, as in libpcap (MAXIMUM_SNAPLEN); a longer one means a damaged file."""
MAX_TIME_NS = (1 << 63) - 1


class Packet(NamedTuple):
    """One captured packet.

    Attributes:
        link: link type (the registry of tcpdump.org), which says how ``data`` begins.
        time_ns: time of capture, ns since 1970 UTC; 0 = not known.
        data: as captured; ``length`` bytes were on the network.
    """

    link: int
    time_ns: int
    data: bytes
    length: int


class Export(NamedTuple):
    """One payload that an exporter sent: of a UDP datagram, one message of a TCP stream or of a file.

    Attributes:
        sender: 16 bytes; all zero where a file does not say.
        port: the sender's.
        time_ns: time of capture; 0 = not known.
        frame: number of the packet in its file, from 1, as other tools count them; 0 = the file has no packets.
        missing: bytes at its end that were sent and are not in the file.
    """

    payload: bytes
    sender: bytes = bytes(16)
    port: int = 0
    time_ns: int = 0
    frame: int = 0
    missing: int = 0
