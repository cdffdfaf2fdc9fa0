# SPDX-License-Identifier: Apache-2.0
"""The flows themselves, newest or largest first, as the JSON of ``columns.md`` §6."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from flowgauge.console.question import Asked, column_names
from flowgauge.console.services import Use
from flowgauge.flow.rows import to_rows
from flowgauge.query.completeness import completeness
from flowgauge.schema.flow_query import FlowQuery, Measure

router = APIRouter(prefix="/api/v1", tags=["flows"])

MAX_FLOWS = 10_000
"""More rows than anybody reads; larger exports go by the store's own tools."""


@router.get("/flows")
async def flows(
    services: Use,
    asked: Asked,
    limit: Annotated[int, Query(ge=1, le=MAX_FLOWS, description="How many flows.")] = 100,
    columns: Annotated[str, Query(description="Columns, by commas; empty: all that are stored.")] = "",
    order: Annotated[str, Query(description="`time_end_ns`: newest first.")] = "time_end_ns",
) -> dict[str, Any]:
    """The flows, how many match in all, and how complete the window is."""
    names = column_names(columns)
    query = FlowQuery(
        window=asked.window, where=asked.where, order_by=order, limit=limit, columns=names, duplicates=asked.duplicates
    )
    counting = FlowQuery(window=asked.window, where=asked.where, measures=(Measure.FLOWS,), duplicates=asked.duplicates)
    batch = await services.ask(services.store.flows, query)
    total = (await services.ask(services.store.query, counting)).total
    return {
        "rows": to_rows(batch, names or None),
        "matched": int(total.values.get(Measure.FLOWS) or 0),
        "sampling": total.sampling.words(),
        "window": asked.window_json,
        "completeness": await services.ask(completeness, services.store, asked.window),
    }
