# SPDX-License-Identifier: Apache-2.0
"""How the system stands: for people (``/api/v1/status``), probes (``/healthz``, ``/readyz``) and Prometheus (``/metrics``)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import aiohttp
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from flowgauge import __version__
from flowgauge.console.services import Services, Use
from flowgauge.errors import FlowgaugeError
from flowgauge.runtime.metrics import Exposition

router = APIRouter(tags=["status"])

_COLLECTOR_TIMEOUT = aiohttp.ClientTimeout(total=2)


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """200 while the process answers."""
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse)
async def readyz(services: Use) -> Response:
    """200 while the store answers too."""
    try:
        await services.ask(services.store.status)
    except FlowgaugeError as error:
        return PlainTextResponse(f"not ready: {error}\n", 503)
    return PlainTextResponse("ready\n")


@router.get("/metrics")
async def metrics(services: Use) -> Response:
    """Prometheus text."""
    return Response(Exposition(services.ledger).text(), media_type="text/plain; version=0.0.4")


@router.get("/api/v1/status")
async def status(services: Use) -> dict[str, Any]:
    """Version, time, the store, and who sends (``collector.exporters``, as ``collector.exporter_report`` tells of each)."""
    return {
        "version": __version__,
        "now_ms": services.now_ms,
        "cluster": services.settings.cluster,
        "store": await _store(services),
        "collector": await _collector(services),
    }


async def _store(services: Services) -> dict[str, Any]:
    try:
        return {"answers": True} | asdict(await services.ask(services.store.status))
    except FlowgaugeError as error:
        return {"answers": False, "problem": str(error)}


async def _collector(services: Services) -> dict[str, Any]:
    if not services.settings.collector_url:
        return {"answers": False, "problem": "this console was started without a collector"}
    try:
        async with services.client().get(
            f"{services.settings.collector_url}/api/v1/exporters", timeout=_COLLECTOR_TIMEOUT
        ) as got:
            return {"answers": got.status == 200, "exporters": await got.json() if got.status == 200 else []}
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return {"answers": False, "problem": f"the collector does not answer: {error or type(error).__name__}"}
