# SPDX-License-Identifier: Apache-2.0
"""Hellos of TLS and QUIC from their pieces: published packets, pieces in any state, and bounds of what is remembered."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import numpy as np
import pytest

from flowgauge.agent import hellos, quic_initial, tls_hello
from flowgauge.agent.hellos import Hellos
from flowgauge.agent.tls_hello import ClientHello, CutOff
from flowgauge.ebpf import abi
from flowgauge.ebpf.tables import empty
from hello_kit import INITIALS, PROTOCOL, SERVER_NAME

UNTRANSLATED = empty(abi.FLOW_KEY, abi.TRANSLATION)


def client_hello(name: str, *protocols: str) -> bytes:
    """What this Python's OpenSSL says first."""
    to_server, context = ssl.MemoryBIO(), ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(protocols)
    client = context.wrap_bio(ssl.MemoryBIO(), to_server, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return to_server.read()


def keys(*ports: int) -> Any:
    found = np.zeros(len(ports), abi.FLOW_KEY)
    found["src_port"], found["dst_port"], found["proto"] = ports, 443, socket.IPPROTO_TCP
    return found


def pieces(port: int, raw: bytes, size: int = 512, first: int = 0xFFFF_FF00, *, quic: bool = False) -> Any:
    """As the kernel copies them; the sequence numbers of TCP wrap around in the middle."""
    found = np.zeros(-(-len(raw) // size), abi.HELLO_CHUNK)
    found["flow"], found["datagram"], found["kind"] = keys(port), quic, abi.HELLO_GOES_ON
    found["kind"][0] = abi.HELLO_QUIC if quic else abi.HELLO_BEGINS
    for number, piece in enumerate(found):
        part = raw[number * size : (number + 1) * size]
        piece["seq"] = number * size + (0 if quic else first) & 0xFFFF_FFFF
        piece["length"], piece["data"][: len(part)] = len(part), np.frombuffer(part, np.uint8)
    return found


def names(known: Hellos, *ports: int) -> list[str]:
    columns = known.columns(keys(*ports))
    found: Any = columns.get("tls_server_name")
    return found.to_list() if found is not None else [""] * len(ports)


@pytest.mark.parametrize("version", INITIALS)
def test_a_published_packet_of_quic_gives_its_hello(version: str) -> None:
    carried = quic_initial.crypto(INITIALS[version])
    assert list(carried) == [0]
    assert tls_hello.from_message(carried[0]) == ClientHello(SERVER_NAME, PROTOCOL)


@pytest.mark.parametrize("size", [100, 512])
def test_a_datagram_of_quic_in_pieces_names_its_server_and_version(size: int) -> None:
    known = Hellos()
    known.add(pieces(1, INITIALS["1"], size, quic=True), keys(1), UNTRANSLATED)
    columns: Any = known.columns(keys(1, 2))
    assert columns["quic_version"].to_list() == ["1", ""]
    assert columns["tls_server_name"].to_list() == [SERVER_NAME, ""]
    assert known.unread == 0


@pytest.mark.parametrize("size", [7, 64, 512])
def test_a_hello_in_pieces_is_put_together_whatever_their_size_and_order(size: int) -> None:
    known, raw = Hellos(), pieces(1, client_hello("a.example.org"), size)
    shuffled = np.concatenate([raw[:1], raw[:0:-1], raw[1:2]])  # the last first, one of them twice
    for piece in shuffled:  # each in an interval of its own
        known.add(np.array([piece]), keys(1), UNTRANSLATED)
    assert names(known, 1, 2) == ["a.example.org", ""]


def test_a_hello_in_several_records_is_read() -> None:
    raw = client_hello("b.example.org")[5:]
    records = b"".join(
        b"\x16\x03\x01" + len(raw[at : at + 50]).to_bytes(2) + raw[at : at + 50] for at in range(0, len(raw), 50)
    )
    assert tls_hello.from_records(records) == ClientHello("b.example.org")
    with pytest.raises(CutOff):
        tls_hello.from_records(records[:-1])


@pytest.mark.parametrize(
    ("offered", "first"), [(("h2", "http/1.1"), "h2"), (("\x2a\x2a", "h3"), "h3"), (("\x1b[2J",), r"\027\0912j"), ((), "")]
)
def test_of_the_offered_protocols_the_first_that_is_one_counts(offered: tuple[str, ...], first: str) -> None:
    assert tls_hello.from_records(client_hello("f.example.org", *offered)) == ClientHello("f.example.org", first)


def test_names_that_would_break_a_terminal_are_written_by_number() -> None:
    known = Hellos()
    known.add(pieces(1, client_hello("aaaa.example").replace(b"aaaa", b"A\x1b\xffa")), keys(1), UNTRANSLATED)
    assert names(known, 1) == [r"a\027\255a.example"]


def test_a_hello_whose_rest_does_not_come_is_counted_once_its_time_is_over() -> None:
    now = [0.0]
    known = Hellos(lambda: now[0])
    known.add(pieces(1, client_hello("c.example.org"), 64)[:-1], keys(1), UNTRANSLATED)
    assert known.unread == 0
    now[0] = hellos.UNFINISHED_S + 1
    known.add(np.empty(0, abi.HELLO_CHUNK), keys(1), UNTRANSLATED)
    assert known.unread == 1
    assert names(known, 1) == [""]


def test_a_malformed_hello_is_counted() -> None:
    known = Hellos()
    known.add(pieces(1, b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03ab"), keys(1), UNTRANSLATED)
    assert known.unread == 1


def test_more_unfinished_hellos_than_are_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hellos, "MAX_UNFINISHED", 3)
    known = Hellos()
    for port in range(5):
        known.add(pieces(port, client_hello("d.example.org"), 64)[:1], keys(port), UNTRANSLATED)
    assert known.unread == 2


def test_a_connection_is_remembered_while_it_carries_something_and_then_forgotten() -> None:
    now = [0.0]
    known = Hellos(lambda: now[0])
    known.add(pieces(1, client_hello("e.example.org")), keys(1), UNTRANSLATED)
    for _ in range(3):
        now[0] += hellos.FORGET_S - 1
        known.add(np.empty(0, abi.HELLO_CHUNK), keys(1), UNTRANSLATED)
        assert names(known, 1) == ["e.example.org"]
    now[0] += hellos.FORGET_S + 1
    known.add(np.empty(0, abi.HELLO_CHUNK), keys(1), UNTRANSLATED)
    assert names(known, 1) == [""]
