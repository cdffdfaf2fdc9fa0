# SPDX-License-Identifier: Apache-2.0
"""The decode thread: blocks of datagrams through the decoder into segments, which the spool has before anything else happens.

Nothing that a datagram holds ends the thread: the decoder counts what is malformed, and a mistake of ours costs one block,
is counted (``pipeline_failed``) and logged whole.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.blocks import Block
from flowgauge.collector.gatherer import Gatherer
from flowgauge.flow.addresses import to_text
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.thin import Thin
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, Problem
from flowgauge.wire.decoder import Decoder

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
        thin: Thin,
        gatherer: Gatherer,
        agents: AgentLedgers,
        ledger: Ledger,
    ) -> None:
        self._filled, self._give_back, self._decoder = filled, give_back, decoder
        self._directory, self._thin, self._gatherer = directory, thin, gatherer
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
        while (block := self._next()) is not None:
            try:
                self._take_in(block.datagrams())
            except Exception:  # noqa: BLE001 - a mistake of ours must not end reception
                _log.exception("block_not_decoded", datagrams=block.count)
                self._ledger.add("decode_error_datagrams", block.count)
            finally:
                self._give_back(block)
        self._count(self._decoder.finish())
        self._gatherer.hand_on()

    def _next(self) -> Block | None:
        """The next block, None at the end; hands on what is due in the meantime."""
        while True:
            due_in_s = self._gatherer.due_in_s()
            if due_in_s == 0:
                self._gatherer.hand_on()
                continue
            with contextlib.suppress(queue.Empty):
                return self._filled.get(timeout=due_in_s)

    def _take_in(self, datagrams: Datagrams) -> None:
        decoded = self._decoder.decode(datagrams)
        self._count(decoded.counts)
        self._tell(decoded)
        self._agents.learn(self._directory.learn(decoded.options))
        if not len(decoded.flows):
            return
        kept = self._thin(decoded.flows)
        if len(kept):
            self._gatherer.add(kept)

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
