# SPDX-License-Identifier: Apache-2.0
"""Wires ``flowgauge tee``: its socket, its receivers, metrics, and signals."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence

from flowgauge.cli import units
from flowgauge.errors import UsageError
from flowgauge.export.outlets import Receiver
from flowgauge.export.received import Inlet
from flowgauge.export.tee import Tee
from flowgauge.flow.prefixes import Prefix
from flowgauge.runtime import logs, signals
from flowgauge.runtime.clock import now_ns
from flowgauge.runtime.http import HttpServer, health_routes
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.metrics import Exposition

_WATCH_S = 0.5

_log = logs.get("tee")


def run(inlet: Inlet, receivers: Sequence[Receiver], allowed: Sequence[Prefix], *, keep_source: bool,
        http: tuple[str, int], log_level: str) -> int:  # fmt: skip
    """Passes on until SIGTERM or Ctrl-C, and says what became of the datagrams; 1 when it failed in between."""
    if log_level not in logs.LEVELS:
        raise UsageError(f"--log-level {log_level!r}: there are {', '.join(logs.LEVELS)}")
    logs.configure(log_level)
    ledger = Ledger("tee", f"tee@{now_ns() // 1_000_000}")
    tee = Tee(inlet, receivers, allowed, ledger, keep_source=keep_source)
    server = HttpServer(*http, health_routes(tee.ready, Exposition(ledger, tee.samples).text))
    stop = threading.Event()
    signals.on({signal.SIGTERM: stop.set, signal.SIGINT: stop.set})
    tee.start()
    try:
        server.start()
        _log.info("passing_on", listen="{}:{}".format(*inlet.address), to=[one.text for one in receivers],
                  keep_source=keep_source, metrics=f"{server.url}/metrics")  # fmt: skip
        while tee.ready() and not stop.wait(_WATCH_S):
            pass
    finally:
        tee.stop()
        server.stop()
    print(f"flowgauge: {summary(ledger.snapshot())}", file=sys.stderr)
    return 0 if stop.is_set() else 1


def summary(counted: dict[str, int]) -> str:
    """One sentence on what became of the datagrams."""
    came = units.counted(counted.get("receive_datagrams", 0), "datagram")
    refused, sent, failed = (counted.get(f"tee_datagrams_{what}", 0) for what in ("refused", "sent", "failed"))
    dropped = counted.get("receive_socket_drops", 0)
    more = f"; {units.counted(dropped, 'datagram')} dropped before, the receive buffer being full" if dropped else ""
    return f"{came} came, {units.number(refused)} refused; {units.number(sent)} passed on, {units.number(failed)} failed{more}"
