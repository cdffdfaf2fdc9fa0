# SPDX-License-Identifier: Apache-2.0
"""The process thread: segments through the pipeline, to the live tap and the writer's queue.

It works ahead for the writer with what is in memory, as far as memory allows. The rest stays on disk, what receive processes
decoded as well: the writer reads it when its turn comes, piece by piece. It passes the pipeline now all the same if somebody
watches, since the live tap must not wait for the store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from flowgauge.collector.live import LiveTap
from flowgauge.collector.segments import Segment, SegmentQueue
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.graph import Pipeline, Processed
from flowgauge.runtime import logs

_TICK_S = 0.5
_IDLE_S = 60.0
"""A queue tells when something comes, and when it is closed."""
_NO_ROWS = np.zeros(0, np.intp)

_log = logs.get("collector")


class OnDisk(Protocol):
    """Where segments are that are not in memory."""

    def read(self, segment: Segment) -> FlowBatch | None:
        """The flows of a segment in hand, None when none can be read."""


class ProcessLoop:
    """Takes from ``raw`` and puts into ``ready`` between ``start`` and ``stop``.

    Args:
        spool: has the segments that are on disk only.
        dropped: called with a segment that was in memory only and found no room until the end.
    """

    def __init__(
        self, raw: SegmentQueue, ready: SegmentQueue, pipeline: Pipeline, tap: LiveTap, *, spool: OnDisk,
        dropped: Callable[[Segment], None],
    ) -> None:  # fmt: skip
        self._raw, self._ready, self._spool, self._pipeline = raw, ready, spool, pipeline
        self._tap, self._dropped = tap, dropped
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="process", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Processes what waits; ``raw`` gets nothing more."""
        self._give_up_at = time.monotonic() + timeout_s
        self._raw.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s + _TICK_S)

    def ready(self) -> bool:
        """True while it runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._raw.finished:
            segment = self._raw.take(_IDLE_S)
            if segment is not None:
                self._pass_on(segment)

    def _pass_on(self, segment: Segment) -> None:
        ahead = bool(segment.raw) and self._ready.has_room(segment.rows)
        if ahead or self._tap.viewers or not segment.let_go():
            flows = self._flows(segment)
            if flows is not None:
                segment.processed(processed(self._pipeline, flows))
            if segment.ready is not None and len(segment.ready.flows):
                self._tap.publish(segment.ready.flows)
        if segment.ready is not None or len(self._ready):  # if it is read back, then because the store is slow
            segment.fresh = False
        while not self._ready.put(segment, _TICK_S):
            if time.monotonic() > self._give_up_at:
                self._dropped(segment)
                return

    def _flows(self, segment: Segment) -> FlowBatch | None:
        if segment.raw:
            return FlowBatch.concat(segment.raw)
        segment.take_in_hand()
        return self._spool.read(segment)


def processed(pipeline: Pipeline, flows: FlowBatch) -> Processed:
    """Flows through the pipeline; a mistake of ours costs these flows, is counted (``pipeline_failed``) and logged whole."""
    try:
        return pipeline(flows)
    except Exception:  # noqa: BLE001 - the next ones must be written all the same
        _log.exception("flows_lost_in_pipeline", flows=len(flows))
        return Processed(flows.take(_NO_ROWS), {"pipeline_failed": len(flows)})
