# SPDX-License-Identifier: Apache-2.0
"""The decode thread: blocks of datagrams through the decoder into segments, which the spool has before the pipeline.

Nothing that a datagram holds ends the thread: the decoder counts what is malformed, and a mistake of ours costs one block, is
counted (``decode_error_datagrams``; once decoded, ``pipeline_failed``) and logged whole. Before: listeners; after: ``thin``,
then the gatherer.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Protocol

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.gatherer import Gatherer
from flowgauge.collector.relayed import Decodes, Road
from flowgauge.collector.senders import Refusals, turn_away_unknown
from flowgauge.collector.session import Session
from flowgauge.collector.standing import SAVE_S, TELL_S, TELL_SHARE, Standing, StateFile, TemplateFiles
from flowgauge.flow.addresses import to_text
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.thin import Thin
from flowgauge.runtime import logs
from flowgauge.runtime.clock import ClockWatch, now_ns
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.linux import keep_freed_memory
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, Problem, StreamReport
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.portions import Portions
from flowgauge.wire.repeats import Repeats

_log = logs.get("collector")


class Arrived(Protocol):
    """What a listener hands over: datagrams of anybody, or messages of one session."""

    @property
    def count(self) -> int:
        """How many datagrams or messages."""

    @property
    def session(self) -> Session | Road | None:
        """Whose templates they are decoded with; None: those of their senders' addresses."""

    def datagrams(self) -> Iterator[Datagrams]:
        """Them."""

    def done(self, flows: int) -> None:
        """They are not needed any more; so many flows were in them, as far as is known."""


class DecodeLoop:
    """Decodes what listeners fill ``arrived`` with, until None comes.

    Args:
        new_decoder: makes one for datagrams, and one for each session.
    """

    def __init__(
        self,
        arrived: queue.SimpleQueue[Arrived | None],
        *,
        new_decoder: Callable[[], Decoder],
        directory: ExporterDirectory,
        thin: Thin,
        gatherer: Gatherer,
        agents: AgentLedgers,
        ledger: Ledger,
        refusals: Refusals,
        standing: Standing,
        templates: TemplateFiles,
        names: StateFile,
    ) -> None:
        self._arrived, self._new_decoder = arrived, new_decoder
        self._decoder, self._repeats, self._portions = new_decoder(), Repeats(), Portions()
        self._decoder.fresh = True
        self._sessions: set[Session | Road] = set()
        self._standing, self._templates, self._names = standing, templates, names
        self._saved_at = time.monotonic()
        self._tell_at = self._saved_at + TELL_S
        self._changed, self._names_saved = False, 0
        self._directory, self._thin, self._gatherer = directory, thin, gatherer
        self._agents, self._ledger, self._refusals = agents, ledger, refusals
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._clock = ClockWatch()
        self._limit = logs.RateLimit()

    def start(self) -> None:
        """Begins to decode, with the templates and names that are kept."""
        keep_freed_memory()
        self._templates.restore(self._decoder, now_ns())
        self._names.restore(self._directory, now_ns())
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Waits for what the receiver has handed over; the receiver was stopped before."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def ready(self) -> bool:
        """True while it decodes."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while (arrived := self._next()) is not None:
            flows = 0
            try:
                flows = self._decode(arrived)
            except Exception:  # noqa: BLE001 - a mistake of ours must not end reception
                _log.exception("block_not_decoded", datagrams=arrived.count)
                self._ledger.add("decode_error_datagrams", arrived.count)
            finally:
                arrived.done(flows)
            self._keep_books()
        self._count(self._decoder.finish())
        self._gatherer.hand_on()
        self._tell_standing()
        self._save()

    def _next(self) -> Arrived | None:
        """What arrived next, None at the end; in the meantime hands on what is due, and tells how exporters stand."""
        while True:
            due_in_s = self._gatherer.due_in_s()
            if due_in_s == 0:
                self._gatherer.hand_on()
                continue
            with contextlib.suppress(queue.Empty):
                return self._arrived.get(timeout=TELL_S if due_in_s is None else min(due_in_s, TELL_S))
            self._keep_books()

    def _decode(self, arrived: Arrived) -> int:
        """How many flows were in it."""
        session = arrived.session
        decoder: Decodes = self._decoder
        if session is not None:
            if session.decoder is None:
                session.decoder = self._new_decoder()
            decoder = session.decoder
            self._sessions.add(session)
        flows = 0
        for datagrams in arrived.datagrams():
            for portion in self._portions.of(datagrams):
                flows += self._decode_portion(decoder, portion if session is not None else self._new(portion))
        if session is not None and session.ended:
            self._count(decoder.finish())
            self._sessions.discard(session)
        return flows

    def _decode_portion(self, decoder: Decodes, datagrams: Datagrams) -> int:
        """How many flows it held. The next portion may have the memory of its columns, unless they wait for the store."""
        decoded = decoder.decode(datagrams)
        self._portions.note(len(datagrams), len(decoded.flows))
        self._take_in(decoded, datagrams)
        return len(decoded.flows)

    def _new(self, datagrams: Datagrams) -> Datagrams:
        """Those that did not come before; over TCP none does."""
        kept, repeated = self._repeats.without(datagrams)
        self._ledger.add("receive_duplicates", repeated)
        return kept

    def _keep_books(self) -> None:
        """Looks at the clock; now and then tells how exporters stand, and saves what they told."""
        if moved_ns := self._clock.moved_ns():
            self._directory.clock_was_set(now_ns(), moved_ns)
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_standing()
            self._tell_at = now + max(TELL_S, (time.monotonic() - now) / TELL_SHARE)
        if now - self._saved_at >= SAVE_S:
            self._saved_at = now
            self._save()

    def _save(self) -> None:
        if self._changed:
            self._changed = False
            self._templates.save(self._decoder)
        if self._names_saved != self._directory.changes:
            self._names_saved = self._directory.changes
            self._names.save(self._directory)

    def _tell_standing(self) -> None:
        sessions = (session.decoder.reports() for session in self._sessions if session.decoder is not None)
        waiting = (replace(report, may_wait=True) for reports in sessions for report in reports)
        self._standing.tell(self._with_copies(report) for report in chain(self._decoder.reports(), waiting))

    def _with_copies(self, report: StreamReport) -> StreamReport:
        """With the datagrams that were left out before they were decoded."""
        copies = self._repeats.by_sender.get(report.socket_addr or report.exporter_addr)
        return replace(report, duplicates=(report.duplicates or 0) + copies) if copies else report

    def _take_in(self, decoded: Decoded, datagrams: Datagrams) -> None:
        self._count(decoded.counts)
        self._tell(decoded)
        self._changed |= "decode_template_changes" in decoded.counts
        if decoded.counts.get("decode_unknown_version"):
            turn_away_unknown(datagrams, self._refusals)
        self._agents.learn(self._directory.learn(decoded.options))
        if not len(decoded.flows):
            return
        try:
            kept = self._thin(decoded.flows)
            if len(kept):
                self._gatherer.add(kept)
        except Exception:  # noqa: BLE001 - a mistake of ours costs these flows, which the ledger calls lost
            _log.exception("flows_not_kept", flows=len(decoded.flows))
            self._ledger.add("pipeline_failed", len(decoded.flows))

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
