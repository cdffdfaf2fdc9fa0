# SPDX-License-Identifier: Apache-2.0
"""One connection of an exporter: TLS handshake, bytes into IPFIX messages (RFC 7011 §10.4), nothing unbounded.

Templates and sequence numbers live as long as the session (RFC 7011 §8), so each has a decoder of its own, which the decode
thread makes and uses; everything else here is of the stream thread.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flowgauge.flow.addresses import packed, to_text
from flowgauge.wire.datagrams import Datagrams, neighbours
from flowgauge.wire.decoder import Decoder

READ_BYTES = 1 << 18
"""Read of one connection in one turn: 256 KiB, then the others have their turn."""

_IPFIX, _HEADER_BYTES = 10, 16
_BEGINNING = struct.Struct("!HH")


class NotIpfix(Exception):
    """The peer sends something else; the stream cannot be found back into (RFC 7011 §10.4.3)."""


class Session:
    """A connection.

    Args:
        sock: non-blocking; for TLS wrapped, its handshake not done.
        peer: the sender's address and port.
        now: by the monotonic clock.
    """

    def __init__(self, sock: socket.socket, peer: tuple[str, int], now: float) -> None:
        self.sock = sock
        self.sender = packed(peer[0].partition("%")[0])
        self.peer = (to_text(self.sender), peer[1])
        self.opened_at = self.heard_at = now
        self.established = not isinstance(sock, ssl.SSLSocket)
        self.decoder: Decoder | None = None
        self.ended = False
        """Whether its last messages were handed on."""
        self.messages: list[bytes] = []
        self.bytes = 0
        """Of the messages that were not handed on yet."""
        self.first_at = 0.0
        self.begun_at = 0.0
        """When the message that is not whole yet began to come; 0 when there is none."""
        self._buffer = bytearray()

    def shake_hands(self) -> tuple[bool, bool]:
        """Goes on with the TLS handshake: (done, waiting to write rather than to read); ssl.SSLError when it failed."""
        assert isinstance(self.sock, ssl.SSLSocket)  # noqa: S101 - else it is established
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return False, False
        except ssl.SSLWantWriteError:
            return False, True
        self.established = True
        return True, False

    def read(self, now: float) -> tuple[int, bool]:
        """(bytes that came, whether the peer has ended); OSError and NotIpfix when there is no going on."""
        got = 0
        while got < READ_BYTES:
            try:
                data = self.sock.recv(1 << 16)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return got, False
            except ssl.SSLEOFError:
                return got, True
            if not data:
                return got, True
            got += len(data)
            self._cut(data, now)
        return got, False

    def take(self) -> list[bytes]:
        """The messages that came since the last call."""
        messages, self.messages, self.bytes = self.messages, [], 0
        return messages

    def _cut(self, data: bytes, now: float) -> None:
        """Whole messages out of what came; the rest, less than one message, waits."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _BEGINNING.size:
            version, length = _BEGINNING.unpack_from(buffer, at)
            if version != _IPFIX or length < _HEADER_BYTES:
                raise NotIpfix(f"version 10 and a length of at least 16 expected, {version} and {length} found")
            if len(buffer) - at < length:
                break
            if not self.messages:
                self.first_at = now
            self.messages.append(bytes(buffer[at : at + length]))
            self.bytes += length
            self.heard_at = now
            at += length
        del buffer[:at]
        self.begun_at = (self.begun_at if at == 0 and self.begun_at else now) if buffer else 0.0


@dataclass(slots=True, eq=False)
class Messages:
    """Messages of one session, on their way to the decoder."""

    session: Session
    messages: list[bytes]
    received_ns: int
    release: Callable[[int], None]

    @property
    def count(self) -> int:
        """How many."""
        return len(self.messages)

    def datagrams(self) -> Iterator[Datagrams]:
        """Them, in their order, as the decoder takes them."""
        for rows in neighbours(self.messages):
            part = self.messages[rows]
            senders, ports = self.session.sender * len(part), [self.session.peer[1]] * len(part)
            yield Datagrams.laid_out(part, senders, ports, self.received_ns)

    def done(self, flows: int) -> None:  # noqa: ARG002 - as a block's
        """They are not needed any more."""
        self.release(sum(map(len, self.messages)))
