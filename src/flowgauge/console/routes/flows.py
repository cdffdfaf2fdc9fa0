# SPDX-License-Identifier: Apache-2.0
"""The flows themselves, newest first, as the JSON of ``columns.md`` §6."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from flowgauge.console.question import Asked, column_names
from flowgauge.console.services import Use
from flowgauge.flow.rows import Row, to_rows
from flowgauge.query.completeness import completeness
from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.store.store import FlowStore

router = APIRouter(prefix="/api/v1", tags=["flows"])

MAX_FLOWS = 10_000
"""More rows than anybody reads; larger exports go by the store's own tools."""


@router.get("/flows")
async def flows(
    services: Use,
    asked: Asked,
    limit: Annotated[int, Query(ge=1, le=MAX_FLOWS, description="How many flows.")] = 100,
    columns: Annotated[str, Query(description="Columns, by commas; empty: all that are stored.")] = "",
) -> dict[str, Any]:
    """The flows, how many match in all, and how complete the window is."""
    names = column_names(columns)
    query = FlowQuery(window=asked.window, where=asked.where, limit=limit, columns=names, duplicates=asked.duplicates)
    counting = FlowQuery(window=asked.window, where=asked.where, measures=(Measure.FLOWS,), duplicates=asked.duplicates)
    rows, counted, complete = await asyncio.gather(
        services.ask(_rows, asked.store, query),
        services.ask(asked.store.query, counting),
        services.ask(completeness, asked.store, asked.window, heard_by_ms=asked.heard_by_ms),
    )
    return {
        "rows": rows,
        "matched": int(counted.total.values.get(Measure.FLOWS) or 0),
        "sampling": counted.total.sampling.words(),
        "window": asked.window_json,
        "completeness": complete,
    }


def _rows(store: FlowStore, query: FlowQuery) -> list[Row]:
    """Made on the store's thread: ten thousand rows would hold up every other request."""
    return to_rows(store.flows(query), query.columns or None)
