# SPDX-License-Identifier: Apache-2.0
"""The filter bar: is this text a filter, of which parts is it made, and what may be written next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from flowgauge.console.problems import filter_problem
from flowgauge.console.question import Asking, Span
from flowgauge.console.services import Use
from flowgauge.errors import FilterError
from flowgauge.schema import filters
from flowgauge.schema.filters.syntax import Node, conjuncts, joined

router = APIRouter(prefix="/api/v1", tags=["filters"])

MAX_TEXT = filters.MAX_LENGTH + 1
"""One more than a filter may have, so that the filter's own sentence answers."""

Text = Annotated[str, Query(max_length=MAX_TEXT, description="The filter as written so far.")]


@router.get("/filter")
async def check(text: Text = "") -> dict[str, Any]:
    """Whether ``text`` is a filter: the canonical form and its parts, or what is wrong and where."""
    try:
        node = filters.parse(text)
        filters.bound(text)
    except FilterError as error:
        return {"ok": False, "error": filter_problem(error), "canonical": "", "chips": []}
    return {"ok": True, "error": None, "canonical": filters.canonical(node), "chips": chips(node)}


def chips(node: Node | None) -> list[dict[str, str]]:
    """The parts that must all hold, each with the filter that is left without it."""
    parts = conjuncts(node)
    return [
        {"text": filters.canonical(part), "without": filters.canonical(joined(parts[:number] + parts[number + 1 :]))}
        for number, part in enumerate(parts)
    ]


@router.get("/complete")
async def complete(
    services: Use,
    store: Asking,
    span: Span,
    text: Text = "",
    cursor: Annotated[
        int | None, Query(ge=0, description="Where the cursor is, 0 before the first character; the end if left out.")
    ] = None,
) -> list[dict[str, Any]]:
    """What may be written at the cursor, best first; values come with their share of the bytes in the time range."""
    place = len(text) if cursor is None else cursor
    offers = await services.ask(filters.complete, text, place, lambda field: services.top_values.of(store, field, span))
    return [asdict(offer) for offer in offers]
