# SPDX-License-Identifier: Apache-2.0
"""The payment gateway: answers over HTTPS and, where it is told to, over HTTP/3, and says what it agreed on with whom.

Run by path: ``payment_gateway.py ADDRESS PORT CERTIFICATE KEY [quic]``. A line of JSON for each connection. TCP is opened last:
when that listens, both do.
"""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import ssl
import sys
import threading

ANSWER = b'{"paid": true}\n'
PATIENCE_S = 5.0
PROTOCOL = "http/1.1"


def main() -> None:
    """Serves until it is ended."""
    address, port, certificate, key = sys.argv[1:5]
    if "quic" in sys.argv[5:]:
        _serve_quic(address, int(port), certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols([PROTOCOL])
    asked: dict[ssl.SSLSocket | ssl.SSLObject, str | None] = {}
    context.sni_callback = lambda connection, name, _context: asked.update({connection: name})
    with socket.create_server((address, int(port))) as listener:
        while True:
            plain, peer = listener.accept()
            plain.settimeout(PATIENCE_S)
            asked.clear()
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                _tell("tcp", peer, {**_agreed(secure), "sni": asked.get(secure)})
                _answer(secure)


def _answer(secure: ssl.SSLSocket) -> None:
    """One request, which has no body."""
    request = b""
    while b"\r\n\r\n" not in request:
        if not (more := secure.recv(4096)):
            return
        request += more
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\nConnection: close\r\n\r\n"
    secure.sendall(head.encode() + ANSWER)


def _agreed(secure: ssl.SSLSocket) -> dict[str, object]:
    cipher = secure.cipher()
    return {"version": secure.version(), "cipher": cipher and cipher[0], "alpn": secure.selected_alpn_protocol()}


def _serve_quic(address: str, port: int, certificate: str, key: str) -> None:
    from flowgauge.demo import quic_talk  # noqa: PLC0415 - not everybody has its library

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    told = functools.partial(_tell, "udp")
    threading.Thread(target=quic_talk.serve, args=(sock, certificate, key, ANSWER, told), daemon=True).start()


def _tell(proto: str, client: tuple[str, int], agreed: dict[str, object]) -> None:
    """Says with whom, over what, and what was agreed on."""
    print(json.dumps({"proto": proto, "client": client, **agreed}), flush=True)  # noqa: T201 - the demo's report reads it


if __name__ == "__main__":
    main()
