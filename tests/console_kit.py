# SPDX-License-Identifier: Apache-2.0
"""For tests: the console on a real port, asked over real HTTP."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import Any
from urllib.parse import urlencode

from agent_kit import until
from flowgauge.collector.live import LiveTap
from flowgauge.console.app import create_app
from flowgauge.console.main import ConsoleServer, listen
from flowgauge.console.settings import ConsoleSettings
from flowgauge.runtime.http import HttpServer
from flowgauge.runtime.ledger import Ledger
from store_kit import flows


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    headers: HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> dict[str, Any]:
        """Of an error."""
        found: dict[str, Any] = self.json["error"]
        return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Redirects are answers to look at."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


@dataclass(frozen=True)
class Console:
    """A console that runs at ``url``."""

    url: str

    def ask(self, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None, **params: object) -> Reply:
        """The reply to GET (POST with a ``body``) of ``path`` with ``params``; ``from_`` is the parameter ``from``."""
        query = urlencode({name.rstrip("_"): value for name, value in params.items()})
        request = urllib.request.Request(f"{self.url}{path}{'?' if query else ''}{query}", body, dict(headers or {}))  # noqa: S310
        try:
            with _OPENER.open(request, timeout=60) as answer:
                return Reply(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.headers, error.read().decode())

    def api(self, path: str, **params: object) -> Reply:
        """The reply of ``/api/v1/path``."""
        return self.ask(f"/api/v1/{path}", **params)  # type: ignore[arg-type]


@contextlib.contextmanager
def running_console(settings: ConsoleSettings) -> Iterator[Console]:
    """The console in this process, on a free port; stopped at the end."""
    listener = listen("127.0.0.1", 0)
    server = ConsoleServer(create_app(settings))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    try:
        yield Console(f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the console did not stop"


class Collector:
    """The part of a collector that viewers meet."""

    def __init__(self) -> None:
        self._start(0)

    def _start(self, port: int) -> None:
        self.tap = LiveTap(Ledger("collector", "c@1"))
        self.http = HttpServer("127.0.0.1", port, self.tap.routes())
        self.http.start()

    def restart(self) -> None:
        """Ends all streams and comes back on the same port."""
        port = self.http.port
        self.stop()
        self._start(port)

    def publish_when_watched(self, *namespaces: str, viewers: int = 1) -> None:
        """Hands flows over once somebody watches."""
        until(lambda: self.tap.viewers >= viewers, f"{viewers} viewers")
        for namespace in namespaces:
            self.tap.publish(flows(namespace, 2))

    def until_sent(self) -> None:
        """Waits until no flow waits for a viewer any more."""
        until(lambda: not any(viewer._waiting for viewer in self.tap._viewers), "all is sent")

    def stop(self) -> None:
        self.tap.stop()
        self.http.stop()
