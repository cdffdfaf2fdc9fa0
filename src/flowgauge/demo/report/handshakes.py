# SPDX-License-Identifier: Apache-2.0
"""Flows of TLS and QUIC connections against what the libraries at both ends agreed on.

The truth is what the client says of each connection that was answered; the server must say the same. A connection is told
when there are flows of both directions, and every observer of a direction has one with all that was agreed on. It is wrong when
an observer has none, when any of its flows says another thing, or when the two ends differ. Flows of before the server's hello
may say less: they may have been exported between the two. Where payments were due and none was answered, nothing
is shown, which is a failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flowgauge.demo.acts.payments import Handshake, Handshakes
from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.report.tenants import is_address
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.tls_words import quic_version

OVER_TLS = "TLS connections: version, name, cipher, ALPN"
OVER_QUIC = "QUIC connections: version, name, cipher, ALPN"
_SOURCE = "the TLS libraries at both ends"
_NONE = "in flows (no payment was answered)"
_PROTOCOLS = {"tcp": 6, "udp": 17}
_WORDS = {
    "tcp": ("tls_version", "tls_server_name", "tls_cipher", "tls_alpn"),
    "udp": ("quic_version", "tls_version", "tls_server_name", "tls_cipher", "tls_alpn"),
}
"""Columns that flows must have."""
_VERSIONS = {"TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
_CIPHERS = {"ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}
"""OpenSSL's names of suites before TLS 1.3 → IANA's."""

_Client = tuple[int, str, int]
"""Protocol, address, port."""
_Words = tuple[str, ...]
"""Of a flow, one for each column."""
_View = tuple[str, bool]
"""An observer, and whether the flow goes to the server."""


@dataclass(slots=True)
class HandshakeJudge:
    """Reads batches; ``scores`` afterwards."""

    truth: Handshakes
    _told: dict[_Client, dict[_View, set[_Words]]] = field(default_factory=dict)

    def add(self, batch: FlowBatch) -> None:
        """Takes what flows of the clients' connections say."""
        for proto, names in _WORDS.items():
            clients = {one.client[0] for one in self.truth.client if one.proto == proto}
            for address in clients:
                for end, to_server in (("src", True), ("dst", False)):
                    mine = is_address(batch.array(f"{end}_addr"), address) & (batch.array("proto") == _PROTOCOLS[proto])
                    self._take(batch.take(mine & (batch.array("packets") > 0)), end, names, to_server=to_server)

    def scores(self) -> list[Score]:
        """One for each protocol that was spoken, or should have been."""
        return [*self._score("tcp", OVER_TLS), *self._score("udp", OVER_QUIC)]

    def _take(self, rows: FlowBatch, end: str, names: tuple[str, ...], *, to_server: bool) -> None:
        words = [rows.names(name).to_list() for name in names]
        reporters = rows.names("node_reporter").to_list()
        addresses, ports, protocols = (
            rows.array(f"{end}_addr"),
            rows.array(f"{end}_port").tolist(),
            rows.array("proto").tolist(),
        )
        for at, said in enumerate(zip(*words, strict=True)):
            client = (protocols[at], to_text(addresses[at].tobytes()), ports[at])
            self._told.setdefault(client, {}).setdefault((reporters[at], to_server), set()).add(said)

    def _score(self, proto: str, name: str) -> Iterator[Score]:
        every = [one for one in self.truth.client if one.proto == proto]
        if not every:
            if proto in self.truth.due:
                yield judged(name, 0, 0, 1, 0, source=_SOURCE, where=_NONE)
            return
        by_server = set(self.truth.server)
        of_client: dict[_Client, set[_Words]] = {}
        for one in every:
            of_client.setdefault(_client(one), set()).add(_words(one))
        right = sum(one in by_server and self._is_told(_client(one), of_client[_client(one)]) for one in every)
        yield judged(name, right, len(every), len(every) - right, 0, source=_SOURCE)

    def _is_told(self, client: _Client, wanted: set[_Words]) -> bool:
        """Of a client whose port came back each of its connections must be told; which flow is whose nobody says."""
        views = self._told.get(client, {})
        return _both_ways(views) and all(
            wanted <= said and all(_agrees(words, wanted) for words in said) for said in views.values()
        )


def _client(one: Handshake) -> _Client:
    return (_PROTOCOLS[one.proto], *one.client)


def _both_ways(views: Mapping[_View, object]) -> bool:
    """Whoever tells it: of what two observers saw, one may have been dropped as a duplicate."""
    return {to_server for _, to_server in views} == {True, False}


def _agrees(said: _Words, wanted: set[_Words]) -> bool:
    return any(all(word in ("", right) for word, right in zip(said, one, strict=True)) for one in wanted)


def _words(one: Handshake) -> _Words:
    """As flows call it."""
    of_tls = _VERSIONS.get(one.version, one.version), one.sni, _CIPHERS.get(one.cipher, one.cipher), one.alpn
    return (quic_version(one.quic), *of_tls) if one.proto == "udp" else of_tls
