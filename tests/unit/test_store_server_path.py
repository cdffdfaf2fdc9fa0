# SPDX-License-Identifier: Apache-2.0
"""The road to a ClickHouse server: the same client, without segments, with its own migration; and answers that get lost.

The embedded store stands in for the server (it speaks the same HTTP): replication, TLS and users are not tested here.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.store.clickhouse import backend
from flowgauge.store.errors import StoreFull, StoreRejected, StoreUnavailable
from flowgauge.store.opening import open_store
from flowgauge.store.store import FlowStore, LedgerRow
from store_kit import SECRET, StoreProcess, flows, in_namespace, last, now_ms


@pytest.fixture
def server(process: StoreProcess, monkeypatch: pytest.MonkeyPatch) -> FlowStore:
    """A client that does not know that the store is embedded."""
    monkeypatch.setattr(backend, "embedded_about", lambda *_: None)
    return open_store(f"{process.url}/default", SECRET)


def test_migration_writes_and_questions_work_over_http_alone(server: FlowStore) -> None:
    server.migrate()
    assert server.write(flows("server", 20, owners=("a", "b")), "server") == 20
    assert server.write(flows("server", 20, owners=("a", "b")), "server") == 20
    query = FlowQuery(last(), in_namespace("server"), group_by=("src_owner",), step_ms=60_000)
    answer = server.query(query)
    assert {group.key["src_owner"]: group.values[Measure.FLOWS] for group in answer.groups} == {"a": 10, "b": 10}
    assert len(server.flows(FlowQuery(last(), in_namespace("server")))) == 20
    assert server.edges(FlowQuery(last(), in_namespace("server"))).edge_count == 2
    server.write_ledger([LedgerRow(now_ms(), "agent", f"a@{now_ms()}", "export_records_sent", 5)])
    assert server.ledger(last())[0].change == 5
    assert not server.status().embedded


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a store, but spoils inserts as ``faults`` say, one after the other.

    ``lost``: the insert is done, its answer is not passed on; a pair (status, ClickHouse code): answered without the store.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.target, self.faults = port, list[str | tuple[int, int]]()
        self.inserts = 0
        super().__init__(("127.0.0.1", 0), ProxyHandler)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class ProxyHandler(BaseHTTPRequestHandler):
    """One request of ``Proxy``."""

    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Questions about the embedded store."""
        self._pass(b"")

    def do_POST(self) -> None:
        """Statements."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = None
        if body.startswith(b"INSERT"):
            self.server.inserts += 1
            fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, tuple):
            text = f"Code: {fault[1]}. DB::Exception: made up".encode()
            self._send(fault[0], {"X-ClickHouse-Exception-Code": str(fault[1])}, text)
        else:
            self._pass(body, lose_answer=fault == "lost")

    def _pass(self, body: bytes, *, lose_answer: bool = False) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if lose_answer:
            self.close_connection = True
            return
        kept = {name: value for name, value in answer.getheaders() if name.lower().startswith("x-click")}
        self._send(answer.status, kept, content)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def proxy(process: StoreProcess) -> Iterator[Proxy]:
    server = Proxy(process.port)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    with contextlib.suppress(OSError):
        server.shutdown()
        server.server_close()


def written(store: FlowStore, namespace: str) -> object:
    return store.query(FlowQuery(last(), in_namespace(namespace))).total.values[Measure.FLOWS]


def test_a_lost_answer_is_retried_and_counted_once(proxy: Proxy) -> None:
    retries: list[None] = []
    store = open_store(proxy.url, SECRET, on_retry=lambda: retries.append(None))
    proxy.faults = ["lost", (503, 202), "lost"]
    assert store.write(flows("lost", 50), "lost-1") == 50
    assert written(store, "lost") == 50
    assert len(retries) == 3
    assert proxy.inserts == 4


def test_a_store_that_stays_busy_is_unavailable(proxy: Proxy) -> None:
    store = open_store(proxy.url, SECRET, retry_s=0.2)
    proxy.faults = [(500, 252)] * 50
    with pytest.raises(StoreUnavailable, match="cannot do this now"):
        store.write(flows("busy", 5), "busy-1")
    proxy.faults = []
    assert store.write(flows("busy", 5), "busy-1") == 5
    assert written(store, "busy") == 5


def test_a_refusal_is_not_retried(proxy: Proxy) -> None:
    store = open_store(proxy.url, SECRET)
    proxy.faults = [(500, 53)]
    with pytest.raises(StoreRejected) as refusal:
        store.write(flows("refused", 5), "refused-1")
    assert refusal.value.code == 53
    proxy.faults = [(500, 243)]
    with pytest.raises(StoreFull):
        store.write(flows("refused", 5), "refused-2")
    assert proxy.inserts == 2
