# SPDX-License-Identifier: Apache-2.0
"""Sums by groups, and over time: the table and the chart of the Traffic page."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from flowgauge.console import window as windows
from flowgauge.console.question import Asked, Question, column_names, measure_names
from flowgauge.console.services import Use
from flowgauge.query.completeness import completeness
from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.store.answer import Answer, Group

router = APIRouter(prefix="/api/v1", tags=["groups"])

MAX_GROUPS = 1000
MAX_SERIES = 50
ByPeer = Annotated[bool, Query(description="Tell ends without the name that is grouped by apart by name from DNS, or subnet.")]


def group_json(group: Group, measures: tuple[Measure, ...]) -> dict[str, Any]:
    """A group as one flat row: keys (absent ones left out), measures, whether they are estimates and how exact."""
    row: dict[str, Any] = {name: value for name, value in group.key.items() if value is not None}
    row |= {measure.value: group.values.get(measure) for measure in measures}
    row["approx"] = group.sampling.approx
    if group.sampling.approx:
        row["error"] = {measure.value: group.error(measure) for measure in measures}
    return row


def _query(asked: Question, *, by: str, measures: tuple[Measure, ...], order: str, limit: int, step_ms: int = 0,
           by_peer: bool = False) -> FlowQuery:  # fmt: skip
    window = windows.aligned(asked.window, step_ms) if step_ms else asked.window
    return FlowQuery(
        window=window, where=asked.where, group_by=column_names(by), measures=measures, order_by=order, limit=limit,
        step_ms=step_ms, duplicates=asked.duplicates, by_peer=by_peer,
    )  # fmt: skip


@router.get("/groups")
async def groups(
    services: Use,
    asked: Asked,
    *,
    by: Annotated[str, Query(description="Columns, by commas.")] = "src_owner,dst_owner",
    measures: Annotated[str, Query(description="Measures, by commas.")] = "bytes,packets,flows",
    order: Annotated[str, Query(description="Measure that decides what comes first.")] = "bytes",
    top: Annotated[int, Query(ge=1, le=MAX_GROUPS, description="How many groups.")] = 10,
    by_peer: ByPeer = False,
) -> dict[str, Any]:
    """The largest groups, the rest as one, and the sum of all."""
    wanted = measure_names(measures)
    query = _query(asked, by=by, measures=wanted, order=order, limit=top, by_peer=by_peer)
    answer, complete = await asyncio.gather(
        services.ask(asked.store.query, query),
        services.ask(completeness, asked.store, asked.window, heard_by_ms=asked.heard_by_ms),
    )
    return {
        "rows": [group_json(group, wanted) for group in answer.groups],
        "others": group_json(answer.others, wanted),
        "total": group_json(answer.total, wanted),
        "group_count": answer.group_count,
        "sampling": answer.total.sampling.words(),
        "window": asked.window_json,
        "completeness": complete,
    }


@router.get("/series")
async def series(
    services: Use,
    asked: Asked,
    *,
    by: Annotated[str, Query(description="Columns, by commas.")] = "src_owner,dst_owner",
    measure: Annotated[Measure, Query(description="What is summed in each time bin.")] = Measure.BYTES,
    top: Annotated[int, Query(ge=1, le=MAX_SERIES, description="How many series.")] = 6,
    step_ms: Annotated[int, Query(ge=0, description="Width of a bin; 0 chooses one.")] = 0,
    by_peer: ByPeer = False,
) -> dict[str, Any]:
    """One series for each of the largest groups, and one for all others; values are sums per bin."""
    step = windows.step_for(asked.window, step_ms)
    query = _query(asked, by=by, measures=(measure,), order=measure.value, limit=top, step_ms=step, by_peer=by_peer)
    answer: Answer = await services.ask(asked.store.query, query)
    return {
        "times_ms": list(answer.times_ms),
        "step_ms": answer.step_ms or step,
        "series": [_series_json(group, measure) for group in answer.groups],
        "others": list(answer.others.series.get(measure, [])),
        "group_count": answer.group_count,
        "sampling": answer.total.sampling.words(),
        "window": asked.window_json,
    }


def _series_json(group: Group, measure: Measure) -> dict[str, Any]:
    key = {name: value for name, value in group.key.items() if value is not None}
    return {"key": key, "values": list(group.series.get(measure, [])), "approx": group.sampling.approx}
