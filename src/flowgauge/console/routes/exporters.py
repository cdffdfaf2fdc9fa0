# SPDX-License-Identifier: Apache-2.0
"""Who sends flows: the Exporters page."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from flowgauge.console import collector
from flowgauge.console.services import Use

router = APIRouter(prefix="/api/v1", tags=["exporters"])


@router.get("/exporters")
async def exporters(services: Use) -> dict[str, Any]:
    """One entry for each exporter and observation domain, as the collector knows them now; 503 when it does not answer."""
    found = await collector.exporters(services)
    return {"now_ms": services.now_ms, "exporters": found}
