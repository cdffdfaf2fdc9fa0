# SPDX-License-Identifier: Apache-2.0
"""The part of the ClickHouse HTTP interface that clickhouse-connect needs, in front of the embedded engine.

One thread a connection does the HTTP; statements run on the engine's own threads. Every request but ``/ping`` needs the
secret (all rights) or the reader's key (queries only), as HTTP Basic password or ``X-ClickHouse-Key``. Own address:
``/flowgauge`` tells a client that this is the embedded store and where its segment files go.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import sys
import threading
import uuid
import zlib
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs
from flowgauge.store import secret as keys
from flowgauge.store.clickhouse import guard
from flowgauge.store.clickhouse.engine import DATABASE, Busy, Engine, Result, quoted

MAX_CONNECTIONS = 96
MAX_BODY_BYTES = 256 << 20
IDLE_TIMEOUT_S = 120.0

AUTHENTICATION_FAILED, REQUIRED_PASSWORD, READONLY, NOT_ENOUGH_SPACE = 516, 194, 164, 243
TOO_MANY_QUERIES, BAD_ARGUMENTS, NOT_IMPLEMENTED = 202, 36, 48

_CODE = re.compile(r"Code: (\d+)\.")
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_]\w*")
_TRANSPORT = frozenset(
    "query database default_format user password session_id session_timeout session_check query_id quota_key compress decompress "
    "buffer_size wait_end_of_query client_protocol_version role send_progress_in_http_headers enable_http_compression "
    "http_headers_progress_interval_ms readonly cancel_http_readonly_queries_on_client_close".split()
)
"""Parameters of the transport, which are no settings of the engine. ``readonly`` is served by read-only handles."""

_STATUS = {AUTHENTICATION_FAILED: 403, REQUIRED_PASSWORD: 401, READONLY: 403, 62: 400, 47: 404, 60: 404, 81: 404, 46: 404,
           TOO_MANY_QUERIES: 503, NOT_IMPLEMENTED: 501, BAD_ARGUMENTS: 400, 457: 400, 159: 504}  # fmt: skip

_log = logs.get("store")


class Failure(Exception):
    """What the client is told: an engine's error code and a sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class StoreServer:
    """Serves ``engine`` on 127.0.0.1 between ``start`` and ``stop``.

    Args:
        secret: all rights; the reader's key follows from it.
        segment_dir: the only folder whose files may be inserted.
        refuse_inserts: gives a sentence while the disk is too full, else an empty text.
        about: what ``/flowgauge`` tells.
    """

    def __init__(self, engine: Engine, port: int, secret: str, segment_dir: Path, *, refuse_inserts: Any, about: Any) -> None:
        self._engine, self._port = engine, port
        self.secret, self.reader_key = secret, keys.reader_key(secret)
        self.engine, self.segment_dir, self.refuse_inserts, self.about = engine, segment_dir, refuse_inserts, about
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listens and returns the port; EnvironmentProblem when it is taken."""
        try:
            self._server = _Server(self, self._port)
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot listen on 127.0.0.1:{self._port}: {error.strerror}; choose another --port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="store-http", daemon=True)
        self._thread.start()
        return self._server.server_port

    def stop(self, drain_s: float = 20.0) -> None:
        """Stops listening and waits for the requests at work."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.drained(drain_s)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, store: StoreServer, port: int) -> None:
        self.store = store
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._busy, self._idle = 0, threading.Condition()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._connections.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    @contextlib.contextmanager
    def at_work(self) -> Any:
        """Marks a request as accepted, for ``drained``."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def drained(self, timeout_s: float) -> bool:
        """Waits until no request is at work."""
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, timeout_s)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class passes both
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            _log.error("store_connection_failed", exc_info=error)


@dataclass(frozen=True, slots=True)
class _Request:
    """A parsed request: the statement's text (with its data behind it) and its parameters."""

    text: bytes
    params: dict[str, str]
    settings: dict[str, str]
    database: str
    format: str
    writer: bool


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout: ClassVar[float] = IDLE_TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version = "flowgauge-store"
    sys_version = ""
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/ping":
            self._send(HTTPStatus.OK, b"Ok.\n", {})
        else:
            self._guarded(read_only=True)

    do_HEAD = do_GET  # noqa: N815 - the base class looks for these names

    def do_POST(self) -> None:
        self._guarded(read_only=False)

    def _guarded(self, *, read_only: bool) -> None:
        with self.server.at_work():
            try:
                body = self._body()
                writer = self._authenticate()
                if urlsplit(self.path).path == "/flowgauge":
                    about = self.server.store.about() | {"role": "writer" if writer else "reader"}
                    self._send(HTTPStatus.OK, json.dumps(about).encode(), {"Content-Type": "application/json"})
                else:
                    self._answer(self._parse(body, writer=writer, read_only=read_only))
            except Failure as failure:
                self._fail(failure)
            except (ConnectionError, TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001 - one broken request must not take the others with it
                _log.exception("store_request_failed")
                self._fail(Failure(1001, f"{type(error).__name__}: {error}"))

    def _authenticate(self) -> bool:
        """True for a writer, False for a reader; Failure otherwise."""
        given = self.headers.get("X-ClickHouse-Key", "")
        kind, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if not given and kind.lower() == "basic":
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                given = base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        if not given:
            raise Failure(REQUIRED_PASSWORD, "this store needs its secret, as the password")
        writer = keys.same(given, self.server.store.secret)
        reader = keys.same(given, self.server.store.reader_key)
        if not (writer or reader):
            raise Failure(AUTHENTICATION_FAILED, "Authentication failed: this is not the store's secret")
        return writer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = self._chunked()
        else:
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_BODY_BYTES:
                self._too_large()
            data = self.rfile.read(length) if length else b""
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        if encoding in ("gzip", "deflate"):
            return zlib.decompress(data, zlib.MAX_WBITS | 32)
        if encoding not in ("", "identity"):
            raise Failure(NOT_IMPLEMENTED, f"Content-Encoding {encoding} is not supported here; send plain bodies")
        return data

    def _chunked(self) -> bytes:
        pieces, total = [], 0
        while size := int(self.rfile.readline(1024).split(b";")[0], 16):
            total += size
            if total > MAX_BODY_BYTES:
                self._too_large()
            pieces.append(self.rfile.read(size))
            self.rfile.readline(1024)
        while self.rfile.readline(1024).strip():
            pass
        return b"".join(pieces)

    def _too_large(self) -> None:
        self.close_connection = True
        raise Failure(BAD_ARGUMENTS, f"the request's body is longer than {MAX_BODY_BYTES} bytes")

    def _parse(self, body: bytes, *, writer: bool, read_only: bool) -> _Request:
        if self.headers.get("Content-Type", "").startswith("multipart/"):
            raise Failure(NOT_IMPLEMENTED, "form encoding is not supported here; send the query as the body")
        fields = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        query = fields.get("query", "").encode()
        text = query + b"\n" + body if query and body else query or body
        if not text.strip():
            raise Failure(62, "Empty query")
        settings = {name: value for name, value in fields.items() if name not in _TRANSPORT and not name.startswith("param_")}
        if not all(map(_NAME.fullmatch, settings)):
            raise Failure(BAD_ARGUMENTS, "a setting's name is a word")
        database = fields.get("database", DATABASE) or DATABASE
        if database not in (DATABASE, "default", "system"):
            raise Failure(81, f"Database {database} does not exist")
        return _Request(
            text=text,
            params={name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")},
            settings=settings,
            database=DATABASE if database == "default" else database,
            format=fields.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated",
            writer=writer and not read_only and fields.get("readonly", "0") == "0",
        )

    def _answer(self, request: _Request) -> None:
        try:
            result, format_ = self._run(request)
        except guard.Refused as refusal:
            raise Failure(READONLY, str(refusal)) from refusal
        except Busy:
            raise Failure(TOO_MANY_QUERIES, "too many statements are waiting; try again") from None
        except RuntimeError as error:  # ChdbError
            raise Failure(_code_of(str(error)), str(error)) from error
        summary = {"read_rows": result.rows_read, "read_bytes": result.bytes_read, "elapsed_ns": result.elapsed_ns}
        if not format_:
            summary |= {"written_rows": result.rows_read, "written_bytes": result.bytes_read}
        headers = {"X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()})}
        if format_:
            headers["X-ClickHouse-Format"] = format_
        self._send(HTTPStatus.OK, result.body, headers)

    def _run(self, request: _Request) -> tuple[Result, str]:
        """The result and, for a statement that gives rows, their format."""
        engine, store = self.server.store.engine, self.server.store
        head = guard.body_insert(request.text)
        if request.writer and head is not None:
            self._check_space()
            return self._insert_body(request, head), ""
        sql = request.text.decode(errors="strict")
        if request.writer and (segment := guard.segment_insert(sql, store.segment_dir)) is not None:
            self._check_space()
            settings = ", ".join(f"{name} = {quoted(value)}" for name, value in request.settings.items())
            return engine.write(segment.sql(settings), database=request.database), ""
        explicit = _FORMAT.search(sql)
        format_ = explicit.group(1) if explicit else request.format
        if not request.writer:
            guard.check_read(sql)
            return engine.read(sql, format_=format_, params=request.params, database=request.database), format_
        guard.check_write(sql)
        given = {"params": request.params, "settings": request.settings, "database": request.database}
        result = engine.write(sql, format_=format_, **given)
        return result, format_ if guard.first_word(sql) in guard.READ_WORDS else ""

    def _check_space(self) -> None:
        if problem := self.server.store.refuse_inserts():
            raise Failure(NOT_ENOUGH_SPACE, f"NOT_ENOUGH_SPACE: {problem}")

    def _insert_body(self, request: _Request, head: re.Match[bytes]) -> Result:
        """chDB loses rows silently when it is given data with a statement, so the data goes through a file."""
        columns = f"({head['columns'].decode()})" if head["columns"] else ""
        path = self.server.store.segment_dir / f"body-{os.getpid()}-{uuid.uuid4().hex}"
        settings = ", ".join(f"{name} = {quoted(value)}" for name, value in request.settings.items())
        try:
            path.write_bytes(request.text[head.end() :])
            clause = f" SETTINGS {settings}" if settings else ""
            sql = (
                f"INSERT INTO {head['table'].decode()} {columns} FROM INFILE '{path}'{clause} FORMAT {head['format'].decode()}"
            )
            return self.server.store.engine.write(sql, database=request.database)
        finally:
            path.unlink(missing_ok=True)

    def _fail(self, failure: Failure) -> None:
        text = (
            failure.message
            if failure.message.startswith("Code: ")
            else f"Code: {failure.code}. DB::Exception: {failure.message}"
        )
        headers = {"X-ClickHouse-Exception-Code": str(failure.code)}
        if failure.code == REQUIRED_PASSWORD:
            headers["WWW-Authenticate"] = 'Basic realm="flowgauge store"'
        self._send(_STATUS.get(failure.code, 500), text.encode() + b"\n", headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "text/plain; charset=UTF-8"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("X-ClickHouse-Query-Id", uuid.uuid4().hex)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Requests are not logged: their parameters are the users' questions."""


def _code_of(message: str) -> int:
    found = _CODE.search(message)
    return int(found.group(1)) if found else 1001
