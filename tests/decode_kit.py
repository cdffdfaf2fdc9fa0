# SPDX-License-Identifier: Apache-2.0
"""For tests of listeners: what decodes behind them."""

from __future__ import annotations

import queue
import time
from typing import Any

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.decode import DecodeLoop
from flowgauge.collector.gatherer import Gatherer
from flowgauge.collector.no_spool import NoSpool
from flowgauge.collector.segments import SegmentQueue
from flowgauge.collector.senders import Refusals
from flowgauge.collector.standing import Standing, StateFile, TemplateFiles
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.thin import Thin
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.decoder import Decoder


class DecodingEnd:
    """A decode loop with everything it needs; ``start``, then ``flows``, which ends it."""

    def __init__(self) -> None:
        self.ledger, self.refusals = Ledger("collector", "x@1"), Refusals()
        self.arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.directory, self.standing, self.agents = ExporterDirectory(), Standing(), AgentLedgers()
        self._segments = SegmentQueue(1 << 40)
        self._loop = DecodeLoop(
            self.arrived, new_decoder=Decoder, directory=self.directory, thin=Thin(self.directory, self.ledger),
            gatherer=Gatherer(NoSpool("x@1"), self._segments, waiting=lambda: 0, watched=lambda: False, dropped=lambda _: None),
            agents=self.agents, ledger=self.ledger, refusals=self.refusals, standing=self.standing,
            templates=TemplateFiles(None, "x"), names=StateFile(None, "names"),
        )  # fmt: skip

    def start(self) -> None:
        """Begins to decode."""
        self._loop.start()

    def counted(self, name: str) -> int:
        """A counter of the ledger."""
        return self.ledger.snapshot().get(name, 0)

    def until(self, name: str, value: int) -> None:
        """Waits until a counter is at least ``value``."""
        deadline = time.monotonic() + 60
        while self.counted(name) < value:
            assert time.monotonic() < deadline, self.ledger.snapshot()
            time.sleep(0.02)

    def stop(self) -> None:
        """Decodes what has arrived and ends; safe to call twice."""
        self.arrived.put(None)
        self._loop.stop(120)

    def flows(self) -> FlowBatch:
        """Everything that was decoded, after a stop."""
        self.stop()
        found: list[FlowBatch] = []
        while (segment := self._segments.take(0)) is not None:
            found += segment.raw
        return FlowBatch.concat(found)
