# SPDX-License-Identifier: Apache-2.0
"""A bulk transfer over TCP: ``bulk.py receive ADDRESS PORT`` takes a connection, ``bulk.py send ADDRESS PORT BYTES`` fills it.

Standard library only, run by path. The receiver prints how many bytes came, the sender how many TCP sent, repeated ones
included; both end.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

CHUNK = bytes(1 << 18)
BYTES_SENT_AT = 200
"""Offset of ``tcpi_bytes_sent``, a 64-bit number, in struct tcp_info (linux/tcp.h)."""


def receive(address: str, port: int) -> None:
    """Prints how many bytes one connection brought."""
    with socket.create_server((address, port)) as server:
        connection, _ = server.accept()
        total = 0
        buffer = bytearray(len(CHUNK))
        with connection:
            while size := connection.recv_into(buffer):
                total += size
    print(total, flush=True)  # noqa: T201 - the result


def send(address: str, port: int, total: int) -> None:
    """Sends ``total`` bytes."""
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = socket.create_connection((address, port), timeout=5)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    with connection:
        left = total
        while left:
            left -= connection.send(CHUNK[:left])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_SENT_AT + 8)
    print(struct.unpack_from("=Q", info, BYTES_SENT_AT)[0], flush=True)  # noqa: T201 - the result


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(sys.argv[2], int(sys.argv[3]))
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
