# SPDX-License-Identifier: Apache-2.0
"""An agent with a collector in the same process: this machine's flows, named, handed to a function as they are exported.

The way is that of any flow, without the network: the agent's messages are decoded and pass the pipeline's stages. Nothing is
stored. Used by ``flowgauge agent --standalone`` and ``flowgauge top``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from flowgauge.agent.main import Agent, run_cycles
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Enrichment
from flowgauge.enrich.naming import Naming
from flowgauge.export.messages import Message, Numbering
from flowgauge.export.settings import FlowProtocol
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.graph import Pipeline
from flowgauge.pipeline.tally import Tally
from flowgauge.runtime.clock import now_ns
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder

KEPT_HOURS = 24
"""Flows older than this are late: none of a running agent is."""

Sink = Callable[[FlowBatch], None]


class MemoryExport:
    """Like an export to a collector, which is this object: flows behind the pipeline go to ``sink``.

    Args:
        sink: called by the agent's thread, with flows as a store gets them.
        naming: started by whoever made it.
    """

    where = "this process"
    held = False

    def __init__(self, sink: Sink, naming: Naming, ledger: Ledger, pen: int) -> None:
        self._sink, self._ledger = sink, ledger
        self._decoder, self._numbering = Decoder(pen), Numbering(FlowProtocol.IPFIX)
        self._directory, tally = ExporterDirectory(naming.dns.learn), Tally()
        dedup = Dedup(self._directory, "Mark", tally)
        self._pipeline = Pipeline(self._directory, naming.stage, dedup, tally, retention_hours=KEPT_HOURS)
        self.refused = ""
        self.sent_anything = False
        self.sent_records = 0

    def start(self) -> None:
        """There is nothing to open."""

    def send(self, messages: Sequence[Message], budget_s: float = 2.0) -> None:
        """Decodes, names and hands on."""
        del budget_s
        payloads = []
        for message in messages:
            payloads.append(bytes(self._numbering.stamped(message)))
            self._numbering.sent(message)
        if not payloads:
            return
        decoded = self._decoder.decode(Datagrams.from_payloads(payloads, received_ns=now_ns()))
        self._directory.learn(decoded.options)
        records = sum(message.records for message in messages)
        self._ledger.add("export_records_sent", records)
        self.sent_records += records
        self.sent_anything = True
        if len(decoded.flows) and len(flows := self._pipeline(decoded.flows).flows):
            self._sink(flows)

    def release(self) -> list[Message]:
        """Nothing is kept."""
        return []

    def stop(self) -> None:
        """There is nothing to close."""


def run_standalone(
    settings: AgentSettings,
    sink: Sink,
    stop: threading.Event,
    *,
    enrichment: Enrichment | None = None,
    objects: Path | None = None,
    started: Callable[[Agent], None] | None = None,
) -> None:
    """Runs until ``stop`` is set; the flows counted until then still reach ``sink``.

    Args:
        settings: the collector section has no meaning here.
        sink: called by this thread with flows as a store gets them.
        stop: set by whoever wants it to end.
        enrichment: how addresses get names; None: the defaults.
        objects: Kubernetes objects, for names.
        started: told when packets are counted.

    Raises:
        EnvironmentProblem: something that the agent needs is missing here.
        UsageError: there is nothing at ``objects``.
    """
    naming = Naming(objects, enrichment or Enrichment())
    naming.start()
    agent = Agent(settings, lambda ledger: MemoryExport(sink, naming, ledger, settings.pen))
    try:
        agent.start()
        if started is not None:
            started(agent)
        run_cycles(agent, stop)
    finally:
        agent.stop()
        naming.stop()
