# SPDX-License-Identifier: Apache-2.0
"""The part of the ClickHouse HTTP interface that clickhouse-connect needs, in front of the embedded engine.

One thread a connection does the HTTP; statements run on the engine's own threads. Every request but ``/ping`` needs the
secret (all rights) or the reader's key (queries only), as HTTP Basic password or ``X-ClickHouse-Key``. Own address:
``/flowgauge`` tells a client that this is the embedded store and where its segment files go.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs
from flowgauge.runtime.http import BoundedServer
from flowgauge.runtime.secret import same
from flowgauge.store import secret as keys
from flowgauge.store.clickhouse import guard
from flowgauge.store.clickhouse.engine import Busy, Engine, Result, quoted
from flowgauge.store.clickhouse.http_request import (
    AUTHENTICATION_FAILED,
    NOT_ENOUGH_SPACE,
    READONLY,
    REQUIRED_PASSWORD,
    STATUS,
    STD_EXCEPTION,
    TOO_MANY_QUERIES,
    Failure,
    StoreRequest,
    given_key,
    parse,
    read_body,
)

MAX_CONNECTIONS = 96
"""Connections served at once; more are refused with 503."""

IDLE_TIMEOUT_S = 120.0

_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)

_log = logs.get("store")


class StoreServer:
    """Serves ``engine`` on 127.0.0.1 between ``start`` and ``stop``.

    Args:
        engine: runs the statements; started before, stopped after.
        port: 0 takes a free one.
        secret: all rights; the reader's key follows from it.
        segment_dir: the only folder whose files clients may have inserted.
        spare_dirs: where what came over HTTP goes when there is no room in that one.
        refuse_inserts: gives a sentence while the disk is too full for a table, else an empty text.
        about: what ``/flowgauge`` tells.
    """

    def __init__(self, engine: Engine, port: int, secret: str, segment_dir: Path, *, spare_dirs: Sequence[Path],
                 refuse_inserts: Callable[[str], str], about: Callable[[], dict[str, Any]]) -> None:  # fmt: skip
        self._engine, self._port, self._secret, self._segment_dir = engine, port, secret, segment_dir
        self._reader_key = keys.reader_key(secret)
        self._spare_dirs, self._refuse_inserts, self.about = spare_dirs, refuse_inserts, about
        self._server: _Server | None = None

    def start(self) -> int:
        """Listens and returns the port; EnvironmentProblem when it is taken."""
        try:
            self._server = _Server(self, self._port)
        except OSError as error:
            where = f"127.0.0.1:{self._port}"
            raise EnvironmentProblem(f"cannot listen on {where}: {error.strerror}; choose another --port") from error
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="store-http", daemon=True).start()
        return self._server.server_port

    def stop(self, drain_s: float = 20.0) -> None:
        """Stops listening and waits for the requests at work; safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.drained(drain_s)

    def is_writer(self, key: str) -> bool:
        """True for the secret, False for the reader's key; Failure for anything else. In constant time."""
        if not key:
            raise Failure(REQUIRED_PASSWORD, "this store needs its secret, as the password")
        writer, reader = same(key, self._secret), same(key, self._reader_key)
        if not (writer or reader):
            raise Failure(AUTHENTICATION_FAILED, "Authentication failed: this is not the store's secret")
        return writer

    def answer(self, request: StoreRequest) -> tuple[Result, str]:
        """The result and, for a statement that gives rows, their format; Failure when it is refused."""
        try:
            return self._run(request)
        except guard.Refused as refusal:
            raise Failure(READONLY, str(refusal)) from refusal
        except Busy:
            raise Failure(TOO_MANY_QUERIES, "too many statements are waiting; try again") from None
        except RuntimeError as error:  # the engine's errors
            raise Failure.of_engine(str(error)) from error

    def _run(self, request: StoreRequest) -> tuple[Result, str]:
        if request.writer and (head := guard.body_insert(request.text)) is not None:
            return self._insert_body(request, head), ""
        sql = request.text.decode()
        if request.writer and (segment := guard.segment_insert(sql, self._segment_dir)) is not None:
            self._check_space(segment.table)
            return self._engine.write(segment.sql(_clause(request)), database=request.database), ""
        explicit = _FORMAT.search(sql)
        format_ = explicit.group(1) if explicit else request.format
        if not request.writer:
            guard.check_read(sql)
            return self._engine.read(sql, format_=format_, params=request.params, database=request.database), format_
        guard.check_write(sql)
        result = self._engine.write(
            sql, format_=format_, params=request.params, settings=request.settings, database=request.database
        )
        return result, format_ if guard.first_word(sql) in guard.READ_WORDS else ""

    def _insert_body(self, request: StoreRequest, head: re.Match[bytes]) -> Result:
        """Inserts through a file: given data with a statement, the engine may lose rows silently."""
        table, format_ = head["table"].decode(), head["format"].decode()
        self._check_space(table)
        columns = f" ({head['columns'].decode()})" if head["columns"] else ""
        with self._as_file(request.text[head.end() :]) as path:
            sql = f"INSERT INTO {table}{columns} FROM INFILE '{path}'{_clause(request)} FORMAT {format_}"
            return self._engine.write(sql, database=request.database)

    @contextlib.contextmanager
    def _as_file(self, data: bytes) -> Iterator[Path]:
        """A file of ``data``; shared memory may be full of what others put there, and the store's own disk not."""
        problems: list[str] = []
        for folder in (self._segment_dir, *self._spare_dirs):
            path = folder / f"body-{os.getpid()}-{uuid.uuid4().hex}"
            try:
                path.write_bytes(data)
            except OSError as error:
                path.unlink(missing_ok=True)
                problems.append(f"{folder}: {error.strerror}")
                continue
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)
            return
        raise Failure(NOT_ENOUGH_SPACE, f"NOT_ENOUGH_SPACE: {', '.join(problems)}")  # the client shall try again

    def _check_space(self, table: str) -> None:
        if problem := self._refuse_inserts(table):
            raise Failure(NOT_ENOUGH_SPACE, f"NOT_ENOUGH_SPACE: {problem}")


