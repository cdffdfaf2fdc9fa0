# SPDX-License-Identifier: Apache-2.0
"""Round-trip times of flows against those that ``ss -ti`` showed of the same connections while they lived.

A flow's row has the smallest and the mean of the smoothed times that its socket had whenever a segment came. A reading of
``ss`` is the smoothed time of one moment; between two segments it does not change, so it belongs to the last row that began
before. Single readings differ from the mean of their row where times change within it: the median of the differences must be
small. The smallest is bounded on both sides: no smoothed time is below the kernel's smallest single one (``minrtt``), and flows
have seen at least what ``ss`` saw. That holds for connections that were read until shortly before their end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from flowgauge.demo.database import PORT
from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.scene.sockets import Connection, RoundTrip
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch

MEAN = "round trips to PostgreSQL, ms"
SMALLEST = "smallest round trip to PostgreSQL, ms"
OFF_MS, SHARE_OFF = 1.0, 0.1
FEWEST_READINGS = 5
"""Of a connection whose smallest round trip is compared: what a shorter one had after its only reading, nobody knows."""


@dataclass(frozen=True, slots=True, order=True)
class _Row:
    """What the flows of a connection say of an export interval."""

    start_ms: int
    mean_ms: float
    smallest_ms: float


@dataclass(slots=True)
class RoundTrips:
    """Reads batches; ``scores`` afterwards. ``readings`` are what ``ss`` showed, in the order of time."""

    readings: Sequence[RoundTrip]
    _rows: dict[Connection, list[_Row]] = field(default_factory=dict)

    def add(self, batch: FlowBatch) -> None:
        """Takes the rows of connections to the database that have round trips; events of sockets are of one moment."""
        counted = (batch.array("dst_port") == PORT) & (batch.array("duplicate_of") == 0)
        rows = batch.take(counted & (batch.array("rtt_avg_us") > 0))
        starts = (rows.array("time_end_ms") - rows.array("duration_ms")).tolist()
        sources, targets = rows.array("src_addr"), rows.array("dst_addr")
        ports, means, smallest = (rows.array(name).tolist() for name in ("src_port", "rtt_avg_us", "rtt_min_us"))
        for at, start_ms in enumerate(starts):
            connection = (to_text(sources[at].tobytes()), ports[at], to_text(targets[at].tobytes()), PORT)
            row = _Row(start_ms, means[at] / 1000, smallest[at] / 1000)
            self._rows.setdefault(connection, []).append(row)

    def scores(self) -> list[Score]:
        """None when ``ss`` showed nothing; not held when flows have none of what it showed."""
        if not self.readings:
            return []
        for rows in self._rows.values():
            rows.sort()
        by_connection: dict[Connection, list[RoundTrip]] = {}
        for reading in self.readings:
            by_connection.setdefault(reading.connection, []).append(reading)
        pairs = [
            pair for connection, readings in by_connection.items() for pair in _paired(readings, self._rows.get(connection, []))
        ]
        if not pairs:
            shown = median(reading.smoothed_ms for reading in self.readings)
            source = f"ss -ti, {len(self.readings)} readings, no flow of these connections"
            return [judged(MEAN, 0, shown, shown, 0, source=source)]
        smallest = [
            _smallest(readings, self._rows[connection])
            for connection, readings in by_connection.items()
            if len(readings) >= FEWEST_READINGS and connection in self._rows
        ]
        return [_mean(pairs), *sorted(smallest, key=lambda score: score.error - score.allowed)[-1:]]


def _paired(readings: Iterable[RoundTrip], rows: Sequence[_Row]) -> list[tuple[RoundTrip, _Row]]:
    """Each reading with the last row that began before it."""
    starts = [row.start_ms for row in rows]
    found = ((reading, bisect_right(starts, reading.time_ms)) for reading in readings)
    return [(reading, rows[at - 1]) for reading, at in found if at]


def _mean(pairs: Sequence[tuple[RoundTrip, _Row]]) -> Score:
    measured = median(row.mean_ms for _, row in pairs)
    truth = median(reading.smoothed_ms for reading, _ in pairs)
    error = median(abs(row.mean_ms - reading.smoothed_ms) for reading, row in pairs)
    connections = len({reading.connection for reading, _ in pairs})
    source = f"ss -ti, medians of {len(pairs)} readings of {connections} connections"
    return judged(MEAN, measured, truth, error, max(OFF_MS, SHARE_OFF * truth), source=source)


def _smallest(readings: Sequence[RoundTrip], rows: Sequence[_Row]) -> Score:
    """Of one connection, from the row of its first reading on."""
    starts = [row.start_ms for row in rows]
    first = max(bisect_right(starts, readings[0].time_ms) - 1, 0)
    measured = min(row.smallest_ms for row in rows[first:])
    low, high = min(one.smallest_ms for one in readings), min(one.smoothed_ms for one in readings)
    error = max(low - measured, measured - high, 0.0)
    source = f"minrtt of ss -ti, whose smallest rtt was {high:g} ms"
    return judged(SMALLEST, measured, low, error, max(OFF_MS, SHARE_OFF * high), source=source)
