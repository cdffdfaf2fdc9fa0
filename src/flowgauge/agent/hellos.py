# SPDX-License-Identifier: Apache-2.0
"""What hello messages tell of connections: puts their pieces together, reads them, and remembers it for the flows to come.

Both directions of a connection have the same columns, in every interval, so that bytes can be told apart by TLS version. What
is kept is bounded: unfinished hellos by number and age, connections by number and by how long they carried nothing.

Before: the ring buffer of the eBPF programs; after: the encoder. Used by the main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from flowgauge.agent import tls_hello
from flowgauge.agent.signal_columns import spread_names
from flowgauge.agent.tls_hello import ClientHello, CutOff, Hello
from flowgauge.ebpf import abi
from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.translations import before, match
from flowgauge.flow.batch import ColumnData
from flowgauge.flow.names import Names
from flowgauge.schema.tls_words import quic_version

MAX_UNFINISHED = 4096
UNFINISHED_S = 10.0
"""A hello whose rest does not come within this time is given up."""
MAX_CONNECTIONS = 65_536
FORGET_S = 300.0
"""A connection that carries nothing for so long is forgotten."""
HELLO_BYTES = 4096
"""Longest hello that is read."""
COLUMNS = ("tls_version", "tls_server_name", "tls_cipher", "tls_group", "tls_alpn", "quic_version")


@dataclass(slots=True)
class _Unfinished:
    """Pieces of one hello, by their place in it."""

    since: float
    first: int = 0
    """TCP sequence number of the first byte."""
    pieces: dict[int, bytes] = field(default_factory=dict)
    datagram: bytes = b""
    """Of QUIC: the last one, as far as it was copied."""

    def add_segment(self, seq: int, segment: bytes, *, begins: bool) -> None:
        """Of TCP; another beginning is another hello."""
        if begins and seq != self.first:
            self.first = seq
            self.pieces.clear()
        self.add(seq - self.first & 0xFFFF_FFFF, segment)

    def add(self, at: int, piece: bytes) -> None:
        """What lies beyond the longest hello is no part of one."""
        if at + len(piece) <= HELLO_BYTES:
            self.pieces[at] = piece

    def message(self) -> bytes:
        """As far as it goes on without a gap; what was sent again counts once."""
        whole = b""
        for at in sorted(self.pieces):
            if at > len(whole):
                break
            whole += self.pieces[at][len(whole) - at :]
        return whole


@dataclass(slots=True)
class _Connection:
    """What is known of one connection: words by column, none where nobody told."""

    used: float
    words: dict[str, str] = field(default_factory=dict)
    quic_id: bytes = b""
    """Of QUIC: where its keys come from, which the client's first packet says."""
    read: tuple[bytes, ...] = ()
    """Of QUIC: the directions whose hello was read; what comes of it after that was sent again."""

    def begin(self, quic_id: bytes) -> None:
        """Another connection of QUIC, or one that its server told to begin again."""
        self.quic_id, self.read = quic_id, ()
        self.words = {name: word for name, word in self.words.items() if name == "quic_version"}


