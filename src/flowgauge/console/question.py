# SPDX-License-Identifier: Apache-2.0
"""The parameters that every question about flows has, as one dependency of the routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from flowgauge.console import window as windows
from flowgauge.console.services import Use
from flowgauge.errors import UsageError
from flowgauge.schema import filters
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.filters.tree import Bound
from flowgauge.schema.flow_query import Measure, Window
from flowgauge.store.store import FlowStore

MAX_FILTER_LENGTH = filters.MAX_LENGTH + 1
"""One more than a filter may have, so that the filter's own sentence answers."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which flows: of which store, a window, a bound filter, and whether marked duplicates count.

    Attributes:
        heard_by_ms: until when a collector should have told of itself, for ``completeness``.
    """

    store: FlowStore
    window: Window
    where: Bound
    duplicates: bool
    heard_by_ms: int

    @property
    def window_json(self) -> dict[str, int]:
        """The window as answers state it."""
        return window_json(self.window)


def window_json(window: Window) -> dict[str, int]:
    """A time range as answers state it."""
    return {"from_ms": window.start_ms, "to_ms": window.end_ms}


def _span(
    services: Use,
    since: Annotated[str, Query(description="Length of the range up to now or `to`: 15m, 2h, 7d.")] = "",
    start_ms: Annotated[int | None, Query(alias="from", description="Start, ms since 1970.")] = None,
    end_ms: Annotated[int | None, Query(alias="to", description="End (exclusive), ms since 1970; now if left out.")] = None,
) -> Window:
    return windows.chosen(since, start_ms, end_ms, services.now_ms)


Span = Annotated[Window, Depends(_span)]
"""Type of a route's parameter that receives the time range."""


def _store(
    services: Use, dataset: Annotated[str, Query(description="Named dataset to ask; the live flows if left out.")] = ""
) -> FlowStore:
    return services.dataset(dataset)


Asking = Annotated[FlowStore, Depends(_store)]
"""Type of a route's parameter that receives what is asked: the live flows or a dataset."""


def _question(
    services: Use,
    span: Span,
    store: Asking,
    filter_text: Annotated[str, Query(alias="filter", max_length=MAX_FILTER_LENGTH, description="Filter; empty: all.")] = "",
    duplicates: Annotated[bool, Query(description="Also count other observations of the same packets.")] = False,  # noqa: FBT002
) -> Question:
    return Question(store, span, filters.bound(filter_text), duplicates, services.heard_by_ms(store, span))


Asked = Annotated[Question, Depends(_question)]
"""Type of a route's parameter that receives the question."""


def column_names(text: str) -> tuple[str, ...]:
    """Public column names by commas; UsageError for one that there is not."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in BY_NAME:
            raise UsageError(f"there is no column {name!r}; GET /api/v1/columns lists them")
    return names


def measure_names(text: str) -> tuple[Measure, ...]:
    """Measures by commas; UsageError for one that there is not."""
    try:
        return tuple(Measure(name.strip()) for name in text.split(",") if name.strip())
    except ValueError as error:
        raise UsageError(f"{error}; there are {', '.join(Measure)}") from error
