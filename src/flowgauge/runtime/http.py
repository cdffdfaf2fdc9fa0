# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server for what a part tells about itself: metrics, health, its ledger, streams.

Routes are functions from :class:`Request` to :class:`Response`, chosen by exact path; only GET and HEAD. A response's body is
bytes, or an iterator of bytes that is sent piece by piece (server-sent events). One daemon thread a connection, bounded in
number; handlers must be safe to call from any of them. The console, which has users, is FastAPI instead.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.runtime import logs
from flowgauge.runtime.loopback import is_loopback, names_loopback
from flowgauge.runtime.waiting import Waiting

MAX_CONNECTIONS = 128
"""Connections served at once; more are refused with 503, so that a client that never closes cannot use up the threads."""

IDLE_TIMEOUT_S = 30.0
"""How long a connection may keep silent before it is closed; a stream's own pieces come more often (send keep-alives)."""

_log = logs.get("http")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked.

    Attributes:
        path: without the query.
        query: each parameter's values, in order.
        stopping: set when the server stops; a stream ends then (look at it at least once a second).
    """

    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    stopping: threading.Event

    def value(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered; an iterator as body is closed (``GeneratorExit``) when the client goes away."""

    body: bytes | Iterator[bytes]
    content_type: str = "text/plain; charset=utf-8"
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Response]


def as_json(value: Any, status: int = HTTPStatus.OK) -> Response:
    """A JSON answer."""
    return Response(json.dumps(value).encode() + b"\n", "application/json", status)


def as_text(text: str, status: int = HTTPStatus.OK) -> Response:
    """A plain answer, one line."""
    return Response(text.encode() + b"\n", status=status)


