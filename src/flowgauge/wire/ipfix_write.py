# SPDX-License-Identifier: Apache-2.0
"""Writes IPFIX messages: template records, sets, and messages no longer than the network takes (RFC 7011 §3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flowgauge.wire.ipfix import HEADER_BYTES, OPTIONS_TEMPLATE_SET, SET_HEADER_BYTES, TEMPLATE_SET, VERSION
from flowgauge.wire.layout import Field

_ENTERPRISE_BIT = 0x8000
_SHORT_LENGTHS = 255
_HEADER = struct.Struct("!HHIII")


class Piece(NamedTuple):
    """A whole set, and how many data records it holds."""

    content: bytes
    records: int


class Written(NamedTuple):
    """One message whose sequence number is still zero (whoever sends it sets it), and its number of data records."""

    payload: bytes
    records: int


def data_set(set_id: int, content: bytes | memoryview) -> bytes:
    """A set of records."""
    return struct.pack("!HH", set_id, SET_HEADER_BYTES + len(content)) + content


def template_set(records: Sequence[bytes], *, options: bool = False) -> bytes:
    """A set of template records."""
    return data_set(OPTIONS_TEMPLATE_SET if options else TEMPLATE_SET, b"".join(records))


def template_record(template_id: int, fields: Sequence[Field], scope_count: int = 0) -> bytes:
    """One template; with ``scope_count`` an options template whose first fields are its scope."""
    header = struct.pack("!HH", template_id, len(fields)) + (struct.pack("!H", scope_count) if scope_count else b"")
    return header + b"".join(map(_specifier, fields))


def _specifier(field: Field) -> bytes:
    if field.enterprise:
        return struct.pack("!HHI", field.number | _ENTERPRISE_BIT, field.length, field.enterprise)
    return struct.pack("!HH", field.number, field.length)


def variable(value: bytes) -> bytes:
    """A value of variable length with its length before it (RFC 7011 §7)."""
    if len(value) < _SHORT_LENGTHS:
        return bytes((len(value),)) + value
    return struct.pack("!BH", _SHORT_LENGTHS, len(value)) + value


def in_sets(set_id: int, records: Iterable[bytes], room: int) -> list[Piece]:
    """Records of varying length in as few sets of at most ``room`` bytes as their order allows."""
    pieces: list[Piece] = []
    waiting: list[bytes] = []
    size = SET_HEADER_BYTES
    for record in records:
        if waiting and size + len(record) > room:
            pieces.append(Piece(data_set(set_id, b"".join(waiting)), len(waiting)))
            waiting, size = [], SET_HEADER_BYTES
        waiting.append(record)
        size += len(record)
    if waiting:
        pieces.append(Piece(data_set(set_id, b"".join(waiting)), len(waiting)))
    return pieces


class MessageWriter:
    """Puts sets into messages of one observation domain.

    Args:
        domain: observation domain.
        mtu_bytes: longest message.
    """

    def __init__(self, domain: int, mtu_bytes: int) -> None:
        self._domain = domain
        self.room = mtu_bytes - HEADER_BYTES

    def messages(self, pieces: Iterable[Piece], export_s: int) -> list[Written]:
        """The pieces in order, several to a message where they fit."""
        written: list[Written] = []
        waiting: list[bytes] = []
        size = records = 0
        for content, count in pieces:
            if waiting and size + len(content) > self.room:
                written.append(Written(self._header(size, export_s) + b"".join(waiting), records))
                waiting, size, records = [], 0, 0
            waiting.append(content)
            size += len(content)
            records += count
        if waiting:
            written.append(Written(self._header(size, export_s) + b"".join(waiting), records))
        return written

    def _header(self, size: int, export_s: int) -> bytes:
        return _HEADER.pack(VERSION, HEADER_BYTES + size, export_s & 0xFFFFFFFF, 0, self._domain)
