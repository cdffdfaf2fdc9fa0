# SPDX-License-Identifier: Apache-2.0
"""The pipeline, in one visible place: which stages a flow passes, in which order.

::

    decoder ─► normalise ─► drop_late ─► enrich ─► dedup ─► live tap, store

A stage is a function from a batch to a batch. ``drop_late`` needs the plausible times of ``normalise``; ``enrich`` comes
before ``dedup``, which must know on which node each end lives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.late import DropLate
from flowgauge.pipeline.normalise import Normalise
from flowgauge.runtime.ledger import Ledger

Stage = Callable[[FlowBatch], FlowBatch]


@dataclass(slots=True)
class Step:
    """A stage with its name and the CPU seconds it has used."""

    name: str
    stage: Stage
    cpu_s: float = 0.0


class Pipeline:
    """The stages, run one after the other by the decode thread.

    Args:
        enrich: gives names; may be replaced while flows pass (``replace_enrich``).
    """

    def __init__(
        self, directory: ExporterDirectory, enrich: Stage, dedup: Dedup, ledger: Ledger, *, retention_hours: int
    ) -> None:
        self._enrich = Step("enrich", enrich)
        self.steps = (
            Step("normalise", Normalise(directory)),
            Step("drop_late", DropLate(ledger, retention_hours)),
            self._enrich,
            Step("dedup", dedup),
        )

    def __call__(self, batch: FlowBatch) -> FlowBatch:
        """The batch as it is stored; empty when nothing is left of it."""
        for step in self.steps:
            if not len(batch):
                break
            begin = time.thread_time()
            batch = step.stage(batch)
            step.cpu_s += time.thread_time() - begin
        return batch

    def replace_enrich(self, enrich: Stage) -> None:
        """Names come from ``enrich`` from the next batch on."""
        self._enrich.stage = enrich
