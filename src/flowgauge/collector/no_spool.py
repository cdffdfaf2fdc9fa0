# SPDX-License-Identifier: Apache-2.0
"""Where there is no spool: segments are in memory only, and the same threads work with them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

from flowgauge.collector.segments import Segment
from flowgauge.flow.batch import FlowBatch


class NoSpool:
    """Stands for the spool where there is none: segments are in memory only."""

    def __init__(self, instance: str) -> None:
        self._tokens = (f"{instance}/{number}" for number in itertools.count(1))

    def begin(self) -> Segment:
        """A new segment."""
        return Segment(next(self._tokens))

    def append(self, segment: Segment, batch: FlowBatch) -> bool:  # noqa: ARG002 - as a spool's
        """Nothing is on disk."""
        return False

    def seal(self, segment: Segment) -> None:
        """Nothing more is added to the segment."""
        segment.sealed_at = time.monotonic()

    def read(self, segment: Segment) -> FlowBatch | None:  # noqa: ARG002 - as a spool's
        """There is nothing to read."""
        return None

    def pieces(self, segment: Segment) -> Iterator[FlowBatch]:  # noqa: ARG002 - as a spool's
        """There are none."""
        return iter(())

    def acknowledge(self, segment: Segment) -> None:
        """There is nothing to remove."""
