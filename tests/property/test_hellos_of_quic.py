# SPDX-License-Identifier: Apache-2.0
"""Conversations of another implementation of QUIC, whatever is lost of them: flows say what its ends agreed on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("aioquic")

from flowgauge.agent.hellos import Hellos
from flowgauge.demo.certificates import Certificate
from flowgauge.demo.scene.processes import User
from flowgauge.schema.tls_words import quic_version
from hello_pieces_kit import UNTRANSLATED, keys, pieces, words
from quic_kit import V1, V2, Talk

NAME = "shop.example.org"
PORT = 5000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("quic")
    made = Certificate.made(folder, NAME, User.owner_of(folder))
    return made.certificate, made.key


def heard(talk: Talk, size: int = 512) -> Hellos:
    """What is known after a conversation whose datagrams were copied in pieces of ``size``."""
    known = Hellos(lambda: 0.0)
    for datagram, back in talk.initials():
        known.add(pieces(PORT, datagram, size, quic=True, back=back), keys(PORT), UNTRANSLATED)
    return known


def expected(talk: Talk) -> dict[str, str]:
    """As the library's client has it."""
    return {
        "quic_version": quic_version(talk.version), "tls_server_name": talk.name, "tls_alpn": "h3", "tls_version": "TLS 1.3",
        "tls_cipher": talk.cipher, "tls_group": "secp256r1",
    }  # fmt: skip


LABELS = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,58}[a-z0-9]", fullmatch=True), min_size=1, max_size=4)
"""Letters first: of what reads as an address a client names no server (RFC 6066 §3)."""
LENGTHS = st.sampled_from([4, 8, 18])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_conversation_is_told_whatever_is_lost_of_it(certificate: tuple[Path, Path], data: st.DataObject) -> None:
    """Long names and a hello in two datagrams, of which one may come late, when the server has named itself already."""
    first = data.draw(st.sampled_from([V1, V2]), label="version")
    talk = Talk(
        certificate, ".".join(data.draw(LABELS, label="name")), first, [first], split=data.draw(st.booleans(), label="split"),
        id_lengths=(data.draw(LENGTHS, label="client's ids"), data.draw(LENGTHS, label="server's ids")),
        lost=data.draw(st.frozensets(st.integers(0, 6), max_size=4), label="lost"),
    )  # fmt: skip
    known = heard(talk, data.draw(st.sampled_from([100, 512]), label="size"))
    assert words(known, PORT) == words(known, PORT, back=True) == expected(talk)
    assert (known.unread, known._unfinished) == (0, {})


@pytest.mark.parametrize(("first", "in_the_end"), [(V1, V2), (V2, V1)])
def test_of_a_connection_that_changes_its_version_the_last_one_counts(
    certificate: tuple[Path, Path], first: int, in_the_end: int
) -> None:
    """RFC 9368: the server goes on with the version that the client likes better than the one it began with."""
    talk = Talk(certificate, NAME, first, [in_the_end, first])
    known = heard(talk)
    assert talk.version == in_the_end
    assert words(known, PORT) == expected(talk)


def test_what_is_sent_again_after_its_hello_was_read_is_not_counted_as_unread(certificate: tuple[Path, Path]) -> None:
    talk, now = Talk(certificate, split=True), [0.0]
    known = Hellos(lambda: now[0])
    for datagram, back in talk.initials():
        for _ in range(2):
            known.add(pieces(PORT, datagram, quic=True, back=back), keys(PORT), UNTRANSLATED)
    now[0] = 60.0
    known.add(pieces(1, b"\xc0\0\0\0\1", quic=True), keys(1), UNTRANSLATED)
    assert (known.unread, words(known, PORT)) == (0, expected(talk))


def test_another_connection_on_the_same_ports_takes_over_nothing(certificate: tuple[Path, Path]) -> None:
    known = Hellos(lambda: 0.0)
    for name, first in (("one.example.org", V1), ("two.example.org", V2)):
        talk = Talk(certificate, name, first, [first])
        for datagram, back in talk.initials():
            known.add(pieces(PORT, datagram, quic=True, back=back), keys(PORT), UNTRANSLATED)
            assert words(known, PORT)["tls_server_name"] == name
        assert words(known, PORT) == expected(talk)
