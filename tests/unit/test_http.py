# SPDX-License-Identifier: Apache-2.0
"""The parts' small HTTP server, asked over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.runtime import logs
from flowgauge.runtime.http import BoundedServer, HttpServer, Request, Response, as_events, as_json, health_routes


@pytest.fixture
def closed() -> threading.Event:
    return threading.Event()


@pytest.fixture
def reloaded() -> threading.Event:
    return threading.Event()


@pytest.fixture
def server(closed: threading.Event, reloaded: threading.Event) -> Iterator[HttpServer]:
    def count(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            try:
                for number in range(int(request.value("to", "3"))):
                    yield b"data: %d\n\n" % number
            finally:
                closed.set()

        return as_events(pieces())

    def wait(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield b": here\n\n"
            request.stopping.wait(60)

        return as_events(pieces())

    def refuse(_: Request) -> Response:
        raise UsageError("ask otherwise")

    def fail(_: Request) -> Response:
        raise ZeroDivisionError

    routes = {
        **health_routes(closed.is_set, lambda: b"metric 1\n", lambda: "" if reloaded.is_set() else "the key is wrong"),
        "/echo": lambda request: as_json({"q": request.query, "path": request.path}),
        "/count": count,
        "/wait": wait,
        "/refuse": refuse,
        "/fail": fail,
    }
    http_server = HttpServer("127.0.0.1", 0, routes)
    http_server.start()
    yield http_server
    http_server.stop()


def ask(server: HttpServer, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_a_route_gets_path_and_query(server: HttpServer) -> None:
    status, body = ask(server, "/echo?a=1&a=2&b=x%20y")
    assert (status, json.loads(body)) == (200, {"q": {"a": ["1", "2"], "b": ["x y"]}, "path": "/echo"})


def test_readiness_follows_the_part_and_health_does_not(
    server: HttpServer, closed: threading.Event, reloaded: threading.Event
) -> None:
    assert ask(server, "/readyz") == (503, b"not ready: the key is wrong\n")
    assert ask(server, "/healthz")[0] == 200
    reloaded.set()
    assert ask(server, "/readyz") == (503, b"not ready\n")
    closed.set()
    assert ask(server, "/readyz") == (200, b"ready\n")


def test_a_head_request_has_no_body(server: HttpServer) -> None:
    assert ask(server, "/metrics", "HEAD") == (200, b"")
    assert ask(server, "/metrics") == (200, b"metric 1\n")


def test_a_stream_arrives_whole_and_its_iterator_is_closed(server: HttpServer, closed: threading.Event) -> None:
    assert ask(server, "/count?to=4") == (200, b"data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\n")
    assert closed.wait(60)


def test_a_client_that_goes_away_closes_the_iterator(server: HttpServer, closed: threading.Event) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /count?to=100000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert closed.wait(60)


def test_stopping_ends_a_stream_that_waits(server: HttpServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b": here" not in received:
            received += connection.recv(1000)
        server.stop()
        assert connection.recv(100) == b""


def test_an_unknown_path_says_which_there_are(server: HttpServer) -> None:
    status, body = ask(server, "/nothing")
    assert status == 404
    assert "/healthz" in json.loads(body)["error"]["message"]


def test_a_usage_error_is_a_400_with_its_sentence(server: HttpServer) -> None:
    assert ask(server, "/refuse") == (400, b'{"error": {"message": "ask otherwise"}}\n')


def test_a_broken_route_answers_500_and_the_others_go_on(server: HttpServer) -> None:
    assert ask(server, "/fail")[0] == 500
    assert ask(server, "/healthz")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "[2001:db8::1]:1"])
def test_a_foreign_host_name_is_refused_on_loopback(server: HttpServer, host: str) -> None:
    assert ask(server, "/echo", Host=host)[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9", "[::1]:80", "flows.localhost:1"])
def test_loopback_host_names_are_answered(server: HttpServer, host: str) -> None:
    assert ask(server, "/echo", Host=host)[0] == 200


def test_a_taken_port_is_told_in_one_sentence(server: HttpServer) -> None:
    second = HttpServer("127.0.0.1", server.port, {})
    with pytest.raises(EnvironmentProblem, match=f"cannot listen on 127.0.0.1:{server.port}"):
        second.start()


def test_it_can_be_stopped_twice(server: HttpServer) -> None:
    assert server.ready()
    server.stop()
    server.stop()
    assert not server.ready()


def test_it_can_be_stopped_when_its_thread_has_ended_by_itself(server: HttpServer) -> None:
    """A connection that comes while it is being stopped ends the thread before that is woken."""
    inner, thread = server._server, server._thread
    assert inner is not None
    assert thread is not None
    inner.stopping.set()
    socket.create_connection(("127.0.0.1", inner.server_address[1])).close()
    thread.join(60)
    server.stop()
    assert not server.ready()


def test_connections_beyond_the_bound_are_refused_until_one_ends() -> None:
    server = BoundedServer(("127.0.0.1", 0), _Greeting, 2, None)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    open_ones = [socket.create_connection(("127.0.0.1", server.server_port), 60) for _ in range(2)]
    try:
        assert [one.recv(2) for one in open_ones] == [b"hi", b"hi"]
        with socket.create_connection(("127.0.0.1", server.server_port), 60) as refused:
            assert refused.recv(100).startswith(b"HTTP/1.1 503 ")
        open_ones.pop().close()
        assert _greeted(server.server_port)
    finally:
        for one in open_ones:
            one.close()
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_machine_without_threads_to_spare_costs_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    server = BoundedServer(("127.0.0.1", 0), _Greeting, 2, logs.get("http"))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", _no_thread)
            for _ in range(4):
                with socket.create_connection(("127.0.0.1", server.server_port), 60) as refused:
                    assert refused.recv(100) == b""
        assert _greeted(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _greeted(port: int) -> bool:
    """The place of a connection that ended is free soon after."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port), 60) as one:
            if one.recv(2) == b"hi":
                return True
        time.sleep(0.05)
    return False


class _Greeting(BaseHTTPRequestHandler):
    """Greets and stays until the client goes."""

    def handle(self) -> None:
        self.wfile.write(b"hi")
        self.rfile.read(1)
