# SPDX-License-Identifier: Apache-2.0
"""The console's application: the API for everybody, the page for people, the guard before both. Before it: ``query``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from flowgauge import __version__
from flowgauge.console import problems
from flowgauge.console.guard import Guard
from flowgauge.console.routes import (
    capture,
    columns,
    datasets,
    exporters,
    filters,
    flows,
    flows_arrow,
    groups,
    ledger,
    live,
    nodes,
    static,
    status,
    topology,
    troubles,
)
from flowgauge.console.services import Services
from flowgauge.console.settings import ConsoleSettings
from flowgauge.runtime import clock
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.opening import open_store

_TOPICS = (
    status, flows, flows_arrow, groups, topology, troubles, filters, columns, ledger, live, capture, exporters, nodes, datasets,
)  # fmt: skip


def create_app(settings: ConsoleSettings) -> FastAPI:
    """The application; UsageError when ``settings`` would leave it open to others."""
    settings.check()
    services = Services(
        settings=settings,
        store=open_store(settings.store_url, settings.store_secret),
        ledger=Ledger("console", f"console@{clock.now_ns() // 1_000_000}"),
    )
    app = FastAPI(
        title="Flowgauge",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.services = services
    problems.register(app)
    for topic in _TOPICS:
        app.include_router(topic.router)
    app.include_router(static.router(Path(settings.static_dir) if settings.static_dir else static.BUILT))
    app.add_middleware(Guard, token=settings.token, loopback=settings.loopback)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await app.state.services.close()
