# SPDX-License-Identifier: Apache-2.0
"""HTTP/3 over QUIC by aioquic, one blocking UDP socket at each end: for the programs of the scene, which run by path."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aioquic.buffer import Buffer
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicPacketType, pull_quic_header

VERSIONS = (0x00000001, 0x6B3343CF)
"""QUIC v1 (RFC 9000) and v2 (RFC 9369)."""
_DATAGRAM_BYTES = 65_535
_IDLE_S = 5.0
_SHORTEST_INITIAL = 1200
"""Of a client's first datagram (RFC 9000 §14.1)."""

Peer = tuple[str, int]
Agreed = dict[str, Any]
"""What an end says of a connection: ``version``, ``cipher``, ``sni``, ``alpn``, ``quic``."""


@dataclass(slots=True)
class _Talk:
    """A connection and the HTTP/3 on it; ``version`` of QUIC is a number."""

    quic: QuicConnection
    http: H3Connection
    version: int
    ended: bool = False

    def agreed(self, server_name: str) -> Agreed:
        """As this end's library has it, once the handshake is complete."""
        tls = self.quic.tls
        cipher = f"TLS_{tls.key_schedule.cipher_suite.name}"
        return {
            "version": "TLSv1.3", "cipher": cipher, "sni": server_name, "alpn": tls.alpn_negotiated, "quic": self.version,
        }  # fmt: skip

    def take(self, datagram: bytes, peer: Peer) -> Iterator[Any]:
        """What a datagram brings: events of HTTP/3."""
        self.quic.receive_datagram(datagram, peer, time.monotonic())
        yield from self.events()

    def events(self) -> Iterator[Any]:
        """What has happened."""
        while (event := self.quic.next_event()) is not None:
            self.ended = self.ended or isinstance(event, ConnectionTerminated)
            yield from self.http.handle_event(event)

    def send(self, sock: socket.socket) -> None:
        """Sends what is due."""
        for datagram, peer in self.quic.datagrams_to_send(time.monotonic()):
            sock.sendto(datagram, peer)

    def wait_s(self) -> float:
        """How long until its timer."""
        due = self.quic.get_timer()
        return _IDLE_S if due is None else max(due - time.monotonic(), 0.001)

    def wake(self) -> None:
        """Its timer may be due."""
        due = self.quic.get_timer()
        if due is not None and due <= time.monotonic():
            self.quic.handle_timer(time.monotonic())


def ask(sock: socket.socket, name: str, *, version: int, ca_file: str, within_s: float) -> Agreed:
    """Asks the server that ``sock`` is connected to for ``https://name/pay`` and closes; returns what was agreed on.

    Raises:
        OSError: no whole answer came in time, or the server is not there.
    """
    settings = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name=name, idle_timeout=_IDLE_S,
        original_version=version, supported_versions=[version],
    )  # fmt: skip
    settings.load_verify_locations(ca_file)
    quic = QuicConnection(configuration=settings)
    talk = _Talk(quic, H3Connection(quic), version)
    quic.connect(sock.getpeername(), time.monotonic())
    stream = quic.get_next_available_stream_id()
    head = {":method": "GET", ":scheme": "https", ":authority": name, ":path": "/pay"}
    talk.http.send_headers(stream, [(key.encode(), value.encode()) for key, value in head.items()], end_stream=True)
    agreed: Agreed | None = None
    deadline = time.monotonic() + within_s
    while not talk.ended:
        if time.monotonic() > deadline:
            raise TimeoutError("no answer over QUIC")
        talk.send(sock)
        for event in _received(sock, talk):
            if isinstance(event, DataReceived) and event.stream_ended:
                agreed = talk.agreed(name)
                quic.close()
    if agreed is None:
        raise TimeoutError("the connection ended before an answer came")
    return agreed


def _received(sock: socket.socket, talk: _Talk) -> Iterator[Any]:
    sock.settimeout(talk.wait_s())
    try:
        datagram, peer = sock.recvfrom(_DATAGRAM_BYTES)
    except TimeoutError:
        talk.wake()
        yield from talk.events()
    else:
        yield from talk.take(datagram, peer)


def serve(sock: socket.socket, cert_file: str, key_file: str, answer: bytes, told: Callable[[Peer, Agreed], None]) -> None:
    """Answers every request, for good; ``told`` hears of each connection: the client, and what was agreed on.

    The server's name is the one that the request is for: the library keeps that of the hello to itself.
    """
    settings = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN, idle_timeout=_IDLE_S, supported_versions=[*VERSIONS])
    settings.load_cert_chain(cert_file, key_file)
    talks: dict[Peer, _Talk] = {}
    while True:
        sock.settimeout(min((talk.wait_s() for talk in talks.values()), default=None))
        try:
            datagram, peer = sock.recvfrom(_DATAGRAM_BYTES)
        except TimeoutError:
            for talk in talks.values():
                talk.wake()
                list(talk.events())
        else:
            talk_there = talks.get(peer) or _begun(datagram, settings)
            if talk_there is not None:
                talks[peer] = talk_there
                for event in talk_there.take(datagram, peer):
                    if isinstance(event, HeadersReceived):
                        told(peer, talk_there.agreed(dict(event.headers)[b":authority"].decode()))
                        _answer(talk_there, event.stream_id, answer)
        for talk in talks.values():
            talk.send(sock)
        talks = {peer: talk for peer, talk in talks.items() if not talk.ended}


def _begun(datagram: bytes, settings: QuicConfiguration) -> _Talk | None:
    """A connection that begins with this datagram; None when it is no client's first."""
    try:
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=settings.connection_id_length)
    except ValueError:
        return None
    if header.packet_type is not QuicPacketType.INITIAL or len(datagram) < _SHORTEST_INITIAL or header.version not in VERSIONS:
        return None
    quic = QuicConnection(configuration=settings, original_destination_connection_id=header.destination_cid)
    return _Talk(quic, H3Connection(quic), header.version)


def _answer(talk: _Talk, stream: int, body: bytes) -> None:
    talk.http.send_headers(stream, [(b":status", b"200"), (b"content-type", b"application/json")], end_stream=False)
    talk.http.send_data(stream, body, end_stream=True)
