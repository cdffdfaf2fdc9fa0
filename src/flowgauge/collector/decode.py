# SPDX-License-Identifier: Apache-2.0
"""The decode thread: blocks of datagrams through decoder and pipeline to the live tap and the writer's queue.

Nothing that a datagram holds ends the thread: the decoder counts what is malformed, and a mistake of ours costs one block,
is counted (``pipeline_failed``) and logged whole.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.blocks import Block
from flowgauge.collector.live import LiveTap
from flowgauge.collector.row_queue import RowQueue
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.graph import Pipeline
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, Problem
from flowgauge.wire.decoder import Decoder

QUEUE_WAIT_S = 1.0
"""How long a batch waits for room in the writer's queue before it is dropped and counted."""

_log = logs.get("collector")


class DecodeLoop:
    """Decodes what the receiver fills, until it puts None.

    Args:
        give_back: takes a block that is not needed any more.
    """

    def __init__(
        self,
        filled: queue.SimpleQueue[Block | None],
        *,
        give_back: Callable[[Block], None],
        decoder: Decoder,
        directory: ExporterDirectory,
        pipeline: Pipeline,
        tap: LiveTap,
        rows: RowQueue,
        agents: AgentLedgers,
        ledger: Ledger,
    ) -> None:
        self._filled, self._give_back, self._decoder = filled, give_back, decoder
        self._directory, self._pipeline, self._tap, self._rows = directory, pipeline, tap, rows
        self._agents, self._ledger = agents, ledger
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._limit = logs.RateLimit()

    def start(self) -> None:
        """Begins to decode."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Waits for what the receiver has handed over; the receiver was stopped before."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def ready(self) -> bool:
        """True while it decodes."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while (block := self._filled.get()) is not None:
            try:
                self._take_in(block.datagrams())
            except Exception:  # noqa: BLE001 - a mistake of ours must not end reception
                _log.exception("block_not_decoded", datagrams=block.count)
                self._ledger.add("decode_error_datagrams", block.count)
            finally:
                self._give_back(block)
        self._count(self._decoder.finish())

    def _take_in(self, datagrams: Datagrams) -> None:
        decoded = self._decoder.decode(datagrams)
        self._count(decoded.counts)
        self._tell(decoded)
        self._agents.learn(self._directory.learn(decoded.options))
        if len(decoded.flows):
            self._pass_on(decoded.flows)

    def _pass_on(self, flows: FlowBatch) -> None:
        try:
            batch = self._pipeline(flows)
        except Exception:  # noqa: BLE001 - see above
            _log.exception("flows_lost_in_pipeline", flows=len(flows))
            self._ledger.add("pipeline_failed", len(flows))
            return
        if not len(batch):
            return
        self._tap.publish(batch)
        if not self._rows.put(batch, QUEUE_WAIT_S):
            self._ledger.add("pipeline_queue_full", len(batch))
            self._warn("pipeline_queue_full", flows=len(batch), detail="the store is too slow, or away")

    def _count(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            self._ledger.add(name, count)

    def _tell(self, decoded: Decoded) -> None:
        for problem in decoded.problems:
            self._warn(f"decode_{problem.cause}", **_facts(problem))
        unknown = decoded.counts.get("decode_unknown_version", 0)
        if unknown:
            self._warn(
                "decode_unknown_version", datagrams=unknown, hint="something that is no flow exporter sends to this port"
            )

    def _warn(self, event: str, **facts: object) -> None:
        allowed, held_back = self._limit.allow(event)
        if allowed:
            _log.warning(event, held_back=held_back, **facts)


def _facts(problem: Problem) -> dict[str, object]:
    return {
        "exporter": to_text(problem.exporter_addr),
        "offset": problem.offset,
        "expected": problem.expected,
        "found": problem.found,
    }
