# SPDX-License-Identifier: Apache-2.0
"""What the routes share: the store, the threads that ask it, the collector's address, the clock."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, ParamSpec, TypeVar

import aiohttp
from fastapi import Depends, Request

from flowgauge.console.settings import ConsoleSettings
from flowgauge.console.top_values import TopValues
from flowgauge.runtime import clock
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema.flow_query import Window
from flowgauge.store.store import FlowStore

P = ParamSpec("P")
T = TypeVar("T")

STORE_THREADS = 4
"""Questions asked at once: the page asks four when it opens; the store has two cores for them."""


MAX_OPENED = 32
"""Datasets open at once; the one opened first is closed for another, whose clients finish what they do."""


@dataclass(slots=True)
class Services:
    """Collaborators of the routes; made by ``create_app``, opened and closed with the server."""

    settings: ConsoleSettings
    store: FlowStore
    ledger: Ledger
    now_ns: clock.Clock = clock.now_ns
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(STORE_THREADS, "store"))
    http: aiohttp.ClientSession | None = None
    opened: dict[str, FlowStore] = field(default_factory=dict)
    top_values: TopValues = field(init=False)

    def __post_init__(self) -> None:
        self.top_values = TopValues(lambda: self.now_ms)

    @property
    def now_ms(self) -> int:
        """The wall time."""
        return self.now_ns() // 1_000_000

    def heard_by_ms(self, store: FlowStore, window: Window) -> int:
        """Until when a collector should have told of itself, for ``completeness``; datasets are not added to."""
        return min(window.end_ms, self.now_ms) if store is self.store else 0

    async def ask(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a blocking call on one of the store's threads."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, lambda: call(*args, **kwargs))

    def dataset(self, name: str) -> FlowStore:
        """Dataset ``name``, or the live flows for an empty name; UsageError for what is no name."""
        if not name:
            return self.store
        if name not in self.opened:
            while len(self.opened) >= MAX_OPENED:
                self.opened.pop(next(iter(self.opened))).close()
            self.opened[name] = self.store.dataset(name)
        return self.opened[name]

    def client(self) -> aiohttp.ClientSession:
        """The HTTP client for the collector and agents; made on first use, in the server's loop.

        Without a bound of its own on connections: each viewer of live flows has one, and a capture one to every agent at once.
        """
        if self.http is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=2, sock_connect=2)
            self.http = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        return self.http

    async def close(self) -> None:
        """Ends streams and gives everything back."""
        self.stopping.set()
        if self.http is not None:
            await self.http.close()
        self.pool.shutdown(wait=False, cancel_futures=True)
        for store in (*self.opened.values(), self.store):
            store.close()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Use = Annotated[Services, Depends(_services)]
"""Type of a route's parameter that receives the services."""


def why(error: BaseException) -> str:
    """What kept one of ours from answering, without what only the HTTP client says of itself."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        return os.strerror(error.os_error.errno)
    if isinstance(error, TimeoutError):
        return "nothing came in time"
    return str(error) or type(error).__name__
