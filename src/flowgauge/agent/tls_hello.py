# SPDX-License-Identifier: Apache-2.0
"""Reads the hello messages of TLS 1.0 to 1.3 (RFC 8446 §4.1, RFC 5246 §7.4.1): pure functions of bytes, which may be anything.

Before: :mod:`flowgauge.agent.hellos`, which puts the pieces of a hello together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowgauge.agent.dns_text import host_label
from flowgauge.schema.tls_words import tls_cipher, tls_group, tls_version

CLIENT_HELLO, SERVER_HELLO = 1, 2
_HANDSHAKE = 22
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS, _KEY_SHARE = 0, 16, 43, 51
_TLS_1_3 = 0x0304
_RANDOM_BYTES = 32
_LONGEST_NAME = 255


class CutOff(Exception):
    """The hello goes on behind the bytes that are there."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says: the server's name, and the application protocol it would like best; empty where it does not say."""

    server_name: str
    alpn: str = ""


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What a server chose, in words; empty: it does not say.

    Before TLS 1.3 the group is not in the hello. Since then the application protocol is not, but enciphered behind it
    (RFC 8446 §4.3.1): ``alpn`` is None, which is another thing than none chosen.
    """

    version: str
    cipher: str
    group: str
    alpn: str | None


Hello = ClientHello | ServerHello


def from_records(raw: bytes) -> Hello:
    """The hello at the beginning of a TCP connection's bytes, perhaps in several records.

    Raises:
        CutOff: it is not all there.
        ValueError: there is none, or it contradicts itself.
    """
    message, at = bytearray(), 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4]):
        if at + 5 > len(raw):
            raise CutOff
        if raw[at] != _HANDSHAKE:
            raise ValueError(f"record of type {raw[at]} within a hello")
        length = int.from_bytes(raw[at + 3 : at + 5])
        if not length:
            raise ValueError("empty record within a hello")
        message += raw[at + 5 : at + 5 + length]
        at += 5 + length
    return from_message(bytes(message))


def from_message(message: bytes) -> Hello:
    """The hello in a handshake message, which QUIC carries without records; raises as ``from_records``."""
    if len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4]):
        raise CutOff
    kind, body = message[0], _Reader(message[4 : 4 + int.from_bytes(message[1:4])])
    if kind == CLIENT_HELLO:
        return _client(body)
    if kind == SERVER_HELLO:
        return _server(body)
    raise ValueError(f"handshake message of type {kind}, not a hello")


def _client(body: _Reader) -> ClientHello:
    body.take(2 + _RANDOM_BYTES)
    body.vector(1)  # session
    body.vector(2)  # suites
    body.vector(1)  # compression
    name = alpn = ""
    for kind, value in _extensions(body):
        if kind == _SERVER_NAME:
            name = _server_name(_Reader(value))
        elif kind == _ALPN:
            alpn = _first_protocol(_Reader(value))
    return ClientHello(name, alpn)


def _server_name(body: _Reader) -> str:
    names = _Reader(body.vector(2))
    while names.left:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return ".".join(host_label(label) for label in name[:_LONGEST_NAME].removesuffix(b".").split(b"."))
    return ""


def _first_protocol(body: _Reader) -> str:
    """Of a client the one it prefers, of a server the one it chose (RFC 7301 §3.1); GREASE (RFC 8701) is none."""
    protocols = _Reader(body.vector(2))
    while protocols.left:
        name = protocols.vector(1)
        if not (len(name) == 2 and name[0] == name[1] and name[0] & 0x0F == 0x0A):
            return ".".join(host_label(part) for part in name.split(b"."))
    return ""


def _server(body: _Reader) -> ServerHello:
    version = body.number(2)
    body.take(_RANDOM_BYTES)
    body.vector(1)  # session
    cipher = body.number(2)
    body.take(1)  # compression
    group = alpn = ""
    for kind, value in _extensions(body):
        if kind == _SUPPORTED_VERSIONS:
            version = _Reader(value).number(2)
        elif kind == _KEY_SHARE:
            group = tls_group(_Reader(value).number(2))
        elif kind == _ALPN:
            alpn = _first_protocol(_Reader(value))
    return ServerHello(tls_version(version), tls_cipher(cipher), group, None if version >= _TLS_1_3 else alpn)


def _extensions(body: _Reader) -> Iterator[tuple[int, bytes]]:
    if not body.left:
        return  # hellos before TLS 1.3 may have none
    extensions = _Reader(body.vector(2))
    while extensions.left:
        yield extensions.number(2), extensions.vector(2)


class _Reader:
    """Takes bytes from the front; ValueError when there are too few."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def left(self) -> int:
        return len(self._raw) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError(f"{count} bytes where {self.left} are left")
        self._at += count
        return self._raw[self._at - count : self._at]

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets))

    def vector(self, octets: int) -> bytes:
        """Bytes behind their number, which has so many octets."""
        return self.take(self.number(octets))
