# SPDX-License-Identifier: Apache-2.0
"""What goes wrong now, in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from flowgauge.console.question import Asked
from flowgauge.console.services import Use
from flowgauge.query.worst import worst
from flowgauge.schema.flow_query import FlowQuery

router = APIRouter(prefix="/api/v1", tags=["topology"])

_MOST_EDGES = 3000


@router.get("/troubles")
async def what_goes_wrong(services: Use, asked: Asked) -> dict[str, Any]:
    """Who has which trouble with whom, as sentences, the gravest first; latencies are those at the end of the time range.

    `crossing` says who talks to whom between namespaces, `unseen` that no flow has signals, so that no trouble can be seen.
    """
    query = FlowQuery(window=asked.window, where=asked.where, limit=_MOST_EDGES, duplicates=asked.duplicates)
    found = await services.ask(worst, asked.store, query)
    return asdict(found) | {"window": asked.window_json}
