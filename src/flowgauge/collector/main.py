# SPDX-License-Identifier: Apache-2.0
"""The collector: wires socket, decoder, pipeline, writer, ledger and HTTP, top to bottom, and runs them.

::

    reception ─segments─► process thread ─segments─► write thread ─► store
      │    │ (rows-bounded)    │      (rows-bounded)    ▲               ▲
      │    └─► spool on disk ──┼────────────────────────┘               │
      │                        └─► live tap                             │
      └─► agents' counters ─► ledger thread ────────────────────────────┘

Reception is threads of this process (:class:`Reception`) or processes of its own (:class:`ReceiveFleet`).
Settings change through :meth:`CollectorProcess.apply`, called by the main thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.ledger_writer import LedgerWriter, remember_agents
from flowgauge.collector.live import LiveTap
from flowgauge.collector.no_spool import NoSpool
from flowgauge.collector.node_kernels import NodeKernels
from flowgauge.collector.process import ProcessLoop
from flowgauge.collector.receive_fleet import Ashore, ReceiveFleet
from flowgauge.collector.reception import Reception, Way
from flowgauge.collector.segments import Segment, SegmentQueue
from flowgauge.collector.settings import CollectorSettings
from flowgauge.collector.spool import Spool
from flowgauge.collector.standing import TemplateFiles
from flowgauge.collector.status import Parts, Status, Totals
from flowgauge.collector.writer import Writer
from flowgauge.enrich.naming import Naming
from flowgauge.errors import EnvironmentProblem, InternalError
from flowgauge.flow.arrow import share_memory
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.graph import Pipeline
from flowgauge.pipeline.tally import Tally
from flowgauge.runtime import garbage, logs
from flowgauge.runtime.clock import now_ns
from flowgauge.runtime.http import Handler, HttpServer
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.loopback import is_loopback
from flowgauge.runtime.newest import newest
from flowgauge.runtime.report import write_report
from flowgauge.store.errors import StoreRejected, StoreUnavailable
from flowgauge.store.opening import open_store
from flowgauge.store.store import FlowStore

DECODED_ROWS = 200_000
"""Decoded flows in memory that may wait for the pipeline, about 150 B each; the spool has the others."""
WRITE_QUEUE_ROWS = 100_000
"""Flows in memory that may wait for the store, about 250 B each, beside those on their way to it; the spool has the others.

One long segment: enough for names to be given while another is written."""
WRITE_QUEUE_ROWS_ALONE = 1_000_000
"""The same without a spool: 20 s at 50 000 flows/s, longer than a store takes to come back."""
STORE_RETRY_S = 1.0
"""How long one write tries by itself; the writer goes on after it, and looks whether it should end."""
STOP_S = 9.0
"""How long a stop may take until everything received is with the writer (on an idle machine: at once) …"""
WRITE_STOP_S = 5.0
LEDGER_STOP_S = 2.0
"""… and how long at each step then, at most; what the spool has is not lost by that. A supervisor's patience is 15 s."""

_TICK_S = 0.5

_log = logs.get("collector")


