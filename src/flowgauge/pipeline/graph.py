# SPDX-License-Identifier: Apache-2.0
"""The pipeline, in one visible place: which stages a flow passes, in which order.

::

    decoder ─► thin ─► spool ─► normalise ─► drop_late ─► enrich ─► place ─► dedup ─► live tap, store

A stage is a function from a batch to a batch. What is before the spool happens once, when flows are decoded. What is behind
it may happen again, to flows that are read back from disk, and so adds nothing to the ledger by itself: what it left out and
marked is told with the result (:class:`Processed`) and counted when the store has the rest. ``drop_late`` needs the
plausible times of ``normalise``; ``enrich`` comes before ``place`` (which is for agents of others) and ``dedup``, which must
know on which node each end lives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.late import DropLate
from flowgauge.pipeline.normalise import Normalise
from flowgauge.pipeline.other_agents import OtherAgents
from flowgauge.pipeline.tally import Tally

Stage = Callable[[FlowBatch], FlowBatch]


@dataclass(frozen=True, slots=True)
class Processed:
    """Flows as they are stored, and what became of the others and of which: increments by ledger counter."""

    flows: FlowBatch
    counts: Mapping[str, int]


@dataclass(slots=True)
class Step:
    """A stage with its name and the CPU seconds it has used."""

    name: str
    stage: Stage
    cpu_s: float = 0.0


class Pipeline:
    """The stages behind the spool, run one after the other, by whichever thread calls, one at a time.

    Args:
        enrich: gives names; may be replaced while flows pass (``replace_enrich``).
        dedup: counts in ``tally``.
    """

    def __init__(
        self, directory: ExporterDirectory, enrich: Stage, dedup: Dedup, tally: Tally, *, retention_hours: int
    ) -> None:
        self._tally = tally
        self._lock = threading.Lock()
        self._enrich = Step("enrich", enrich)
        self.steps = (
            Step("normalise", Normalise(directory)),
            Step("drop_late", DropLate(tally, retention_hours)),
            self._enrich,
            Step("place", OtherAgents(directory, self._named)),
            Step("dedup", dedup),
        )

    def __call__(self, batch: FlowBatch) -> Processed:
        """The batch as it is stored; without flows when nothing is left of it."""
        with self._lock:
            self._tally.take()  # what a stage counted before it failed
            for step in self.steps:
                if not len(batch):
                    break
                begin = time.thread_time()
                batch = step.stage(batch)
                step.cpu_s += time.thread_time() - begin
            return Processed(batch, self._tally.take())

    def _named(self, batch: FlowBatch) -> FlowBatch:
        """With names by the stage in use."""
        return self._enrich.stage(batch)

    def replace_enrich(self, enrich: Stage) -> None:
        """Names come from ``enrich`` from the next batch on."""
        self._enrich.stage = enrich
