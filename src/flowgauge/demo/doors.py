# SPDX-License-Identifier: Apache-2.0
"""Ports of the machine's own network whose connections go to the same ports of ours.

Only in a demo without root, which runs in another network than the user's browser and command line. One thread per connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
from dataclasses import dataclass

from flowgauge.demo.relay import relay

DOORS_VARIABLE = "FLOWGAUGE_DEMO_DOORS"
"""Sockets that were handed in, as DESCRIPTOR:PORT by commas: for each of ``Ports`` in turn."""
LOOPBACK = "127.0.0.1"

_CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that people and commands use; 0 chooses."""

    console: int = 0
    clicks: int = 0
    collector_http: int = 0
    agents_http: tuple[int, ...] = ()
    """One for each node in turn; nodes without one choose."""

    @classmethod
    def of(cls, console: int, clicks: int, collector_http: int, *agents_http: int) -> Ports:
        """Those of ``DOORS_VARIABLE``."""
        return cls(console, clicks, collector_http, agents_http)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), _Connection, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


class _Connection(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        port = int(self.server.server_address[1])
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), _CONNECT_S) as inside:
            relay(self.request, inside)


class Doors:
    """The sockets handed in; none when the demo was called by root. They open with ``start``."""

    def __init__(self) -> None:
        entries = [entry.split(":") for entry in os.environ.pop(DOORS_VARIABLE, "").split(",") if entry]
        self._servers = [_Server(socket.socket(fileno=int(descriptor))) for descriptor, _ in entries]
        for descriptor, _ in entries:
            os.set_inheritable(int(descriptor), False)
        self.ports = Ports.of(*(int(port) for _, port in entries)) if entries else Ports()

    def __bool__(self) -> bool:
        return bool(self._servers)

    def start(self) -> None:
        """Begins to let connections in."""
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.1,), name="door", daemon=True).start()

    def stop(self) -> None:
        """Takes no more connections; safe to call twice."""
        while self._servers:
            server = self._servers.pop()
            server.shutdown()
            server.server_close()
