# SPDX-License-Identifier: Apache-2.0
"""The user's way into the scene: a port on loopback whose connections enter the scene as an outside client's.

Each connection is carried over one that begins in the scene's ``outside`` with the address that stands for the user, and
goes to the Route. One thread per connection.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading

from flowgauge.demo.relay import relay
from flowgauge.demo.scene import addresses
from flowgauge.run.part import LOOPBACK
from flowgauge.runtime import linux

PREFERRED_PORT = 8080
"""Taken when it is free, for it is what people expect of a web page."""

MAX_CONNECTIONS = 64
"""More than a browser and a few curls open; a thread each."""

_CONNECT_S = 5.0


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, outside: str, port: int) -> None:
        self.outside = outside
        self.places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((LOOPBACK, port), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        if not self.server.places.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(OSError), _connect(self.server.outside) as inside:
                relay(self.request, inside)
        finally:
            self.server.places.release()


class Entrance:
    """Listens between ``start`` and ``stop``.

    Args:
        outside: the scene's network namespace where outside clients are.
        port: on loopback; 0 takes ``PREFERRED_PORT`` if it is free, else any.
    """

    def __init__(self, outside: str, port: int = 0) -> None:
        self._outside, self._wanted = outside, port
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port in use; 0 before ``start``."""
        return int(self._server.server_address[1]) if self._server else 0

    def start(self) -> None:
        """Begins to listen; OSError when the wanted port is taken."""
        self._server = self._listen()
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="entrance", daemon=True).start()

    def stop(self) -> None:
        """Takes no more connections; safe to call twice."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _listen(self) -> _Server:
        if self._wanted:
            return _Server(self._outside, self._wanted)
        try:
            return _Server(self._outside, PREFERRED_PORT)
        except OSError:
            return _Server(self._outside, 0)


def _connect(outside: str) -> socket.socket:
    with linux.in_netns(outside):
        inside = socket.socket()
    try:
        inside.settimeout(_CONNECT_S)
        inside.bind((addresses.YOU, 0))
        inside.connect((addresses.ROUTE, 80))
    except OSError:
        inside.close()
        raise
    return inside
