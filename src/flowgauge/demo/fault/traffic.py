# SPDX-License-Identifier: Apache-2.0
"""Traffic that a fault needs to be seen: conversations between pods, made by threads of this process while a block runs.

A socket belongs for good to the network namespace in which it is created, so that the kernel, and who observes it, takes its
packets for the pod's.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flowgauge.demo.scene_file import PodEntry
from flowgauge.runtime import linux

PORT = 9100
"""On which the pods of the bulk transfer listen for the duration of a fault."""
_TIMEOUT_S = 1.0
_PIECE = bytes(16_384)

Work = Callable[[threading.Event], None]
"""Runs until the event is set; what goes wrong with a socket is the point, and no error."""


@contextmanager
def running(*works: Work) -> Iterator[None]:
    """Runs each in a thread of its own; all have ended when the block does."""
    stop = threading.Event()
    threads = [threading.Thread(target=_tolerant, args=(work, stop), name="fault-traffic", daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _tolerant(work: Work, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError, http.client.HTTPException):
            work(stop)
        stop.wait(0.05)


def calls(netns: str, address: str, port: int, every_s: float) -> Work:
    """Connects to a port again and again."""

    def work(stop: threading.Event) -> None:
        while not stop.wait(every_s):
            with contextlib.suppress(OSError), _socket(netns) as caller:
                caller.connect((address, port))

    return work


def visits(netns: str, source: str, address: str, host: str, path: str) -> Work:
    """Asks for a page of ``host`` at ``address``:80 again and again, from ``source``."""

    def work(stop: threading.Event) -> None:
        while not stop.is_set():
            with linux.in_netns(netns):
                connection = http.client.HTTPConnection(address, 80, timeout=5, source_address=(source, 0))
                connection.connect()
            with contextlib.closing(connection):
                connection.request("GET", path, headers={"Host": host, "Connection": "close"})
                connection.getresponse().read()

    return work


def listener(pod: PodEntry, *, every_s: float = 0.0, piece_bytes: int = 65_536, buffer_bytes: int = 0) -> Work:
    """Takes connections and reads ``piece_bytes`` of each every ``every_s`` seconds; a small buffer closes its window soon."""

    def work(stop: threading.Event) -> None:
        with _socket(pod.netns) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if buffer_bytes:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            server.bind((pod.address, PORT))
            server.listen(64)
            server.settimeout(0.1)
            readers: list[threading.Thread] = []
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    taken, _ = server.accept()
                    readers.append(threading.Thread(target=_read, args=(taken, stop, every_s, piece_bytes), daemon=True))
                    readers[-1].start()
            for reader in readers:
                reader.join()

    return work


def _read(taken: socket.socket, stop: threading.Event, every_s: float, piece_bytes: int) -> None:
    taken.settimeout(0.2)
    with taken, contextlib.suppress(ConnectionError):
        while not stop.wait(every_s):
            with contextlib.suppress(TimeoutError):
                if not taken.recv(piece_bytes):
                    return


def sender(pod: PodEntry, to: PodEntry, *, for_s: float = 0.0) -> Work:
    """Sends to the listener of ``to`` as fast as it goes, over a new connection each ``for_s`` seconds (0: the same)."""

    def work(stop: threading.Event) -> None:
        with _socket(pod.netns) as sending:
            # Closed at once at the end: what is still queued must not be sent for minutes.
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sending.connect((to.address, PORT))
            sending.settimeout(0.2)
            ended = threading.Event()
            timer = threading.Timer(for_s or threading.TIMEOUT_MAX, ended.set)
            timer.daemon = True
            timer.start()
            try:
                while not stop.is_set() and not ended.is_set():
                    with contextlib.suppress(TimeoutError):
                        sending.send(_PIECE)
            finally:
                timer.cancel()

    return work


def _socket(netns: str) -> socket.socket:
    with linux.in_netns(netns):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(_TIMEOUT_S)
    return made
