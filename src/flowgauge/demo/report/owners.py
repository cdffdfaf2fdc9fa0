# SPDX-License-Identifier: Apache-2.0
"""Processes of flows against those that ``ss -tp`` showed of the same connections: from the web pods to PostgreSQL.

These connections have one process for all their life. What ``ss`` showed only once may have ended before a row had its process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flowgauge.demo.database import PORT
from flowgauge.demo.report.round_trips import FEWEST_READINGS
from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.scene.sockets import Connection, RoundTrip
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch

PROCESSES = "processes of connections to PostgreSQL"


@dataclass(slots=True)
class Owners:
    """Reads batches; ``scores`` afterwards. ``readings`` are what ``ss`` showed."""

    readings: Sequence[RoundTrip]
    _told: dict[Connection, set[int]] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def add(self, batch: FlowBatch) -> None:
        """Takes the processes of rows that passed our links."""
        rows = batch.take((batch.array("dst_port") == PORT) & (batch.array("packets") > 0) & (batch.array("src_pid") > 0))
        sources, targets = rows.array("src_addr"), rows.array("dst_addr")
        ports, pids = (rows.array(name).tolist() for name in ("src_port", "src_pid"))
        for at, pid in enumerate(pids):
            connection = (to_text(sources[at].tobytes()), ports[at], to_text(targets[at].tobytes()), PORT)
            self._told.setdefault(connection, set()).add(pid)

    def scores(self) -> list[Score]:
        """None when ``ss`` showed no process."""
        shown: dict[Connection, list[RoundTrip]] = {}
        for reading in self.readings:
            if reading.holders:
                shown.setdefault(reading.connection, []).append(reading)
        held = {connection: dict(seen[-1].holders) for connection, seen in shown.items() if len(seen) >= FEWEST_READINGS}
        if not held:
            return []
        wrong = sum(not self._told.get(connection, set()) or not self._told[connection] <= holders.keys()
                    for connection, holders in held.items())  # fmt: skip
        names = ", ".join(sorted({name for holders in held.values() for name in holders.values()}))
        return [judged(PROCESSES, len(held) - wrong, len(held), wrong, 0, source=f"ss -tp: {names}")]
