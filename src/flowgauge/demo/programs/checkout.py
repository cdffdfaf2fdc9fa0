# SPDX-License-Identifier: Apache-2.0
"""The checkout: pays at the gateway every 2 s over HTTPS, now and then by TLS 1.2, and over HTTP/3 where it is told to.

Run by path: ``checkout.py HOST PORT CERTIFICATE [quic]``; it trusts that certificate alone. A line of JSON for each payment
that was answered: what was agreed on. Each connection has a source port of its own, one after another, so that no two are mixed
up; after five hours they begin anew. A line before each payment says by which protocol. Ends on SIGTERM after that in hand.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import signal
import socket
import ssl
import sys
import threading

EVERY_S = 2.0
PORTS = range(20_000, 32_768)
"""Below those that Linux gives by itself."""
PATIENCE_S = 10.0
TLS_1_2_CIPHER = "ECDHE-ECDSA-AES128-GCM-SHA256"


def main() -> None:
    """Pays until told to stop; every third time by TLS 1.2, and then over HTTP/3, too, with either version of QUIC in turn."""
    host, port, certificate = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    over_quic = "quic" in sys.argv[4:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ports = itertools.cycle(PORTS)
    for number in itertools.count():
        old = number % 3 == 2
        with contextlib.suppress(OSError, http.client.HTTPException):
            _say("asks tcp")
            _pay(host, port, certificate, next(ports), old=old)
        if old and over_quic and not stop.is_set():
            with contextlib.suppress(OSError):
                _say("asks udp")
                _pay_over_quic(host, port, certificate, next(ports), number // 3)
        if stop.wait(EVERY_S):
            return


def _pay(host: str, port: int, certificate: str, source_port: int, *, old: bool) -> None:
    context = ssl.create_default_context(cafile=certificate)
    context.set_alpn_protocols(["http/1.1"])
    if old:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(TLS_1_2_CIPHER)
    connection = http.client.HTTPSConnection(
        host, port, timeout=PATIENCE_S, context=context, source_address=("0.0.0.0", source_port)
    )
    with contextlib.closing(connection):
        connection.request("GET", "/pay", headers={"Connection": "close"})
        secure, client = connection.sock, connection.sock.getsockname()
        cipher = secure.cipher()
        agreed = {"version": secure.version(), "cipher": cipher and cipher[0], "alpn": secure.selected_alpn_protocol()}
        connection.getresponse().read()
        _tell("tcp", client, {**agreed, "sni": host})


def _pay_over_quic(host: str, port: int, certificate: str, source_port: int, number: int) -> None:
    from flowgauge.demo import quic_talk  # noqa: PLC0415 - not everybody has its library

    version = quic_talk.VERSIONS[number % len(quic_talk.VERSIONS)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", source_port))
        sock.connect((socket.gethostbyname(host), port))
        agreed = quic_talk.ask(sock, host, version=version, ca_file=certificate, within_s=PATIENCE_S)
        _tell("udp", sock.getsockname(), agreed)


def _tell(proto: str, client: tuple[str, int], agreed: dict[str, object]) -> None:
    _say(json.dumps({"proto": proto, "client": client, **agreed}))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the demo's report reads it


if __name__ == "__main__":
    main()
