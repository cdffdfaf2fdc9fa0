# SPDX-License-Identifier: Apache-2.0
"""How congested nodes were: what their kernels dropped and had no room for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from flowgauge.console.question import Asking, Span, window_json
from flowgauge.console.services import Use
from flowgauge.query.nodes import congestion

router = APIRouter(prefix="/api/v1", tags=["nodes"])


@router.get("/nodes")
async def nodes(services: Use, store: Asking, span: Span) -> dict[str, Any]:
    """Of each node with an agent: what found a queue full or was dropped within the time range, and how full conntrack was."""
    changes = await services.ask(store.ledger, span)
    return {"nodes": [asdict(one) for one in congestion(changes)], "window": window_json(span)}
