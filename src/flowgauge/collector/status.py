# SPDX-License-Identifier: Apache-2.0
"""What a collector tells about itself over HTTP: metrics, health, ledger, exporters. Safe from any thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.exporter_report import exporter_report
from flowgauge.collector.live import LiveTap
from flowgauge.collector.receive_fleet import ReceiveFleet
from flowgauge.collector.reception import Reception
from flowgauge.collector.spool import Spool
from flowgauge.collector.standing import Key
from flowgauge.collector.writer import Writer
from flowgauge.enrich.naming import Naming
from flowgauge.pipeline.exporter import Exporter
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.graph import Pipeline
from flowgauge.runtime.clock import Clock, now_ns
from flowgauge.runtime.http import Handler, as_json, health_routes
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.metrics import Exposition, Sample
from flowgauge.wire.decoded import StreamReport


@dataclass(frozen=True, slots=True)
class Parts:
    """What the report looks at."""

    ledger: Ledger
    agents: AgentLedgers
    directory: ExporterDirectory
    pipeline: Pipeline
    reception: Reception | ReceiveFleet
    writer: Writer
    spool: Spool | None
    tap: LiveTap
    naming: Naming


class Totals:
    """The collector's ledger and those of its receive processes as one."""

    def __init__(self, own: Ledger, reception: Reception | ReceiveFleet) -> None:
        self._own, self._reception = own, reception
        self.component, self.instance = own.component, own.instance

    def snapshot(self) -> dict[str, int]:
        """All counters that were touched."""
        return dict(Counter(self._own.snapshot()) + Counter(self._reception.counters()))


class Status:
    """The collector's report, made anew for each question."""

    def __init__(self, parts: Parts, clock: Clock = now_ns) -> None:
        self._parts, self._clock = parts, clock
        self._exposition = Exposition(Totals(parts.ledger, parts.reception), self._samples)

    def routes(self, ready: Callable[[], bool]) -> dict[str, Handler]:
        """The collector's HTTP routes."""
        return {
            **health_routes(ready, self._exposition.text),
            **self._parts.tap.routes(),
            "/api/v1/ledger": lambda _: as_json(self.ledger()),
            "/api/v1/exporters": lambda _: as_json(self.exporters()),
            "/api/v1/refusals": lambda _: as_json(self._parts.reception.refusals.snapshot()),
        }

    def ledger(self) -> dict[str, Any]:
        """Its own counters, those of its receive processes included, and, as last heard, those of each agent's instance."""
        own = Totals(self._parts.ledger, self._parts.reception)
        agents = self._parts.agents.snapshot()
        return {
            "components": [
                {"component": own.component, "instance": own.instance, "counters": own.snapshot()},
                *({"component": "agent", "instance": name, "counters": counters} for name, counters in sorted(agents.items())),
            ]
        }

    def exporters(self) -> list[dict[str, Any]]:
        """Who sends, the busiest first."""
        now = self._clock()
        known = {(exporter.addr, exporter.domain): exporter for exporter in self._parts.directory.snapshot()}
        reports = self._parts.reception.standing.snapshot()
        silent = [Exporter(*key) for key in reports.keys() - known.keys()]  # nothing of theirs could be read yet
        exporters = [one for one in (*known.values(), *silent) if one.flows or not _only_passes_on(one, reports)]
        found = [exporter_report(one, reports.get((one.addr, one.domain), ()), now) for one in exporters]
        return sorted(found, key=lambda entry: -entry["flows"])

    def report(self) -> dict[str, Any]:
        """Everything, for the report file."""
        return {**self.ledger(), "exporters": self.exporters()}

    def _samples(self) -> Iterator[Sample]:
        parts = self._parts
        for listener in parts.reception.listeners():
            label = {"listener": listener.name}
            if listener.buffer_bytes is not None:
                yield Sample("collector_receive_buffer_bytes", "Receive buffer that the kernel gave the UDP socket.",
                             listener.buffer_bytes, label)  # fmt: skip
            if listener.connections is not None:
                yield Sample("collector_connections", "Connections of TCP and TLS.", listener.connections, label)
        yield Sample("collector_queue_rows", "Flows that wait for the store.", parts.writer.waiting_rows)
        yield Sample("collector_store_available", "1 while the store takes what is written to it.", not parts.writer.problem)
        yield Sample("collector_exporters", "Exporters and observation domains heard.", len(parts.directory.snapshot()))
        yield Sample("collector_live_viewers", "Clients of the live tap.", parts.tap.viewers)
        if parts.spool is not None:
            yield Sample("collector_spool_segments", "Segments on disk.", parts.spool.segments)
            yield Sample("collector_spool_bytes", "What the spool takes of the disk.", parts.spool.bytes)
            yield Sample("collector_spool_limit_bytes", "What it may take.", parts.spool.limit())
            writable = not (parts.spool.problem or parts.reception.spool_problem() or parts.spool.full)
            yield Sample("collector_spool_writable", "1 while decoded flows are put on disk.", writable)
        yield from parts.naming.samples()
        for step in parts.pipeline.steps:
            yield Sample("collector_stage_cpu_seconds", "CPU time that a stage of the pipeline has used.", step.cpu_s,
                         {"stage": step.name}, cumulative=True)  # fmt: skip


def _only_passes_on(exporter: Exporter, reports: Mapping[Key, Sequence[StreamReport]]) -> bool:
    """Whether all that comes from an address stands under those of exporters behind it, where its reports stand too."""
    found = reports.get((exporter.addr, exporter.domain), ())
    return bool(found) and all(one.also_addr and one.exporter_addr == exporter.addr for one in found)