def as_events(events: Iterator[bytes]) -> Response:
    """Server-sent events: each piece is one or more whole events, or a comment line, each ended by an empty line."""
    return Response(events, "text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


NOT_READY = "not ready"
"""What ``/readyz`` begins with until a part is; behind a colon it may say for what it waits in vain."""


def health_routes(
    ready: Callable[[], bool], metrics: Callable[[], bytes], refused: Callable[[], str] = str
) -> dict[str, Handler]:
    """The routes every part has: ``/healthz``, ``/readyz`` (503 until ``ready``) and ``/metrics`` (Prometheus text).

    ``refused`` gives a sentence while the part cannot become ready before somebody does something, else an empty text.
    """

    def readyz(_: Request) -> Response:
        if ready():
            return as_text("ready")
        why = refused()
        return as_text(f"{NOT_READY}: {why}" if why else NOT_READY, HTTPStatus.SERVICE_UNAVAILABLE)

    return {
        "/healthz": lambda _: as_text("ok"),
        "/readyz": readyz,
        "/metrics": lambda _: Response(metrics(), "text/plain; version=0.0.4; charset=utf-8"),
    }


class HttpServer:
    """Serves ``routes`` at ``address``:``port`` between ``start`` and ``stop``; port 0 takes a free one.

    On a loopback address a request must name a loopback host, so that a web page cannot read us by rebinding its own
    name to 127.0.0.1.
    """

    def __init__(self, address: str, port: int, routes: Mapping[str, Handler]) -> None:
        self._address, self._port, self._routes = address, port, dict(routes)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listens; EnvironmentProblem when the port is taken, UsageError when the address is none."""
        try:
            self._server = _Server((self._address, self._port), self._routes)
        except socket.gaierror as error:
            raise UsageError(f"{self._address!r} is not an address to listen on: {error.strerror}") from error
        except OSError as error:
            where = f"{self._address}:{self._port}"
            raise EnvironmentProblem(f"cannot listen on {where}: {error.strerror}; choose another HTTP port") from error
        self._thread = threading.Thread(target=self._server.serve, name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops listening and ends streams; safe to call twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.end()
        if self._thread is not None:
            self._thread.join()
        server.close()

    def ready(self) -> bool:
        """True while it listens."""
        return self._server is not None

    @property
    def port(self) -> int:
        """The port it listens on; the one asked for before ``start``."""
        return self._server.server_port if self._server else self._port

    @property
    def url(self) -> str:
        """Base URL, without a trailing slash."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{host}:{self.port}"


class BoundedServer(ThreadingHTTPServer):
    """A daemon thread a connection, at most ``connections`` of them; more are refused with 503.

    Args:
        where: address and port.
        handler: makes the answers.
        connections: served at once.
        log: is told of connections that failed for a reason of ours.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, where: tuple[str, int], handler: type[BaseHTTPRequestHandler], connections: int, log: Any) -> None:
        if ":" in where[0]:
            self.address_family = socket.AF_INET6
        self._free, self._log = threading.BoundedSemaphore(connections), log
        super().__init__(where, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """As the base class, within the bound."""
        if not self._free.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread can be had: its place is free again
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As the base class, in the connection's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class passes both
        """A client that goes away in the middle is no news; anything else is."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            self._log.error("http_connection_failed", client=client_address[0], exc_info=error)


class _Server(BoundedServer):
    def __init__(self, where: tuple[str, int], routes: Mapping[str, Handler]) -> None:
        self.routes = routes
        self.stopping = threading.Event()
        self.loopback = is_loopback(where[0])
        super().__init__(where, _Handler, MAX_CONNECTIONS, _log)
        self.timeout = 0  # of ``handle_request``: somebody is there, or is no longer
        self._waiting = Waiting(self.fileno())

    def serve(self) -> None:
        """Answers until ``end``; between connections the thread sleeps, where ``serve_forever`` looks up again and again."""
        while True:
            self._waiting.wait()
            if self.stopping.is_set():
                break
            self.handle_request()

    def end(self) -> None:
        """Streams end, and ``serve`` does."""
        self.stopping.set()
        self._waiting.wake()

    def close(self) -> None:
        """Gives back what it holds, once ``serve`` has ended: until then ``end`` may still be waking it."""
        self._waiting.close()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout: ClassVar[float] = IDLE_TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version = "flowgauge"
    sys_version = ""

    def do_GET(self) -> None:
        response = self._answer()
        if isinstance(response.body, bytes):
            self._send_head(response, length=len(response.body))
            if self.command != "HEAD":
                self.wfile.write(response.body)
        else:
            self._stream(response, response.body)

    do_HEAD = do_GET  # noqa: N815 - the base class looks for these names

    def _answer(self) -> Response:
        parts = urlsplit(self.path)
        if self.server.loopback and not names_loopback(self.headers.get("Host", "")):
            return as_json({"error": {"message": "this server answers only to a loopback host name"}}, HTTPStatus.FORBIDDEN)
        handler = self.server.routes.get(parts.path)
        if handler is None:
            known = ", ".join(sorted(self.server.routes))
            return as_json({"error": {"message": f"no such path; there are {known}"}}, HTTPStatus.NOT_FOUND)
        query = parse_qs(parts.query, keep_blank_values=True)
        try:
            return handler(Request(parts.path, query, dict(self.headers), self.server.stopping))
        except UsageError as error:
            return as_json({"error": {"message": str(error)}}, HTTPStatus.BAD_REQUEST)
        except Exception:  # noqa: BLE001 - one broken route must not take the part's other routes with it
            _log.exception("http_handler_failed", path=parts.path)
            return as_json({"error": {"message": "internal error; see the log"}}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _send_head(self, response: Response, *, length: int | None) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in response.headers.items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _stream(self, response: Response, pieces: Iterator[bytes]) -> None:
        """The end of the connection is the end of the body (HTTP/1.1 without a length)."""
        try:
            self._send_head(response, length=None)
            if self.command == "HEAD":
                return
            for piece in pieces:  # which end by themselves when the server stops, after what they still have to say
                self.wfile.write(piece)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        _log.debug("http_request", client=self.client_address[0], request=format % args)