class Hellos:
    """The hellos of one agent.

    Attributes:
        unread: hellos that were cut off, malformed, or too many at once.

    A connection that begins on the addresses and ports of one before takes over nothing: its hellos replace all columns.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unfinished: dict[bytes, _Unfinished] = {}
        self._connections: dict[bytes, _Connection] = {}
        """By ``abi.FLOW_KEY`` of either direction."""
        self.unread = 0

    def add(self, chunks: Structured, flow_keys: Structured, known: Entries) -> None:
        """Takes pieces (``abi.HELLO_CHUNK``) that were copied since the last time, in the order in which they were.

        Args:
            chunks: of packets as they were where they were copied, perhaps behind translation.
            flow_keys: ``abi.FLOW_KEY`` of the interval's flows.
            known: this node's translations.
        """
        if len(chunks):
            own, other = np.ascontiguousarray(chunks["flow"]), _reversed(chunks["flow"])
            own, other = (before(keys, flow_keys, known.keys, known.values) for keys in (own, other))
            for at, chunk in enumerate(chunks):
                self._take(chunk, own[at].tobytes(), other[at].tobytes())
        self._forget()

    def columns(self, flow_keys: Structured) -> dict[str, ColumnData]:
        """The columns of flows (``abi.FLOW_KEY``); those that no flow has are not there."""
        if not self._connections:
            return {}
        rows = match(flow_keys, np.frombuffer(b"".join(self._connections), abi.FLOW_KEY))
        with_hello = np.flatnonzero(rows >= 0)
        every, now = list(self._connections.values()), self._clock()
        found = [every[row] for row in rows[with_hello].tolist()]
        for connection in found:
            connection.used = now
        texts = {name: [one.words.get(name, "") for one in found] for name in COLUMNS}
        return {
            name: spread_names(Names.from_strings(words), with_hello, len(flow_keys))
            for name, words in texts.items()
            if any(words)
        }

    def _take(self, chunk: np.void, own: bytes, other: bytes) -> None:
        raw, begins = chunk["data"][: int(chunk["length"])].tobytes(), int(chunk["kind"]) != abi.HELLO_GOES_ON
        found = self._begin(own) if begins else self._unfinished.get(own)
        if found is None:
            return
        if not chunk["datagram"]:
            found.add_segment(int(chunk["seq"]), raw, begins=begins)
            self._read(own, other, lambda: tls_hello.from_records(found.message()))
            return
        self._take_datagram(own, other, raw, found, begins=begins)

    def _take_datagram(self, own: bytes, other: bytes, raw: bytes, found: _Unfinished, *, begins: bool) -> None:
        from flowgauge.agent import quic_initial  # noqa: PLC0415 - its ciphers are for those who see QUIC

        connection = self._connection(own, other)
        if begins:
            connection.words["quic_version"] = quic_version(quic_initial.version(raw))
        found.datagram = raw if begins else found.datagram + raw
        try:
            crypto = quic_initial.crypto(found.datagram, connection.quic_id)
        except CutOff:
            return
        except ValueError:  # of a version or a connection whose keys we do not know
            if not found.pieces:
                del self._unfinished[own]
            return
        if crypto.connection != connection.quic_id:
            connection.begin(crypto.connection)
            found.pieces.clear()
        if own not in connection.read:
            for at, piece in crypto.pieces.items():
                found.add(at, piece)
        if not found.pieces:
            del self._unfinished[own]
            return
        self._read(own, other, lambda: tls_hello.from_message(found.message()))
        if own not in self._unfinished:
            connection.read += (own,)

    def _begin(self, own: bytes) -> _Unfinished | None:
        """A hello of QUIC may begin several times: each of its datagrams does."""
        there = self._unfinished.get(own)
        if there is None:
            if len(self._unfinished) >= MAX_UNFINISHED:
                self.unread += 1
                return None
            there = self._unfinished[own] = _Unfinished(self._clock())
        return there

    def _read(self, own: bytes, other: bytes, hello: Callable[[], Hello]) -> None:
        """Learns from a hello, if it is all there."""
        try:
            said = hello()
        except CutOff:
            return
        except ValueError:
            self.unread += 1
            del self._unfinished[own]
            return
        del self._unfinished[own]
        words = self._connection(own, other).words
        if isinstance(said, ClientHello):
            words |= {"tls_server_name": said.server_name, "tls_alpn": said.alpn}
        else:
            words |= {"tls_version": said.version, "tls_cipher": said.cipher, "tls_group": said.group}
            if said.alpn is not None:
                words["tls_alpn"] = said.alpn

    def _connection(self, own: bytes, other: bytes) -> _Connection:
        """The one of which these are the directions, perhaps a new one."""
        there = self._connections.get(own) or self._connections.get(other) or _Connection(self._clock())
        there.used = self._clock()
        self._connections[own] = self._connections[other] = there
        return there

    def _forget(self) -> None:
        now = self._clock()
        late = [key for key, one in self._unfinished.items() if now - one.since > UNFINISHED_S]
        for key in late:
            del self._unfinished[key]
        self.unread += len(late)
        for key in [key for key, one in self._connections.items() if now - one.used > FORGET_S]:
            del self._connections[key]
        for key in list(self._connections)[: max(0, len(self._connections) - 2 * MAX_CONNECTIONS)]:
            del self._connections[key]


def _reversed(keys: Structured) -> Structured:
    """The keys of the other direction."""
    other = np.array(keys)
    for here, there in (("src_addr", "dst_addr"), ("src_port", "dst_port")):
        other[here], other[there] = keys[there], keys[here]
    return other
