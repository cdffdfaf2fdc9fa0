# SPDX-License-Identifier: Apache-2.0
"""IPFIX messages out of captured TCP streams (RFC 7011 §10.4): in order, without what was sent twice, within bounds.

A stream is one direction of a connection. What its first bytes tell not to be IPFIX is not looked at again.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from enum import Enum

from flowgauge.wire.ipfix import FIRST_DATA_SET, HEADER_BYTES, OPTIONS_TEMPLATE_SET, SET_HEADER_BYTES, TEMPLATE_SET, VERSION

MAX_STREAMS = 4096
"""Directions of connections remembered; beyond it the one not seen for longest goes."""
MAX_HELD_BYTES = 1 << 20
"""Bytes of one stream held behind a gap: what a window of that size can have in flight."""
MAX_HELD_SEGMENTS = 1024
MAX_HELD_IN_ALL_BYTES = 32 << 20

_SYN = 0x02
_BEGINNING = struct.Struct(f"!HH{HEADER_BYTES - 4}xHH")
_HALF, _MODULUS = 1 << 31, 1 << 32


class _State(Enum):
    """What is known of a stream."""

    NEW = "new"
    IPFIX = "ipfix"
    OTHER = "other"


class _Stream:
    """One direction of a connection: ``expected`` is the sequence number of the next byte, None before the first."""

    __slots__ = ("buffer", "expected", "held", "held_bytes", "state")

    def __init__(self) -> None:
        self.state = _State.NEW
        self.expected: int | None = None
        self.buffer = bytearray()
        self.held: dict[int, bytes] = {}
        self.held_bytes = 0


class TcpStreams:
    """All streams of one capture.

    ``counts`` gets ``tcp_gaps``: places where bytes of an IPFIX stream were not captured, so that messages are missing.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._streams: OrderedDict[tuple[bytes, bytes, bytes], _Stream] = OrderedDict()
        self._held_bytes = 0

    def add(self, sender: bytes, receiver: bytes, segment: bytes) -> list[bytes]:
        """Takes a segment, TCP header first; the messages that are whole with it."""
        if len(segment) < 20:
            return []
        sequence, flags, begin = int.from_bytes(segment[4:8], "big"), segment[13], (segment[12] >> 4) * 4
        key = sender, receiver, segment[:4]
        stream = self._streams.get(key)
        if flags & _SYN:
            if stream is not None:
                self._forget(key)
            stream = self._streams[key] = _Stream()
            stream.expected = sequence = (sequence + 1) % _MODULUS
        payload = segment[begin:]
        if not payload:
            return []
        if stream is None:
            stream = self._streams[key] = _Stream()
        self._streams.move_to_end(key)
        if stream.state is _State.OTHER:
            return []
        found = self._take(stream, sequence, payload)
        self._bound()
        return found

    def finish(self) -> list[tuple[bytes, bytes, list[bytes]]]:
        """What lies behind gaps that nothing has filled: (sender, ports, messages) of each stream."""
        found = []
        for (sender, _, ports), stream in self._streams.items():
            messages: list[bytes] = []
            while stream.held:
                messages += self._pass_gap(stream)
            if stream.buffer:
                self._counts["tcp_gaps"] += 1
            if messages:
                found.append((sender, ports, messages))
        self._streams.clear()
        return found

    def _take(self, stream: _Stream, sequence: int, payload: bytes) -> list[bytes]:
        if stream.expected is None:  # the capture began in the middle of the connection
            if not begins_message(payload):
                return []
            stream.expected = sequence
        ahead = _distance(sequence, stream.expected)
        if ahead > 0:
            self._hold(stream, sequence, payload)
            full = stream.held_bytes > MAX_HELD_BYTES or len(stream.held) > MAX_HELD_SEGMENTS
            return self._pass_gap(stream) if full else []
        if len(payload) + ahead <= 0:
            return []  # sent again
        self._append(stream, payload[-ahead:])
        return _messages(stream)

    def _append(self, stream: _Stream, payload: bytes) -> None:
        """Adds the next bytes, and what was held behind them."""
        assert stream.expected is not None  # noqa: S101 - for the type checker
        stream.buffer += payload
        stream.expected = (stream.expected + len(payload)) % _MODULUS
        while stream.held:
            ready = [number for number in stream.held if _distance(number, stream.expected) <= 0]
            if not ready:
                return
            for number in sorted(ready, key=lambda one: _distance(one, stream.expected or 0)):
                held = self._release(stream, number)
                fresh = held[-_distance(number, stream.expected) :]
                stream.buffer += fresh
                stream.expected = (stream.expected + len(fresh)) % _MODULUS

    def _hold(self, stream: _Stream, sequence: int, payload: bytes) -> None:
        known = stream.held.get(sequence, b"")
        if len(payload) > len(known):
            stream.held[sequence] = payload
            stream.held_bytes += len(payload) - len(known)
            self._held_bytes += len(payload) - len(known)

    def _release(self, stream: _Stream, number: int) -> bytes:
        held = stream.held.pop(number)
        stream.held_bytes -= len(held)
        self._held_bytes -= len(held)
        return held

    def _pass_gap(self, stream: _Stream) -> list[bytes]:
        """Gives up what is missing, and goes on at the next held segment that begins a message."""
        base = stream.expected or 0
        if stream.state is _State.IPFIX:
            self._counts["tcp_gaps"] += 1
        stream.buffer.clear()
        for number in sorted(stream.held, key=lambda one: _distance(one, base)):
            payload = self._release(stream, number)
            if begins_message(payload):
                stream.expected = number
                self._append(stream, payload)
                return _messages(stream)
        stream.expected = None
        return []

    def _bound(self) -> None:
        while len(self._streams) > MAX_STREAMS or self._held_bytes > MAX_HELD_IN_ALL_BYTES:
            self._forget(next(iter(self._streams)))

    def _forget(self, key: tuple[bytes, bytes, bytes]) -> None:
        stream = self._streams.pop(key)
        self._held_bytes -= stream.held_bytes
        if stream.state is _State.IPFIX and (stream.held or stream.buffer):
            self._counts["tcp_gaps"] += 1


def begins_message(payload: bytes) -> bool:
    """Whether these bytes look like the beginning of an IPFIX message: a header and that of a first set."""
    if len(payload) < HEADER_BYTES + SET_HEADER_BYTES:
        return False
    version, length, set_id, set_length = _BEGINNING.unpack_from(payload)
    known_set = set_id in (TEMPLATE_SET, OPTIONS_TEMPLATE_SET) or set_id >= FIRST_DATA_SET
    return bool(version == VERSION and known_set and SET_HEADER_BYTES <= set_length <= length - HEADER_BYTES)


def _messages(stream: _Stream) -> list[bytes]:
    """Cuts whole messages off the stream; one that cannot be one ends it until a segment begins with a message again."""
    found: list[bytes] = []
    buffer = stream.buffer
    while len(buffer) >= 4:
        version, length = struct.unpack_from("!HH", buffer)
        if version != VERSION or length < HEADER_BYTES:
            if stream.state is _State.NEW:
                stream.state = _State.OTHER
            else:
                found.append(bytes(buffer[:65_535]))  # the decoder names what is wrong with it
            stream.expected = None
            buffer.clear()
            break
        if len(buffer) < length:
            break
        stream.state = _State.IPFIX
        found.append(bytes(buffer[:length]))
        del buffer[:length]
    return found


def _distance(number: int, base: int) -> int:
    """How far ``number`` is ahead of ``base``, modulo 2³²; negative when it is behind."""
    return (number - base + _HALF) % _MODULUS - _HALF
