# SPDX-License-Identifier: Apache-2.0
"""Hands IPFIX messages to a collector over TCP or TLS, from a thread of its own: a slow collector never delays an eviction.

Before it: the encoder; behind it: ``export.stream``, which connects, numbers each session anew, and sends again what was not
acknowledged. Messages count as sent when the collector's machine has acknowledged them. What waits is kept in the backlog; the
rest is bounded by the socket's buffer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from flowgauge.agent.backlog import Backlog
from flowgauge.agent.not_sent import NotSent
from flowgauge.errors import EnvironmentProblem
from flowgauge.export.counts import Counts
from flowgauge.export.messages import Message
from flowgauge.export.settings import ExportSettings
from flowgauge.export.stream import StreamTransport
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger

RETRY_S = 1.0
"""Between two tries to reach a collector that is away, or that refuses us."""
STALLED_S = 6.0
"""And after one that took nothing any more: longer than others are waited for (``export_failover.PATIENCE_S``), since its
machine may take the next connection at once, and it still read nothing."""
STOP_S = 3.0
"""How long a stop waits for what is under way."""
_TICK_S = 0.2
_ENDED_AT_ONCE = 2
"""So many sessions in a row that end as soon as they began are no restart of a collector."""

_log = logs.get("agent")


class StreamExport:
    """Sends between ``start`` and ``stop``; ``send`` only hands over. In ``ledger`` every record ends as sent or failed.

    Args:
        settings: the collector, and how TLS is used.
        greeting: makes what each session begins with.
    """

    def __init__(self, settings: ExportSettings, ledger: Ledger, greeting: Callable[[], Sequence[Message]]) -> None:
        self.where = settings.where
        self._ledger = ledger
        self._not_sent = NotSent(ledger)
        self._backlog = Backlog(self._not_sent)
        self._counts = Counts()
        self._transport = StreamTransport(settings, greeting, self._counts)
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="export", daemon=True)
        self._acknowledged = 0
        self._limit = logs.RateLimit()
        self.held = False
        self.refused = ""
        self.sent_records = 0
        self.sent_anything = False

    def start(self) -> None:
        """Begins; a collector that is away is tried again until it is there."""
        self._thread.start()

    def send(self, messages: Sequence[Message], budget_s: float = 2.0) -> None:
        """Hands over; TCP itself sets the pace, so there is nothing to spread over ``budget_s``."""
        del budget_s
        for message in messages:
            self._backlog.keep(message)
        self._wake.set()

    def release(self) -> list[Message]:
        """What is kept, for another collector to be sent; what is under way, or being written to one that is there, stays."""
        return self._backlog.give_up() if self.held else self._backlog.give_up_the_rest()

    def stop(self) -> None:
        """Sends what is left, within a bound; the rest is counted as failed. Safe to call twice."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S + RETRY_S)
        for message in [*self._transport.unsent(), *self._backlog.give_up()]:
            self._not_sent.count(message, "stopped")
        self._transport.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_TICK_S)
            self._wake.clear()
            self._turn()
        self._turn()
        if not self.held:
            with suppress(EnvironmentProblem):  # what is left is counted
                self._settle(STOP_S)

    def _turn(self) -> None:
        """Sends all there is, or waits a while when nobody takes it."""
        try:
            while (message := self._backlog.first()) is not None:
                if not self._transport.deliver(message):
                    self._away()
                    return
                self._backlog.take(message)
                self._there()
            self._settle(0.0)
            if self._transport.stalled and not self.held:
                self._hold(self._transport.problem)
        except EnvironmentProblem as refusal:
            self.refused = str(refusal)
            self._hold(str(refusal))

    def _settle(self, seconds: float) -> None:
        """Takes note of what was acknowledged, waiting for it as long as told."""
        self._transport.settle(seconds)
        self._note()
        if self._transport.is_proven:
            self.refused = ""

    def _away(self) -> None:
        if self._transport.ended_at_once >= _ENDED_AT_ONCE and not self.refused:
            self.refused = (
                f"{self.where} ends each connection of ours at once; see its log, and whether its spec.collector.allow and "
                "tls.clientNames let this node in"
            )
        self._hold(self._transport.problem)

    def _there(self) -> None:
        if self.held:
            _log.info("export_resumed", collector=self.where, kept_bytes=self._backlog.size_bytes)
        self.held = False
        self.sent_anything = True
        self._note()

    def _note(self) -> None:
        fresh = self._counts.sent - self._acknowledged
        self._ledger.add("export_records_sent", fresh)
        self._acknowledged += fresh
        self.sent_records = self._acknowledged + self._transport.under_way

    def _hold(self, cause: str) -> None:
        self._backlog.put_back(self._transport.give_back())
        allowed, held_back = self._limit.allow(cause)
        if allowed:
            _log.warning("export_held_back", collector=self.where, cause=cause, kept_bytes=self._backlog.size_bytes,
                         held_back=held_back)  # fmt: skip
        self.held = True
        self._stopping.wait(STALLED_S if self._transport.stalled else RETRY_S)
        self._wake.set()
