# SPDX-License-Identifier: Apache-2.0
"""Runs the console: FastAPI on uvicorn, in the calling thread, until SIGINT or SIGTERM."""

from __future__ import annotations

import signal
import socket

import uvicorn
from fastapi import FastAPI

from flowgauge.console.app import create_app
from flowgauge.console.services import Services
from flowgauge.console.settings import ConsoleSettings
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.runtime import logs

_GRACE_S = 2
"""How long open streams may take to end at a stop; they have nothing to save."""

_BACKLOG = 128

_log = logs.get("console")


def run_console(settings: ConsoleSettings) -> None:
    """Serves console and API until the process is asked to end.

    Raises:
        UsageError: open to others without a token, or an address that is none.
        EnvironmentProblem: the port is taken.
    """
    app = create_app(settings)
    listener = listen(settings.address, settings.port)
    host, port = listener.getsockname()[:2]
    _log.info("console_listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}", token=bool(settings.token))
    server = ConsoleServer(app)
    # uvicorn takes the signal itself, and sends it again once it has stopped: by then it must not end the process.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    server.run(sockets=[listener])


class ConsoleServer(uvicorn.Server):
    """uvicorn for ``app``, which tells open streams to end before it waits for them."""

    def __init__(self, app: FastAPI) -> None:
        # No access log: addresses may carry a one-time token.
        super().__init__(uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE_S, lifespan="on",
            proxy_headers=False, h11_max_incomplete_event_size=64 << 10,
        ))  # fmt: skip
        self._services: Services = app.state.services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As the base class."""
        self._services.stopping.set()
        await super().shutdown(sockets)


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; the caller closes it."""
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
    except socket.gaierror as error:
        raise UsageError(f"{address!r} is not an address to listen on: {error.strerror}") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise EnvironmentProblem(
            f"cannot listen on {address}:{port}: {error.strerror}; choose another with --port, in a document consolePlugin.port"
        ) from error
    listener.listen(_BACKLOG)
    return listener
