# SPDX-License-Identifier: Apache-2.0
"""Hellos of TLS as the node sees them, against what OpenSSL's own client and server say they agreed on."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowgauge.schema.tls_words import quic_version
from hello_kit import INITIALS, PROTOCOL, SERVER_NAME
from node_kit import B6, A, B, Observed, TwoPods, observed, two_pods
from serving_kit import listening
from signal_kit import one, told

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tool("openssl", "curl")]

QUIC_V1, QUIC_V2 = 0x00000001, 0x6B3343CF
NAME = "shop.example.org"
SERVICE = "10.96.0.20"
RULES = f"""
table ip svc {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} tcp dport 443 dnat to {B}:4433
  }}
}}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        yield built


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={NAME} -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, capture_output=True, check=True)
    return folder


def server(node: TwoPods, folder: Path, *options: str) -> AbstractContextManager[None]:
    """``openssl s_server`` in b on port 4433, both families."""
    command = ["openssl", "s_server", "-accept", "4433", "-cert", "cert.pem", "-key", "key.pem", "-www", *options]
    return listening(node, "b", command, 4433, folder)


@contextmanager
def followed(node: TwoPods, **options: Any) -> Iterator[Observed]:
    with observed(node, tls=True, **options) as watch:
        yield watch


def call(node: TwoPods, to: str, *options: str) -> dict[str, str]:
    """What OpenSSL's client says it agreed on: version, cipher in IANA's name, and group."""
    said = node.run("a", "sh", "-c", f"echo | openssl s_client -connect {to} {' '.join(options)} 2>&1")
    agreed = re.search(r"New, (\S+), Cipher is (\S+)", said)
    assert agreed, said
    names = subprocess.run(
        ["openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL"], capture_output=True, text=True, check=True
    )
    by_name = {line.split()[2]: line.split()[0] for line in names.stdout.splitlines()}
    group = re.search(r"Server Temp Key: (\w+)", said)
    return {"version": agreed[1], "cipher": by_name[agreed[2]], "group": group[1].lower() if group else ""}


@pytest.mark.parametrize("to", [f"{B}:4433", f"[{B6}]:4433"])
def test_a_connection_of_tls_1_3_has_what_both_ends_agreed_on(node: TwoPods, certificate: Path, to: str) -> None:
    with server(node, certificate), followed(node) as watch:
        agreed = call(node, to, "-tls1_3", "-servername", NAME)
        rows = told(watch.program)
    for row in (one(rows, dst_port=4433), one(rows, src_port=4433)):
        assert (row["tls_version"], row["tls_server_name"]) == ("TLS 1.3", NAME)
        assert (row["tls_cipher"], row["tls_group"]) == (agreed["cipher"], agreed["group"])


@pytest.mark.parametrize(
    ("options", "server_has", "told_as"),
    [
        ("-tls1_3 -alpn h2,http/1.1", "http/1.1", "h2"),  # what the server chose is enciphered: the client's first
        ("-tls1_2 -alpn h2,http/1.1", "http/1.1", "http/1.1"),
        ("-tls1_2 -alpn h2,http/1.1", "", ""),  # a server that chooses none says none
        ("-tls1_2", "http/1.1", ""),
    ],
)
def test_the_application_protocol_is_what_the_server_chose_where_it_says_so_in_the_clear(
    node: TwoPods, certificate: Path, options: str, server_has: str, told_as: str
) -> None:
    at_server = ("-alpn", server_has) if server_has else ()
    with server(node, certificate, *at_server), followed(node) as watch:
        said = node.run("a", "sh", "-c", f"echo | openssl s_client -connect {B}:4433 {options} 2>&1")
        rows = told(watch.program)
    agreed = re.search(r"ALPN protocol: (\S+)", said)
    assert (agreed[1] if agreed else "") == (server_has if "-alpn" in options else "")
    for row in (one(rows, dst_port=4433), one(rows, src_port=4433)):
        assert row["tls_alpn"] == told_as


@pytest.mark.parametrize("cipher", ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "AES128-SHA256"])
def test_a_connection_of_tls_1_2_has_its_cipher_and_no_group(node: TwoPods, certificate: Path, cipher: str) -> None:
    with server(node, certificate), followed(node) as watch:
        agreed = call(node, f"{B}:4433", "-tls1_2", "-noservername", "-cipher", cipher)
        row = one(told(watch.program), dst_port=4433)
    assert (row["tls_version"], row["tls_cipher"]) == ("TLS 1.2", agreed["cipher"])
    assert (row["tls_server_name"], row["tls_group"]) == ("", "")


def test_a_hello_of_several_packets_is_read_whole(node: TwoPods, certificate: Path) -> None:
    """The server takes segments of 88 bytes only, so that the client's hello needs at least three."""
    with server(node, certificate), followed(node) as watch:
        node.run("a", "ip", "route", "add", B, "via", "10.9.1.1", "advmss", "150")
        node.run("b", "ip", "route", "add", A, "via", "10.9.2.1", "advmss", "150")
        try:
            call(node, f"{B}:4433", "-tls1_3", "-servername", NAME)
        finally:
            node.run("a", "ip", "route", "del", B)
            node.run("b", "ip", "route", "del", A)
        row = one(told(watch.program), dst_port=4433)
    assert (row["tls_version"], row["tls_server_name"]) == ("TLS 1.3", NAME)


