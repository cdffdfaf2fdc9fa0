# SPDX-License-Identifier: Apache-2.0
"""Datagrams and their echo: ``datagrams.py answer ADDRESS PORT…`` until it is stopped, ``ask ADDRESS COUNT BYTES PORT…``.

Who asks sends ``COUNT`` datagrams of ``BYTES`` to each port, the next one when the last was answered, and prints how many were.
Standard library only, run by path.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys

ANSWER_WITHIN_S = 1.0


def answer(address: str, ports: list[int]) -> None:
    """Sends back all that comes."""
    sockets = selectors.DefaultSelector()
    for port in ports:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((address, port))
        sockets.register(one, selectors.EVENT_READ)
    print("ready", flush=True)  # noqa: T201 - who waits for it reads the log
    while True:
        for key, _ in sockets.select():
            assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - for the type
            data, sender = key.fileobj.recvfrom(65536)
            key.fileobj.sendto(data, sender)


def ask(address: str, count: int, size: int, ports: list[int]) -> None:
    """Prints how many answers came."""
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(ANSWER_WITHIN_S)
        for port in ports:
            for _ in range(count):
                one.sendto(bytes(size), (address, port))
                with contextlib.suppress(TimeoutError):
                    answers += len(one.recv(65536)) == size
    print(answers, flush=True)  # noqa: T201 - the result


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer(sys.argv[2], [int(port) for port in sys.argv[3:]])
    else:
        ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), [int(port) for port in sys.argv[5:]])
