# SPDX-License-Identifier: Apache-2.0
"""Hellos of TLS and QUIC from their pieces: published packets, pieces in any state, and bounds of what is remembered."""

from __future__ import annotations

import ssl
from typing import Any

import numpy as np
import pytest

from flowgauge.agent import hellos, quic_initial, tls_hello
from flowgauge.agent.hellos import Hellos
from flowgauge.agent.tls_hello import ClientHello, CutOff, ServerHello
from flowgauge.ebpf import abi
from hello_kit import ANSWERS, CIPHER, CONNECTION, GROUP, INITIALS, PROTOCOL, SERVER_NAME
from hello_pieces_kit import UNTRANSLATED, keys, pieces, words


def client_hello(name: str, *protocols: str) -> bytes:
    """What this Python's OpenSSL says first."""
    to_server, context = ssl.MemoryBIO(), ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(protocols)
    client = context.wrap_bio(ssl.MemoryBIO(), to_server, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return to_server.read()


def names(known: Hellos, *ports: int) -> list[str]:
    columns = known.columns(keys(*ports))
    found: Any = columns.get("tls_server_name")
    return found.to_list() if found is not None else [""] * len(ports)


@pytest.mark.parametrize("version", INITIALS)
def test_a_published_packet_of_quic_gives_its_hello(version: str) -> None:
    carried = quic_initial.crypto(INITIALS[version])
    assert (carried.connection, list(carried.pieces)) == (CONNECTION, [0])
    assert tls_hello.from_message(carried.pieces[0]) == ClientHello(SERVER_NAME, PROTOCOL)


@pytest.mark.parametrize("version", ANSWERS)
def test_a_published_answer_gives_its_hello_to_those_who_know_the_clients_first_packet(version: str) -> None:
    carried = quic_initial.crypto(ANSWERS[version], CONNECTION)
    assert tls_hello.from_message(carried.pieces[0]) == ServerHello("TLS 1.3", CIPHER, GROUP, None)
    with pytest.raises(ValueError, match="keys are not known"):
        quic_initial.crypto(ANSWERS[version])


def test_several_packets_in_one_datagram_are_read_and_what_follows_is_not() -> None:
    """The last one is cut off."""
    first, second = INITIALS["1"], INITIALS["2"]
    assert quic_initial.crypto(first + first).pieces == quic_initial.crypto(first).pieces
    for rest in (first[:-1], second, b"\x40 short header", bytes(100)):
        assert quic_initial.crypto(first + rest).pieces == quic_initial.crypto(first).pieces


def test_both_ends_of_a_connection_of_quic_are_told_and_an_answer_alone_is_not() -> None:
    known = Hellos()
    known.add(pieces(1, ANSWERS["1"], quic=True, back=True), keys(1), UNTRANSLATED)
    assert words(known, 1) == {"quic_version": "1"}
    known.add(pieces(1, INITIALS["1"], quic=True), keys(1), UNTRANSLATED)
    known.add(pieces(1, ANSWERS["1"], quic=True, back=True), keys(1), UNTRANSLATED)
    assert words(known, 1) == words(known, 1, back=True) == {
        "quic_version": "1", "tls_server_name": SERVER_NAME, "tls_alpn": PROTOCOL, "tls_version": "TLS 1.3",
        "tls_cipher": CIPHER, "tls_group": GROUP,
    }  # fmt: skip
    assert known.unread == 0


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
