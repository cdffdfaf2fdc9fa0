# SPDX-License-Identifier: Apache-2.0
"""The exporter: batches of flows with physical columns, encoded, paced and sent. Called by one thread.

Before it: whoever reads flows back or follows the live ones; after it: the receiver.
"""

from __future__ import annotations

import time

import numpy as np

from flowgauge.errors import EnvironmentProblem
from flowgauge.export.counts import Counts
from flowgauge.export.messages import FlowMessages
from flowgauge.export.pace import DATAGRAMS_PER_S, Pace, Sleep
from flowgauge.export.settings import ExportSettings, Transport
from flowgauge.export.stream import StreamTransport
from flowgauge.export.udp import UdpTransport
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime import logs
from flowgauge.runtime.clock import Clock, now_ns

ROWS_AT_ONCE = 5_000
"""Flows encoded together: their messages, about 1.5 MB, wait in memory while they are sent at the export's pace."""

_log = logs.get("export")


class FlowExporter:
    """Sends between ``start`` and ``close``.

    Attributes:
        counts: what became of the flows so far; complete after ``finish`` and ``close``.
    """

    def __init__(self, settings: ExportSettings, clock: Clock = now_ns, sleep: Sleep = time.sleep) -> None:
        settings.check()
        self.counts = Counts()
        self._settings = settings
        self._messages = FlowMessages(settings, clock)
        datagrams = settings.transport is Transport.UDP
        transport = UdpTransport if datagrams else StreamTransport
        self._transport = transport(settings, self._messages.templates, self.counts, sleep)
        self._pace = Pace(settings.rate_per_s, DATAGRAMS_PER_S if datagrams else 0, sleep)
        self._limit = logs.RateLimit()

    def start(self) -> None:
        """Opens the transport; EnvironmentProblem when nobody is there."""
        self._transport.start()

    def send(self, batch: FlowBatch) -> None:
        """Sends a batch; EnvironmentProblem when the receiver went away and the settings do not say to go on."""
        self.counts.offered += len(batch)
        for first in range(0, len(batch), ROWS_AT_ONCE):
            self._send(batch.take(np.arange(first, min(first + ROWS_AT_ONCE, len(batch)))))

    def finish(self) -> None:
        """Waits for what is under way."""
        self._transport.finish()

    def close(self) -> None:
        """Closes the transport; safe to call twice."""
        self._transport.close()

    def _send(self, rows: FlowBatch) -> None:
        for message in self._messages.flows(rows):
            self._pace.wait(message.flows)
            if not self._transport.deliver(message):
                self._undelivered()

    def _undelivered(self) -> None:
        """Goes on without the message, or ends with it."""
        if not self._settings.persistent:
            raise EnvironmentProblem(f"{self._settings.where} takes no more flows: {self._transport.problem}")
        allowed, held_back = self._limit.allow(self._transport.problem)
        if allowed:
            _log.warning("export_failed", to=self._settings.where, cause=self._transport.problem, held_back=held_back)
