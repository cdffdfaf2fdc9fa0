# SPDX-License-Identifier: Apache-2.0
"""The map: who talks to whom."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from flowgauge.console.question import Asked
from flowgauge.console.services import Use
from flowgauge.query.topology import topology
from flowgauge.schema.flow_query import FlowQuery, Measure

router = APIRouter(prefix="/api/v1", tags=["topology"])

MAX_EDGES = 3000
"""Twice what the map draws smoothly."""


@router.get("/topology")
async def map_of_traffic(
    services: Use,
    asked: Asked,
    order: Annotated[Measure, Query(description="What makes an edge large.")] = Measure.BYTES,
    top: Annotated[int, Query(ge=1, le=MAX_EDGES, description="How many edges.")] = 500,
) -> dict[str, Any]:
    """Workloads and peers as nodes, client → server pairs as edges; what the further edges hold as ``others``."""
    query = FlowQuery(window=asked.window, where=asked.where, order_by=order.value, limit=top, duplicates=asked.duplicates)
    found = await services.ask(topology, asked.store, query)
    return asdict(found) | {"window": asked.window_json}
