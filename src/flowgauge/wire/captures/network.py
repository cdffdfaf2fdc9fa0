# SPDX-License-Identifier: Apache-2.0
"""IPv4 and IPv6 headers of captured packets, their fragments put together again."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from flowgauge.flow.addresses import V4_MAPPED_PREFIX

UDP, TCP = 17, 6
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION})
MAX_EXTENSIONS = 16
"""Extension headers passed over in one IPv6 packet."""

MAX_DATAGRAMS = 512
"""Datagrams of which fragments wait; beyond it the oldest is given up."""
MAX_DATAGRAM_BYTES = 65_535
MAX_WAITING_BYTES = 8 << 20
"""Bytes of waiting fragments in all."""
MAX_DONE = 512
"""Datagrams remembered as whole, so that fragments which come twice begin no new ones."""
MAX_AGE_NS = 60_000_000_000
"""How long fragments wait (RFC 8200 §4.5: 60 s)."""


class Transport(NamedTuple):
    """What an IP packet carries: ``missing`` bytes of it were not captured."""

    proto: int
    sender: bytes
    receiver: bytes
    payload: bytes
    missing: int


class _Piece(NamedTuple):
    """Where a payload belongs: ``offset`` in its datagram ``identity``, ``last`` when none follows."""

    transport: Transport
    identity: bytes
    offset: int
    last: bool


def read_ip(packet: bytes, fragments: Fragments, time_ns: int) -> Transport | None:
    """What a packet carries; None when it is no IP packet, or a fragment whose others have not come yet."""
    version = packet[0] >> 4 if packet else 0
    piece = _read_v4(packet) if version == 4 else _read_v6(packet) if version == 6 else None
    if piece is None:
        return None
    if piece.last and not piece.offset:
        return piece.transport
    return fragments.add(piece, time_ns)


def _read_v4(packet: bytes) -> _Piece | None:
    header = (packet[0] & 0x0F) * 4
    if header < 20 or len(packet) < header:
        return None
    total = int.from_bytes(packet[2:4], "big") or len(packet)  # 0: a segment that the network card was to cut
    flags = int.from_bytes(packet[6:8], "big")
    sender, receiver = V4_MAPPED_PREFIX + packet[12:16], V4_MAPPED_PREFIX + packet[16:20]
    proto, offset, last = packet[9], (flags & 0x1FFF) * 8, not flags & 0x2000
    if proto == _AUTHENTICATION and not offset and last and len(packet) >= header + 2:
        proto, header = packet[header], header + (packet[header + 1] + 2) * 4
    transport = Transport(proto, sender, receiver, packet[header:total], max(total - len(packet), 0))
    return _Piece(transport, packet[4:6], offset, last)


def _read_v6(packet: bytes) -> _Piece | None:
    if len(packet) < 40:
        return None
    total = 40 + int.from_bytes(packet[4:6], "big")
    if total == 40:
        total = len(packet)
    proto, at, identity, offset, last = packet[6], 40, b"", 0, True
    for _ in range(MAX_EXTENSIONS):
        if proto not in _EXTENSIONS or offset:
            break
        if len(packet) - at < 8:
            return None
        if proto == _FRAGMENT:
            place = int.from_bytes(packet[at + 2 : at + 4], "big")
            identity, offset, last = packet[at + 4 : at + 8], place & 0xFFF8, not place & 1
            proto, at = packet[at], at + 8
            continue
        length = (packet[at + 1] + 2) * 4 if proto == _AUTHENTICATION else (packet[at + 1] + 1) * 8
        proto, at = packet[at], at + length
    transport = Transport(proto, packet[8:24], packet[24:40], packet[at:total], max(total - len(packet), 0))
    return _Piece(transport, identity, offset, last)


@dataclass(slots=True)
class _Waiting:
    """The fragments of one datagram so far."""

    since_ns: int
    total: int = -1
    size: int = 0
    missing: int = 0
    pieces: dict[int, bytes] = field(default_factory=dict)

    def joined(self) -> bytes | None:
        """The whole, once it is. Of what came twice the first counts."""
        whole = bytearray()
        for offset in sorted(self.pieces):
            if offset > len(whole):
                return None
            whole += self.pieces[offset][len(whole) - offset :]
        return bytes(whole[: self.total]) if len(whole) >= self.total else None


_Key = tuple[int, bytes, bytes, bytes]
"""Protocol, sender, receiver, identification."""


class Fragments:
    """Puts fragments together, in any order; ``counts`` gets ``fragments_given_up``: datagrams that never were whole.

    Where a capture's snapshot length cut the first fragment, that is all there is of the datagram.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._bytes = 0
        self._waiting: OrderedDict[_Key, _Waiting] = OrderedDict()
        self._done: OrderedDict[_Key, None] = OrderedDict()

    def add(self, piece: _Piece, time_ns: int) -> Transport | None:
        """Takes a fragment; the datagram if it is the last one missing."""
        transport = piece.transport
        key = transport.proto, transport.sender, transport.receiver, piece.identity
        if key in self._done:
            return None
        self._drop_old(time_ns)
        if transport.missing and not piece.offset:  # nothing joins it: what follows begins behind what was not captured
            if key in self._waiting:
                self._forget(key)
            self._finished(key)
            return transport
        known = self._waiting.setdefault(key, _Waiting(time_ns))
        payload = transport.payload
        if piece.offset + len(payload) > MAX_DATAGRAM_BYTES or piece.offset in known.pieces:
            return None
        known.pieces[piece.offset] = payload
        known.size += len(payload)
        known.missing += transport.missing
        self._bytes += len(payload)
        if piece.last:
            known.total = piece.offset + len(payload)
        whole = known.joined() if known.total >= 0 and known.size >= known.total else None
        if whole is None:
            self._bound()
            return None
        self._forget(key)
        self._finished(key)
        return transport._replace(payload=whole, missing=known.missing)

    def finish(self) -> None:
        """Gives up what is not whole."""
        while self._waiting:
            self._give_up()

    def _drop_old(self, time_ns: int) -> None:
        while self._waiting and time_ns - next(iter(self._waiting.values())).since_ns > MAX_AGE_NS:
            self._give_up()

    def _bound(self) -> None:
        while len(self._waiting) > MAX_DATAGRAMS or self._bytes > MAX_WAITING_BYTES:
            self._give_up()

    def _give_up(self) -> None:
        self._forget(next(iter(self._waiting)))
        self._counts["fragments_given_up"] += 1

    def _finished(self, key: _Key) -> None:
        self._done[key] = None
        if len(self._done) > MAX_DONE:
            self._done.popitem(last=False)

    def _forget(self, key: _Key) -> None:
        self._bytes -= self._waiting.pop(key).size
