# SPDX-License-Identifier: Apache-2.0
"""Files that hold flow exports, whatever kind they are: told by their first bytes, never by their names.

Captures (pcap, pcapng), IPFIX files (RFC 5655: messages one after the other), and single payloads as sent over UDP.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

from flowgauge.errors import WireError
from flowgauge.wire.captures import pcap, pcapng
from flowgauge.wire.captures.exports import exports
from flowgauge.wire.captures.packet import Export
from flowgauge.wire.captures.recognise import protocol
from flowgauge.wire.captures.source import Source
from flowgauge.wire.ipfix import HEADER_BYTES, VERSION

MAX_PAYLOAD_BYTES = 65_535
"""Longest payload of a UDP datagram, and longest message of IPFIX."""


class FileKind(StrEnum):
    """What a file is."""

    PCAP = "pcap"
    PCAPNG = "pcapng"
    IPFIX = "IPFIX file"
    PAYLOAD = "single payload"
    UNKNOWN = "unknown"


def kind_of(source: Source) -> FileKind:
    """What the file is, by its first bytes, which stay unread."""
    head = source.peek(8)
    if pcap.byte_order(head[:4]):
        return FileKind.PCAP
    if head[:4] == pcapng.MAGIC:
        return FileKind.PCAPNG
    version = protocol(head)
    if version == VERSION:
        return FileKind.IPFIX
    return FileKind.PAYLOAD if version else FileKind.UNKNOWN


def read(source: Source, kind: FileKind, counts: Counter[str]) -> Iterator[Export]:
    """The exports in a file of that kind; for the counts see ``exports``. An unknown kind is read as one payload.

    Raises:
        WireError: the file is damaged there; what was before has been given.
    """
    if kind is FileKind.PCAP:
        return exports(pcap.packets(source), counts)
    if kind is FileKind.PCAPNG:
        return exports(pcapng.packets(source), counts)
    return _messages(source) if kind is FileKind.IPFIX else _payload(source)


def _messages(source: Source) -> Iterator[Export]:
    """The messages of an IPFIX file. From one whose header is wrong on, the rest is one piece: the decoder names the place.

    Of the last message of a file that was cut off there is only the beginning.
    """
    while len(head := source.peek(4)) == 4:
        version, length = struct.unpack("!HH", head)
        if version != VERSION or length < HEADER_BYTES:
            break
        message = source.take(length)
        yield Export(message, missing=length - len(message))
    if rest := source.take(MAX_PAYLOAD_BYTES):
        yield Export(rest)
    if source.peek(1):
        raise WireError("file_message", offset=source.at, expected="IPFIX messages", found="something else")


def _payload(source: Source) -> Iterator[Export]:
    payload = source.take(MAX_PAYLOAD_BYTES)
    yield Export(payload)
    if source.peek(1):
        raise WireError("payload_length", offset=source.at, expected=f"at most {MAX_PAYLOAD_BYTES} bytes", found="more")
