# SPDX-License-Identifier: Apache-2.0
"""Every stored flow of the run, marked duplicates included, in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store.store import FlowStore

MAX_ROWS = 200_000
"""Rows read at once: about 60 MB as columns. A window with more is halved."""


def batches(store: FlowStore, window: Window) -> Iterator[FlowBatch]:
    """The rows of ``window`` with physical columns; raises what the store raises."""
    batch = store.flows(FlowQuery(window=window, order_by="time_end_ns", limit=MAX_ROWS, duplicates=True))
    middle = (window.start_ms + window.end_ms) // 2
    if len(batch) < MAX_ROWS or middle == window.start_ms:
        if len(batch):
            yield batch
        return
    yield from batches(store, Window(window.start_ms, middle))
    yield from batches(store, Window(middle, window.end_ms))