def test_a_retry_for_another_group_ends_with_the_one_agreed_on(node: TwoPods, certificate: Path) -> None:
    with server(node, certificate, "-groups", "P-384"), followed(node) as watch:
        call(node, f"{B}:4433", "-tls1_3", "-servername", NAME, "-groups", "X25519:P-384")
        row = one(told(watch.program), dst_port=4433)
    assert (row["tls_server_name"], row["tls_group"]) == (NAME, "secp384r1")


def test_through_a_service_both_directions_have_the_same(node: TwoPods, certificate: Path) -> None:
    with server(node, certificate), followed(node, nat=True) as watch:
        agreed = call(node, f"{SERVICE}:443", "-tls1_3", "-servername", NAME)
        rows = told(watch.program)
    for row in (one(rows, dst_addr=SERVICE, dst_port=443), one(rows, src_addr=B, src_port=4433)):
        assert (row["tls_server_name"], row["tls_cipher"]) == (NAME, agreed["cipher"])


def test_curl_is_seen_and_what_is_no_tls_has_no_columns(node: TwoPods, certificate: Path) -> None:
    with server(node, certificate), followed(node) as watch:
        node.run("a", "curl", "-sko", "/dev/null", "--connect-to", f"{NAME}:443:{B}:4433", f"https://{NAME}/")
        with pytest.raises(AssertionError):  # curl fails: the server speaks TLS only
            node.run("a", "curl", "-so", "/dev/null", "--local-port", "2000", f"http://{B}:4433/")
        rows = told(watch.program)
    assert one(rows, src_addr=A, src_port=2000)["tls_server_name"] == ""
    by_curl = one(rows, src_addr=A, tls_server_name=NAME)
    assert (by_curl["tls_version"], by_curl["tls_alpn"]) == ("TLS 1.3", "h2")


def test_switched_off_nothing_is_copied(node: TwoPods, certificate: Path) -> None:
    with server(node, certificate), observed(node) as watch:
        call(node, f"{B}:4433", "-servername", NAME)
        evicted = watch.program.evict()
    assert len(evicted) >= 2
    assert len(evicted.hellos) == 0


def test_nothing_that_follows_the_hellos_is_copied(node: TwoPods, certificate: Path) -> None:
    with server(node, certificate), followed(node) as watch:
        call(node, f"{B}:4433", "-tls1_2", "-servername", NAME)
        chunks = watch.program.evict().hellos
    copied = b"".join(chunk["data"][: int(chunk["length"])].tobytes() for chunk in chunks)
    assert NAME.encode() in copied  # the client's name for the server …
    assert copied.count(NAME.encode()) == 1  # … but not the certificate, which follows the server's hello in the clear


@pytest.mark.parametrize("version", INITIALS)
def test_a_connection_of_quic_has_its_version_and_server(node: TwoPods, version: str) -> None:
    with (
        followed(node) as watch,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client,
        node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as listener,
    ):
        listener.bind(("", 8443))
        client.sendto(INITIALS[version].ljust(1200, b"\0"), (B, 8443))
        _, peer = listener.recvfrom(2000)
        listener.sendto(b"a packet of another kind", peer)
        client.recv(2000)
        rows = told(watch.program)
    for row in (one(rows, dst_port=8443), one(rows, src_port=8443)):
        assert (row["quic_version"], row["tls_server_name"], row["tls_alpn"]) == (version, SERVER_NAME, PROTOCOL)


@pytest.mark.parametrize(("first", "lost"), [(QUIC_V1, ()), (QUIC_V2, (0,)), (QUIC_V1, (1,)), (QUIC_V2, (1, 2))])
def test_both_ends_of_a_conversation_over_quic_are_told(
    node: TwoPods, certificate: Path, first: int, lost: tuple[int, ...]
) -> None:  # fmt: skip
    """What another implementation's ends say, sent between the pods; some of the client's long hello was lost before."""
    quic_kit = pytest.importorskip("quic_kit", exc_type=ImportError)
    talk = quic_kit.Talk(
        (certificate / "cert.pem", certificate / "key.pem"), NAME, first, [first], split=True, lost=frozenset(lost)
    )
    with (
        followed(node) as watch,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client,
        node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as listener,
    ):
        client.bind((A, 5000))
        listener.bind((B, 8443))
        client.connect((B, 8443))
        listener.connect((A, 5000))
        for datagram, back in talk.initials():
            here, there = (listener, client) if back else (client, listener)
            here.send(datagram)
            assert there.recv(2000) == datagram
        rows = told(watch.program)
    for row in (one(rows, dst_port=8443), one(rows, src_port=8443)):
        assert (row["quic_version"], row["tls_server_name"], row["tls_alpn"]) == (quic_version(first), NAME, "h3")
        assert (row["tls_version"], row["tls_cipher"], row["tls_group"]) == ("TLS 1.3", talk.cipher, "secp256r1")
