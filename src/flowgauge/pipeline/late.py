# SPDX-License-Identifier: Apache-2.0
"""The stage that keeps flows out that end too long ago: counted as ``pipeline_late``, never stored.

The store keeps hours in partitions; a flow of long ago would open one of its own, which costs like a whole hour, or be past
its age and vanish at once. Files read offline become named datasets of their own instead. Before: ``normalise``; after:
``enrich``.
"""

from __future__ import annotations

import numpy as np

from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.tally import Counts
from flowgauge.runtime import logs

MAX_LATENESS_MS = 2 * 3600 * 1000
"""A flow may have ended this long before it was received: at most three partitions are open then."""

_log = logs.get("collector")


class DropLate:
    """Takes out flows older than the store's retention or ``MAX_LATENESS_MS``, whichever is less."""

    def __init__(self, counts: Counts, retention_hours: int) -> None:
        self._counts = counts
        self._max_age_ms = min(MAX_LATENESS_MS, retention_hours * 3600 * 1000)
        self._limit = logs.RateLimit()

    def __call__(self, batch: FlowBatch) -> FlowBatch:
        """The flows that are recent enough."""
        age_ms = batch.array("time_received_ns") // 1_000_000 - batch.array("time_end_ms")
        batch = batch.without("time_received_ns")
        late = age_ms > self._max_age_ms
        count = int(np.count_nonzero(late))
        if not count:
            return batch
        self._counts.add("pipeline_late", count)
        allowed, held_back = self._limit.allow("late")
        if allowed:
            _log.warning("flows_too_late", flows=count, oldest_age_s=int(age_ms.max()) // 1000, held_back=held_back,
                         hint="is the exporter's clock in local time, or did it hold flows back?")  # fmt: skip
        return batch.take(~late)
