# SPDX-License-Identifier: Apache-2.0
"""The ledger's rows in ClickHouse: appended as they come, read as changes within a window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from flowgauge.schema.flow_query import Window
from flowgauge.store.clickhouse.planner import Statement
from flowgauge.store.store import LedgerChange, LedgerRow

LOOKBACK_MS = 6 * 3600 * 1000
"""How far before a window an instance's last values are looked for."""

_NAME = pa.dictionary(pa.int32(), pa.utf8())
_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("ms", tz="UTC")),
        ("component", _NAME),
        ("instance", _NAME),
        ("counter", _NAME),
        ("value", pa.uint64()),
    ]
)


def to_table(rows: Sequence[LedgerRow]) -> pa.Table:
    """The rows as the table takes them."""
    return pa.Table.from_arrays(
        [
            pa.array([row.time_ms for row in rows], pa.int64()).cast(_SCHEMA.field("time").type),
            *(pa.array([getattr(row, name) for row in rows], pa.utf8()).dictionary_encode() for name in _SCHEMA.names[1:4]),
            pa.array([row.value for row in rows], pa.uint64()),
        ],
        schema=_SCHEMA,
    )


def statement(window: Window) -> Statement:
    """For each counter of each instance its last value before the window, first and last within and when; who spoke before."""
    return Statement(
        """SELECT * FROM (
SELECT component, instance, counter, countIf(time < starts) AS before, maxIf(value, time < starts) AS value_before,
  countIf(time >= starts) AS within, minIf(value, time >= starts) AS first, maxIf(value, time >= starts) AS last,
  argMaxIf(ms, (value, -ms), time >= starts) AS reached_ms, max(ms) AS told_ms,
  argMaxIf(value, ms, time >= starts) AS latest,
  sum(before) OVER (PARTITION BY component, instance) AS spoke
FROM (SELECT *, toUnixTimestamp64Milli(time) AS ms, fromUnixTimestamp64Milli({start:Int64}, 'UTC') AS starts FROM ledger
  WHERE time >= fromUnixTimestamp64Milli({lookback:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({end:Int64}, 'UTC'))
GROUP BY component, instance, counter) WHERE within > 0
ORDER BY component, instance, counter""",
        {"start": window.start_ms, "end": window.end_ms, "lookback": window.start_ms - LOOKBACK_MS},
    )


def changes(table: pa.Table, window: Window) -> list[LedgerChange]:
    """The changes from the statement's result."""
    return list(_changes(table, window))


def _changes(table: pa.Table, window: Window) -> Iterable[LedgerChange]:
    for row in table.to_pylist():
        # Counters start at 0 with their instance, and are told of from their first move on. An older instance that was silent
        # altogether tells only how it moved since it spoke.
        if row["before"]:
            base = row["value_before"]
        else:
            watched = row["spoke"] or _started_ms(row["instance"]) >= window.start_ms - LOOKBACK_MS
            base = 0 if watched else row["first"]
        yield LedgerChange(
            row["component"], row["instance"], row["counter"], max(0, row["last"] - base), row["last"], row["reached_ms"],
            row["told_ms"], row["latest"],
        )  # fmt: skip


def _started_ms(instance: str) -> int:
    start = instance.rpartition("@")[2]
    return int(start) if start.isdecimal() else 0
