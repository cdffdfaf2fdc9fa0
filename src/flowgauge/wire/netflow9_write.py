# SPDX-License-Identifier: Apache-2.0
"""Writes NetFlow v9 export packets (RFC 3954 §5): the same pieces as IPFIX, in another envelope."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from flowgauge.wire.ipfix_write import Piece, Written
from flowgauge.wire.layout import Field

HEADER_BYTES = 20
TEMPLATE_FLOWSET, OPTIONS_FLOWSET = 0, 1

_HEADER = struct.Struct("!HHIIII")
_SPECIFIER_BYTES = 4
_ALIGNMENT = 4
"""Flowsets end at a multiple of this (RFC 3954 §5.3), with padding that their length includes."""


def template_flowset(record: bytes) -> Piece:
    """A flowset of one template; its ``records`` are 0, as of what holds no data."""
    return Piece(struct.pack("!HH", TEMPLATE_FLOWSET, 4 + len(record)) + record, 0)


SYSTEM_SCOPE, INTERFACE_SCOPE = 1, 2
"""Scopes of options (RFC 3954 §6.1): a number space of their own."""


def options_template_flowset(template_id: int, scope: Field, options: Sequence[Field]) -> Piece:
    """A flowset of one options template with one scope; lengths are in bytes (RFC 3954 §6.1)."""
    fields = [scope, *options]
    head = struct.pack("!HHH", template_id, _SPECIFIER_BYTES, _SPECIFIER_BYTES * len(options))
    body = head + b"".join(struct.pack("!HH", field.number, field.length) for field in fields)
    return Piece(struct.pack("!HH", OPTIONS_FLOWSET, 4 + len(body)) + body, 0)


class PacketWriter:
    """Puts flowsets into packets of one source; like ``ipfix_write.MessageWriter``.

    Args:
        source_id: of the observation domain.
        mtu_bytes: longest packet.
        started_s: when the source began, for the header's uptime.
    """

    def __init__(self, source_id: int, mtu_bytes: int, started_s: int) -> None:
        self._source_id, self._started_s = source_id, started_s
        self.room = (mtu_bytes - HEADER_BYTES) // _ALIGNMENT * _ALIGNMENT

    def messages(self, pieces: Iterable[Piece], export_s: int) -> list[Written]:
        """The pieces in order, several to a packet where they fit; sequence numbers are zero."""
        written: list[Written] = []
        waiting: list[Piece] = []
        size = 0
        for piece in map(_padded, pieces):
            if waiting and size + len(piece.content) > self.room:
                written.append(self._packet(waiting, export_s))
                waiting, size = [], 0
            waiting.append(piece)
            size += len(piece.content)
        if waiting:
            written.append(self._packet(waiting, export_s))
        return written

    def _packet(self, pieces: list[Piece], export_s: int) -> Written:
        """The header's count is of records, templates included (RFC 3954 §5.1)."""
        count = sum(piece.records or 1 for piece in pieces)
        uptime_ms = max(0, export_s - self._started_s) * 1000
        header = _HEADER.pack(9, count, uptime_ms & 0xFFFFFFFF, export_s & 0xFFFFFFFF, 0, self._source_id)
        return Written(header + b"".join(piece.content for piece in pieces), sum(piece.records for piece in pieces))


def _padded(piece: Piece) -> Piece:
    missing = -len(piece.content) % _ALIGNMENT
    if not missing:
        return piece
    length = struct.pack("!H", len(piece.content) + missing)
    return Piece(piece.content[:2] + length + piece.content[4:] + bytes(missing), piece.records)
