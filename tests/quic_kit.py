# SPDX-License-Identifier: Apache-2.0
"""For tests: conversations of aioquic's client with its server, in memory, some of whose datagrams are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header

V1, V2 = 0x00000001, 0x6B3343CF
CLIENT, SERVER = ("192.0.2.1", 5000), ("192.0.2.2", 443)
_INITIAL = {V1: 0x00, V2: 0x10}
_MOST_ROUNDS = 60


@dataclass(slots=True)
class Talk:
    """A handshake.

    Attributes:
        certificate: of the server, with its key.
        name: that the client asks for.
        versions: what the client can speak, in its order; it begins with ``first``.
        served: what the server can, in its order.
        split: the client's hello needs two datagrams, as with a key share of after quantum computers.
        id_lengths: of the connection ids that client and server give themselves.
        lost: numbers of datagrams, of both ends in their order, that do not arrive.
        client: afterwards, what it knows.
    """

    certificate: tuple[Path, Path]
    name: str = "shop.example.org"
    first: int = V1
    versions: Sequence[int] = (V1,)
    served: Sequence[int] = (V1, V2)
    split: bool = False
    id_lengths: tuple[int, int] = (8, 8)
    lost: frozenset[int] = frozenset()
    client: Any = None
    _server: Any = None
    _number: int = field(default=0)

    def initials(self) -> Iterator[tuple[bytes, bool]]:
        """Datagrams that begin with an Initial, lost ones not, and whether each is the server's; until both are done."""
        self.client = QuicConnection(configuration=self._client_settings())
        self.client.connect(SERVER, 0.0)
        now = 0.0
        for _ in range(_MOST_ROUNDS):
            if self._done():
                return
            before = self._number
            yield from self._sent(self.client, now, self._to_server)
            yield from self._sent(self._server, now + 0.005, self._to_client)
            now = now + 0.01 if self._number > before else self._woken()
        raise AssertionError("the handshake did not come to its end")

    @property
    def cipher(self) -> str:
        """As IANA calls what was agreed on."""
        return f"TLS_{self.client.tls.key_schedule.cipher_suite.name}"

    @property
    def version(self) -> int:
        """Of QUIC, in the end."""
        found: int = self.client._version
        return found

    def _done(self) -> bool:
        return self._server is not None and self.client._handshake_confirmed

    def _woken(self) -> float:
        """Nothing was to be sent: lets the next timer come."""
        ends = [one for one in (self.client, self._server) if one is not None]
        now: float = min(timer for one in ends if (timer := one.get_timer()) is not None)
        for one in ends:
            if (timer := one.get_timer()) is not None and timer <= now:
                one.handle_timer(now)
        return now

    def _client_settings(self) -> Any:
        return QuicConfiguration(
            is_client=True, alpn_protocols=["h3"], server_name=self.name, verify_mode=0, original_version=self.first,
            supported_versions=list(self.versions), quantum_readiness_test=self.split, connection_id_length=self.id_lengths[0],
        )  # fmt: skip

    def _sent(self, end: Any, now: float, deliver: Callable[[bytes, float], None]) -> Iterator[tuple[bytes, bool]]:
        if end is None:
            return
        for datagram, _ in end.datagrams_to_send(now):
            self._number += 1
            if self._number - 1 in self.lost:
                continue
            if _begins_with_initial(datagram):
                yield datagram, end is self._server
            deliver(datagram, now + 0.002)

    def _to_server(self, datagram: bytes, now: float) -> None:
        if self._server is None:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=self.id_lengths[1])
            if header.packet_type is not QuicPacketType.INITIAL:
                return
            settings = QuicConfiguration(
                is_client=False, alpn_protocols=["h3"], supported_versions=list(self.served),
                connection_id_length=self.id_lengths[1],
            )  # fmt: skip
            settings.load_cert_chain(*self.certificate)
            self._server = QuicConnection(configuration=settings, original_destination_connection_id=header.destination_cid)
        self._server.receive_datagram(datagram, CLIENT, now)
        _drained(self._server)

    def _to_client(self, datagram: bytes, now: float) -> None:
        self.client.receive_datagram(datagram, SERVER, now)
        _drained(self.client)


def _drained(end: Any) -> None:
    while end.next_event() is not None:
        pass


def _begins_with_initial(datagram: bytes) -> bool:
    return datagram[0] & 0xC0 == 0xC0 and _INITIAL.get(int.from_bytes(datagram[1:5])) == datagram[0] & 0x30
