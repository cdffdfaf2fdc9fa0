# SPDX-License-Identifier: Apache-2.0
"""``collect --read``: files through decoder and pipeline into the store, one segment after the other, nothing dropped.

Unlike what arrives from the network a file waits: there is no queue and no spool, and a store that is away is waited for.
Flows that ended longer ago than the store keeps them are counted (``pipeline_late``) and told: they would vanish at once. In a
named dataset flows of any age stay, with their own time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.capture_reader import CaptureReader, Watcher
from flowgauge.collector.decoders import Decoders
from flowgauge.collector.gatherer import MAX_ROWS
from flowgauge.collector.ledger_writer import LedgerWriter
from flowgauge.collector.settings import CollectorSettings
from flowgauge.enrich.naming import Naming
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.graph import Pipeline
from flowgauge.pipeline.tally import Tally
from flowgauge.pipeline.thin import Thin
from flowgauge.runtime.clock import now_ns
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.errors import StoreRejected, StoreUnavailable
from flowgauge.store.opening import open_store
from flowgauge.wire.captures.batches import datagrams
from flowgauge.wire.captures.packet import Export
from flowgauge.wire.captures.recognise import export_s

HOUR_MS = 3_600_000
MAX_HOURS = 48
"""Hours of one insert: the store keeps each in a partition of its own, and takes 100 at once."""
STORE_RETRY_S = 1.0


class FileImport:
    """Reads files into the store.

    Args:
        settings: store, pipeline and names, as of a collector that listens.
        say: takes one sentence for people.
        watcher: told of the progress.
        dataset: name of the dataset to fill; empty: the flows go to the live ones.
        stop: set by whoever wants it to end early.

    Attributes:
        reader: which files were read, and how many could not be.
        ledger: what became of everything in them.
    """

    def __init__(self, settings: CollectorSettings, say: Callable[[str], None], watcher: Watcher, stop: threading.Event,
                 dataset: str = "") -> None:  # fmt: skip
        self._say, self._stop = say, stop
        self.reader = CaptureReader(say, watcher)
        self.ledger = Ledger("collector", f"{settings.name}-files@{now_ns() // 1_000_000}")
        self._store = open_store(settings.store_url, settings.store_secret, groups=settings.groups,
                                 retention_hours=settings.retention_hours,
                                 retry_s=STORE_RETRY_S, on_retry=lambda: self.ledger.add("store_insert_retries"))  # fmt: skip
        if dataset:
            self._store = self._store.dataset(dataset)
        self._url = settings.store_url
        self._naming = Naming(settings.objects, settings.collector.enrichment)
        self._decoder, self._directory, tally = Decoders(settings)(), ExporterDirectory(self._naming.dns.learn), Tally()
        self._thin = Thin(self._directory, self.ledger, keep_one_of=settings.collector.sampling, limit_per_s=0)
        self._pipeline = Pipeline(
            self._directory,
            self._naming.stage,
            Dedup(self._directory, settings.collector.deduplicate, tally),
            tally,
            retention_hours=settings.retention_hours,
        )
        self._oldest_ms = 0 if dataset else now_ns() // 1_000_000 - settings.retention_hours * HOUR_MS
        self._waiting: list[FlowBatch] = []
        self._segments = 0

    def run(self, paths: Sequence[Path]) -> None:
        """Reads all of them, in this order.

        Raises:
            EnvironmentProblem: the store refuses us.
        """
        self._until_done(self._store.migrate)
        self._naming.start()
        try:
            for path in paths:
                for batch in self.reader.batches(path):
                    if self._stop.is_set():
                        return
                    self._take(batch, path)
        finally:
            self._write()
            self._count(self._decoder.finish())
            self._until_done(LedgerWriter(self._store, self.ledger, AgentLedgers()).write)
            self._naming.stop()
            self._store.close()

    def _take(self, batch: list[Export], path: Path) -> None:
        decoded = self._decoder.decode(datagrams(list(timed(batch, path))))
        self.ledger.add("receive_datagrams", len(batch))
        self.ledger.add("receive_bytes", sum(len(export.payload) for export in batch))
        self._count(decoded.counts)
        self.reader.name(decoded, batch)
        self._directory.learn(decoded.options)
        if len(decoded.flows):
            self._waiting.append(self._thin(decoded.flows))
        if sum(map(len, self._waiting)) >= MAX_ROWS:
            self._write()

    def _write(self) -> None:
        """Writes what was gathered."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        processed = self._pipeline(FlowBatch.concat(waiting))
        self._count(processed.counts)
        recent = processed.flows.array("time_end_ms") >= self._oldest_ms if len(processed.flows) else np.zeros(0, np.bool_)
        self.ledger.add("pipeline_late", len(recent) - int(np.count_nonzero(recent)))
        for part in by_hours(processed.flows.take(recent)):
            self._insert(part)

    def _insert(self, flows: FlowBatch) -> None:
        token = f"{self.ledger.instance}/{self._segments}"
        self._segments += 1
        try:
            done = self._until_done(lambda: self.ledger.add("store_rows_written", self._store.write(flows, token)))
        except EnvironmentProblem as error:
            self._say(str(error))
            done = False
        if not done:
            self.ledger.add("store_rows_failed", len(flows))

    def _until_done(self, call: Callable[[], object]) -> bool:
        """Calls until the store answers; False when it was to stop before."""
        told = False
        while True:
            try:
                call()
            except StoreRejected as error:
                raise EnvironmentProblem(f"{self._url}: {error}") from error
            except StoreUnavailable as error:
                if not told:
                    self._say(f"waiting for the store: {error}")
                told = True
                if self._stop.wait(STORE_RETRY_S):
                    return False
            else:
                return True

    def _count(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            self.ledger.add(name, count)


def timed(batch: Sequence[Export], path: Path) -> Iterator[Export]:
    """Exports with a time of receipt: where a file has none, when the exporter sent it, else when the file was written."""
    written_ns = path.stat().st_mtime_ns
    for export in batch:
        if export.time_ns:
            yield export
        else:
            yield export._replace(time_ns=export_s(export.payload) * 1_000_000_000 or written_ns)


def by_hours(flows: FlowBatch) -> Iterator[FlowBatch]:
    """Parts that end within at most ``MAX_HOURS`` different hours each."""
    if not len(flows):
        return
    hours, which = np.unique(flows.array("time_end_ms") // HOUR_MS, return_inverse=True)
    for first in range(0, len(hours), MAX_HOURS):
        chosen = (which >= first) & (which < first + MAX_HOURS)
        yield flows if chosen.all() else flows.take(chosen)
