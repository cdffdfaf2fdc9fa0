# SPDX-License-Identifier: Apache-2.0
"""A segment on its way to the store: as it is held in memory, or from disk through the pipeline, a piece at a time.

Before: the writer's queue; after: ``FlowStore``. Used by the write thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Protocol

from flowgauge.collector.process import processed
from flowgauge.collector.segments import Segment
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.graph import Pipeline


class OnDisk(Protocol):
    """Where segments are that are not in memory."""

    def pieces(self, segment: Segment) -> Iterator[FlowBatch]:
        """The flows of a segment in hand, a part of them at a time."""


class Passing:
    """One segment, for as many tries as it takes.

    Attributes:
        held: its flows as they are stored; None when they are on disk.
        tried: whether pieces were made already.
    """

    def __init__(self, segment: Segment, spool: OnDisk, pipeline: Pipeline) -> None:
        self._segment, self._spool, self._pipeline = segment, spool, pipeline
        self.held = segment.ready.flows if segment.ready is not None else None
        self.tried = False
        self._counts: Counter[str] = Counter(segment.ready.counts if segment.ready is not None else {})
        self._rows = 0
        self._pieces: Iterator[FlowBatch] = iter(())

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of its flows that are not stored, and of which; of the pieces so far."""
        return self._counts

    def pieces(self) -> Iterator[FlowBatch]:
        """Its flows as they are stored, read and passed through the pipeline as they are taken."""
        self.tried, self._rows, self._counts = True, 0, Counter()
        self._pieces = self._make()
        return self._pieces

    def all_rows(self) -> int:
        """How many are to be stored, whether or not they were all taken."""
        if self.held is not None:
            return len(self.held)
        for _ in self._pieces:
            pass
        return self._rows

    def _make(self) -> Iterator[FlowBatch]:
        for result in map(partial(processed, self._pipeline), self._spool.pieces(self._segment)):
            self._counts.update(result.counts)
            self._rows += len(result.flows)
            if len(result.flows):
                yield result.flows
            del result  # while the next is made, memory need not have this one
