# SPDX-License-Identifier: Apache-2.0
"""How the system stands: for people (``/api/v1/status``), probes (``/healthz``, ``/readyz``) and Prometheus (``/metrics``)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from flowgauge import __version__
from flowgauge.console import collector
from flowgauge.console.services import Services, Use
from flowgauge.errors import EnvironmentProblem, FlowgaugeError
from flowgauge.runtime.metrics import Exposition

router = APIRouter(tags=["status"])


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
    """Version, time, the store, whether the collector answers, or there is one and it is silent, and who sends.

    The last is ``collector.exporters``, of each as ``collector.exporter_report`` tells.
    """
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
    try:
        return {"answers": True, "silent": False, "exporters": await collector.exporters(services)}
    except EnvironmentProblem as error:
        return {"answers": False, "silent": isinstance(error, collector.Silent), "problem": str(error)}
