# SPDX-License-Identifier: Apache-2.0
"""The ledger of a time range: every counter of every part, and what they mean for completeness."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter

from flowgauge.console.question import Asking, Span, window_json
from flowgauge.console.services import Use
from flowgauge.query.completeness import summed
from flowgauge.runtime.ledger import BY_NAME
from flowgauge.store.store import KERNEL, LedgerChange

router = APIRouter(prefix="/api/v1", tags=["ledger"])


@router.get("/ledger")
async def ledger(services: Use, store: Asking, span: Span) -> dict[str, Any]:
    """How the counters moved in the time range, by part and instance, and how complete it is."""
    changes = await services.ask(store.ledger, span)
    complete = summed(changes, heard_by_ms=services.heard_by_ms(store, span))
    return {"components": _by_instance(changes), "window": window_json(span), "completeness": complete}


def _by_instance(changes: Iterable[LedgerChange]) -> list[dict[str, Any]]:
    components: dict[tuple[str, str], dict[str, Any]] = {}
    for change in (one for one in changes if one.component != KERNEL):
        key = (change.component, change.instance)
        part = components.setdefault(key, {"component": change.component, "instance": change.instance, "counters": []})
        part["counters"].append(_counter_json(change))
    return list(components.values())


def _counter_json(change: LedgerChange) -> dict[str, Any]:
    """A counter of a newer version has a name and numbers, and nothing else is known of it."""
    known = BY_NAME.get(change.counter)
    about = {"unit": known.unit, "side": known.side, "help": known.help} if known else {"unit": "", "side": "", "help": ""}
    return {"name": change.counter} | about | {"change": change.change, "value": change.value}