class CollectorProcess:
    """Everything between the socket and the store; ``start``, then ``stop``, from one thread."""

    def __init__(self, settings: CollectorSettings) -> None:
        self.settings = settings
        self.ledger = Ledger("collector", f"{settings.name}@{now_ns() // 1_000_000}")
        self._store = _open(settings, self.ledger, counted=True)
        self._ledger_store = _open(settings, self.ledger, counted=False)
        self._naming = Naming(
            settings.objects, settings.collector.enrichment, partial(self.ledger.add, "enrich_names_forgotten")
        )
        self._kernels = NodeKernels()
        self._directory = ExporterDirectory(self._naming.dns.learn, self._kernels.learn)
        tally = Tally()
        self._dedup = Dedup(self._directory, settings.collector.deduplicate, tally)
        self._pipeline = Pipeline(
            self._directory, self._naming.stage, self._dedup, tally, retention_hours=settings.retention_hours
        )
        self._tap = LiveTap(self.ledger)
        self._agents = AgentLedgers()
        self._spool = _spool(settings, self.ledger)
        spool = self._spool or NoSpool(self.ledger.instance)
        self._raw = SegmentQueue(DECODED_ROWS)
        ready = self._ready = SegmentQueue(WRITE_QUEUE_ROWS if self._spool else WRITE_QUEUE_ROWS_ALONE)
        self._writer = Writer(self._store, ready, spool, self._pipeline, self.ledger)
        self._process = ProcessLoop(self._raw, ready, self._pipeline, self._tap, spool=spool, dropped=self._dropped)
        self.reception = self._reception(spool)
        self._ledger_writer = LedgerWriter(
            self._ledger_store, self.ledger, self._agents, self._spool, parts=self._parts, kernels=self._kernels.snapshot
        )
        self._templates = TemplateFiles(
            settings.data_dir / "state" if settings.data_dir else None, settings.name, 0, max(1, settings.receive_processes)
        )
        self._status = Status(
            Parts(
                ledger=self.ledger, agents=self._agents, directory=self._directory, pipeline=self._pipeline, tap=self._tap,
                reception=self.reception, writer=self._writer, spool=self._spool, naming=self._naming,
            )
        )  # fmt: skip
        self.totals = Totals(self.ledger, self.reception)
        """Its own counters and those of its receive processes, added up."""
        self._http = HttpServer(settings.http_address, settings.http_port, self._routes())
        self._limit = logs.RateLimit()
        self._started = False

    def start(self) -> None:
        """Listens; the store may come later, but must not refuse us.

        Raises:
            EnvironmentProblem: a port is taken, or the store refuses the secret.
            UsageError: an address to listen on is none.
        """
        self._started = True
        garbage.look_seldom()
        if self._spool is not None:
            self._spool.start()
            for segment in self._spool.adopt():
                self._ready.put(segment, 0)
        self.reception.launch()
        self._greet_store()
        self._naming.start()
        self._writer.start()
        self._process.start()
        self._ledger_writer.start()
        self.reception.start()
        self._http.start()
        host, port = self.address
        _log.info("collector_ready", listen=host, port=port, listeners=[one.name for one in self.reception.listeners()],
                  http=self._http.url, store=self.settings.store_url, instance=self.ledger.instance)  # fmt: skip

    def stop(self) -> None:
        """Takes nothing more, then decodes and writes what was received, within a bound; safe to call twice."""
        if not self._started:
            return
        self._started = False
        until = time.monotonic() + STOP_S
        self.reception.stop(STOP_S)
        self._templates.forget_others()
        self._process.stop(max(1.0, until - time.monotonic()))
        self._writer.stop(WRITE_STOP_S)
        self._tap.stop()
        self._naming.stop()
        self._ledger_writer.stop(LEDGER_STOP_S)
        if self._spool is not None:
            self._spool.stop(told=self._ledger_writer.told)
        write_report("collector", self.settings.report_path, self._status.report)
        self._http.stop()
        self._store.close()
        self._ledger_store.close()
        _log.info("collector_stopped", **self.totals.snapshot())

    def ready(self) -> bool:
        """True while every thread does its work; a store that is away is buffered for."""
        return self._started and not self._broken()

    def check(self) -> None:
        """To be called now and then: a collector with a dead thread must end, so that it is started again.

        Raises:
            EnvironmentProblem: the store will never take what we have.
            InternalError: anything else; the log says what.
        """
        broken = self._broken()
        if "writer" in broken and self._writer.problem:
            raise EnvironmentProblem(f"{self.settings.store_url}: {self._writer.problem}")
        if broken:
            raise InternalError(f"the collector's {' and '.join(broken)} ended; the log says why")

    def _broken(self) -> list[str]:
        threads = {
            "pipeline": self._process.ready,
            "writer": self._writer.ready,
            "spool": self._spool.ready if self._spool else lambda: True,
            "ledger writer": self._ledger_writer.ready,
            "follower of objects": self._naming.ready,
        }
        return [*self.reception.broken(), *(name for name, ready in threads.items() if not ready())]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first listener."""
        return self.reception.listeners()[0].address

    @property
    def url(self) -> str:
        """Base URL of its HTTP."""
        return self._http.url

    def apply(self, settings: CollectorSettings) -> None:
        """Takes over changed settings without losing flows; says which need a restart."""
        before = self.settings
        for name in before.needs_restart(settings):
            _log.warning("setting_needs_restart", setting=name, detail="restart the collector to apply it")
        logs.configure(settings.log_level)
        self._dedup.mode = settings.collector.deduplicate
        self.reception.apply(settings)
        if before.collector.enrichment != settings.collector.enrichment:
            self._pipeline.replace_enrich(self._naming.changed(settings.collector.enrichment))
        self.settings = settings
        _log.info("settings_applied", deduplicate=settings.collector.deduplicate, log_level=settings.log_level)

    def _routes(self) -> dict[str, Handler]:
        """Beyond loopback only health and metrics: flows are for those who may ask the console."""
        routes = self._status.routes(self.ready)
        if is_loopback(self.settings.http_address):
            return routes
        return {path: handler for path, handler in routes.items() if not path.startswith("/api/")}

    def _greet_store(self) -> None:
        try:
            self._ledger_store.migrate()
        except StoreRejected as error:
            raise EnvironmentProblem(f"{self.settings.store_url}: {error}") from error
        except StoreUnavailable as error:
            _log.warning("store_not_there_yet", store=self.settings.store_url, error=str(error))
        else:
            remember_agents(self._ledger_store, self._directory)

    def _reception(self, spool: Spool | NoSpool) -> Reception | ReceiveFleet:
        processes = self.settings.receive_processes

        def waiting() -> int:
            return len(self._raw) + self._writer.waiting

        def watched() -> bool:
            return bool(self._tap.viewers)

        if not processes:
            way = Way(spool, self._raw, waiting, watched, self._dropped)
            return Reception(self.settings, self.ledger, self._directory, self._agents, way=way)
        ashore = Ashore(self._spool, self._raw.put, waiting, watched, self._dropped)
        own = replace(self.settings, store_secret="")
        return ReceiveFleet(own, self.ledger, self._directory, self._agents, ashore)

    def _parts(self) -> Mapping[str, Mapping[str, int]]:
        """Instance → counters of the receive processes."""
        return self.reception.ledgers()

    def _dropped(self, segment: Segment) -> None:
        """Flows that found no room in memory: lost, unless the disk has them for the next collector."""
        if segment.path is not None:
            return
        counter = "spool_rows_shed" if self._spool is not None and self._spool.full else "pipeline_queue_full"
        self.ledger.add(counter, segment.rows)
        allowed, held_back = self._limit.allow(counter)
        if allowed:
            detail = self._writer.problem or "the store is too slow"
            _log.warning(counter, flows=segment.rows, detail=detail, held_back=held_back)


def _spool(settings: CollectorSettings, ledger: Ledger) -> Spool | None:
    spool = settings.collector.spool
    return Spool(settings.data_dir / "spool", spool, ledger) if settings.data_dir and spool.enable else None


def _open(settings: CollectorSettings, ledger: Ledger, *, counted: bool) -> FlowStore:
    return open_store(
        settings.store_url,
        settings.store_secret,
        groups=settings.groups,
        retention_hours=settings.retention_hours,
        retry_s=STORE_RETRY_S,
        on_retry=(lambda: ledger.add("store_insert_retries")) if counted else None,
    )


def run_collector(
    settings: CollectorSettings, stop: threading.Event, changes: queue.SimpleQueue[CollectorSettings] | None = None
) -> None:
    """Runs a collector until ``stop`` is set, then writes what was received.

    Args:
        settings: what it is told.
        stop: set by whoever wants it to end.
        changes: new settings to take over while running, as from a saved document.

    Raises:
        EnvironmentProblem, UsageError, InternalError: see ``CollectorProcess.start`` and ``check``.
    """
    share_memory()
    collector = CollectorProcess(settings)
    try:
        collector.start()
        while not stop.wait(_TICK_S):
            collector.check()
            if changes is not None and (changed := newest(changes)) is not None:
                collector.apply(changed)
    finally:
        collector.stop()
