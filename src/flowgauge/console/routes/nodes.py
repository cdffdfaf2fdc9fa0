# SPDX-License-Identifier: Apache-2.0
"""How congested nodes were: what their kernels dropped and had no room for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from flowgauge.console import window as windows
from flowgauge.console.question import Asking, Span, window_json
from flowgauge.console.services import Use
from flowgauge.query import node_history
from flowgauge.query.nodes import congestion
from flowgauge.store.store import KERNEL

router = APIRouter(prefix="/api/v1", tags=["nodes"])


@router.get("/nodes")
async def nodes(services: Use, store: Asking, span: Span) -> dict[str, Any]:
    """Of each node with an agent: what found a queue full or was dropped within the time range, and how full conntrack was."""
    changes = await services.ask(store.ledger, span)
    return {"nodes": [asdict(one) for one in congestion(changes)], "window": window_json(span)}


@router.get("/nodes/history")
async def history(services: Use, store: Asking, span: Span) -> dict[str, Any]:
    """The same counters step by step, for each node that was heard; in a step in which it was not, its values are null."""
    step_ms = node_history.step_for(span)
    window = windows.aligned(span, step_ms)
    times_ms = list(range(window.start_ms, window.end_ms, step_ms))
    steps = await services.ask(store.ledger_steps, KERNEL, window, step_ms)
    found = node_history.histories(steps, times_ms)
    return {"nodes": [asdict(one) for one in found], "times_ms": times_ms, "step_ms": step_ms, "window": window_json(span)}
