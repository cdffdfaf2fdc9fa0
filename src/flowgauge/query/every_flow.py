# SPDX-License-Identifier: Apache-2.0
"""All flows that a question matches, oldest first, in batches of a bounded size: for exports, which are larger than an answer.

The store gives the newest flows of a window. So the window is cut where the counts over time say that a batch is full, and the
slices are asked for one after the other; each flow is in at most one, and each that was there at the beginning in exactly one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.flow_query import FlowQuery, Measure, Window
from flowgauge.store.store import FlowStore

ROWS_AT_ONCE = 50_000
"""About as many flows as a slice has, 10 MB of columns; one within a single millisecond may have more."""

_BINS = 1_000
"""Counts of one look at a window; a bin that is too full is looked at again by itself."""
_NO_LIMIT = (1 << 31) - 1


def count(store: FlowStore, query: FlowQuery) -> int:
    """How many flows match now."""
    answer = store.query(replace(query, columns=(), measures=(Measure.FLOWS,), order_by=Measure.FLOWS))
    return int(answer.total.values.get(Measure.FLOWS) or 0)


def every_flow(store: FlowStore, query: FlowQuery, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[FlowBatch]:
    """The flows of ``query`` (its window, filter, columns and duplicates), in the order of their ends; at least one batch.

    Raises what ``FlowStore.query`` raises, when a batch is taken.
    """
    empty = True
    for window in _slices(store, query, rows_at_once):
        batch = store.flows(replace(query, window=window, limit=_NO_LIMIT))
        yield batch.take(np.arange(len(batch))[::-1])
        empty = False
    if empty:  # the columns there are
        yield store.flows(replace(query, limit=1)).take(np.arange(0))


def _slices(store: FlowStore, query: FlowQuery, rows_at_once: int) -> Iterator[Window]:
    """Windows one behind the other, none of them without a flow, that hold about ``rows_at_once`` each."""
    start, held = query.window.start_ms, 0
    for begin, end, flows in _counts(store, query):
        if held and held + flows > rows_at_once:
            yield Window(start, begin)
            held = 0
        if not held:
            start = begin
        if flows > rows_at_once and end - begin > 1:
            yield from _slices(store, replace(query, window=Window(begin, end)), rows_at_once)
        else:
            held += flows
    if held:
        yield Window(start, query.window.end_ms)


def _counts(store: FlowStore, query: FlowQuery) -> Iterator[tuple[int, int, int]]:
    """(start, end, flows that end within) of each bin of the window, in ms."""
    window = query.window
    step = -((window.start_ms - window.end_ms) // _BINS)
    asked = replace(query, columns=(), measures=(Measure.FLOWS,), order_by=Measure.FLOWS, step_ms=step)
    for group in store.query(asked).groups:
        for number, flows in enumerate(group.series[Measure.FLOWS]):
            begin = window.start_ms + number * step
            yield begin, min(begin + step, window.end_ms), int(flows or 0)