def _clause(request: StoreRequest) -> str:
    """The request's settings as a clause: an insert's settings are part of its statement."""
    settings = ", ".join(f"{name} = {quoted(value)}" for name, value in request.settings.items())
    return f" SETTINGS {settings}" if settings else ""


class _Server(BoundedServer):
    def __init__(self, store: StoreServer, port: int) -> None:
        self.store = store
        self._busy, self._idle = 0, threading.Condition()
        super().__init__(("127.0.0.1", port), _Handler, MAX_CONNECTIONS, _log)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
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


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout: ClassVar[float] = IDLE_TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version = "flowgauge-store"
    sys_version = ""
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._send(HTTPStatus.OK, b"Ok.\n", {})
        else:
            self._serve(may_write=False)

    do_HEAD = do_GET  # noqa: N815 - the base class looks for these names

    def do_POST(self) -> None:
        self._serve(may_write=True)

    def _serve(self, *, may_write: bool) -> None:
        with self.server.at_work():
            try:
                self._answer(may_write=may_write)
            except Failure as failure:
                self._fail(failure)
            except (ConnectionError, TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001 - one broken request must not take the others with it
                _log.exception("store_request_failed")
                self._fail(Failure(STD_EXCEPTION, f"{type(error).__name__}: {error}"))

    def _answer(self, *, may_write: bool) -> None:
        headers = cast("Mapping[str, str]", self.headers)
        writer = self.server.store.is_writer(given_key(headers))
        body = read_body(headers, cast("Any", self.rfile))
        if urlsplit(self.path).path == "/flowgauge":
            about = self.server.store.about() | {"role": "writer" if writer else "reader"}
            self._send(HTTPStatus.OK, json.dumps(about).encode(), {"Content-Type": "application/json"})
            return
        result, format_ = self.server.store.answer(parse(self.path, headers, body, writer=writer and may_write))
        summary = {"read_rows": result.rows_read, "read_bytes": result.bytes_read, "elapsed_ns": result.elapsed_ns}
        if not format_:
            summary |= {"written_rows": result.rows_read, "written_bytes": result.bytes_read}
        extra = {"X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()})}
        self._send(HTTPStatus.OK, result.body, extra | ({"X-ClickHouse-Format": format_} if format_ else {}))

    def _fail(self, failure: Failure) -> None:
        """Tells the client. The connection ends: its body may not have been read."""
        self.close_connection = True
        headers = {"X-ClickHouse-Exception-Code": str(failure.code), "Connection": "close"}
        if failure.code == REQUIRED_PASSWORD:
            headers["WWW-Authenticate"] = 'Basic realm="flowgauge store"'
        self._send(STATUS.get(failure.code, HTTPStatus.INTERNAL_SERVER_ERROR), failure.body, headers)

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
