# SPDX-License-Identifier: Apache-2.0
"""The ledger's rows in ClickHouse: appended as they come, read as changes within a window, or step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from flowgauge.schema.flow_query import Window
from flowgauge.store.clickhouse.planner import Statement
from flowgauge.store.store import KERNEL, LedgerChange, LedgerRow, LedgerStep

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
  countIf(time >= starts) AS within,
  argMinIf(value, (ms, value), time >= starts) AS first, maxIf(value, time >= starts) AS last,
  argMaxIf(ms, (value, -ms), time >= starts) AS reached_ms, max(ms) AS told_ms,
  argMaxIf(value, (ms, value), time >= starts) AS latest,
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
        # altogether tells only how it moved since it spoke, as kernels do: their counters began before anybody heard of them.
        if row["before"]:
            base = row["value_before"]
        else:
            watched = row["spoke"] or _started_ms(row["instance"]) >= window.start_ms - LOOKBACK_MS
            base = 0 if watched and row["component"] != KERNEL else row["first"]
        yield LedgerChange(
            row["component"], row["instance"], row["counter"], max(0, row["last"] - base), row["last"], row["reached_ms"],
            row["told_ms"], row["latest"],
        )  # fmt: skip


def steps_statement(component: str, window: Window, step_ms: int) -> Statement:
    """How counters of ``component`` moved in each step, summed over what stands behind ``@`` in their names, and their largest.

    Steps are counted from the window's start; those before it give the values that the first ones begin with. A value that
    falls began anew. What is told of first moved by what it was before, in a row of the same time, at most.
    """
    return Statement(
        """SELECT instance, splitByChar('@', counter)[1] AS name, bin, sum(moved) AS moved, max(largest) AS largest FROM (
SELECT instance, counter, bin, largest, last, row_number() OVER each AS number, lagInFrame(last, 1) OVER each AS former,
  multiIf(number = 1, greatest(last - first, 0), last >= former, last - former, last) AS moved
FROM (SELECT instance, counter, intDiv(toUnixTimestamp64Milli(time) - {origin:Int64}, {step:Int64}) AS bin,
    toInt64(max(value)) AS largest, toInt64(argMax(value, (time, value))) AS last,
    toInt64(argMin(value, (time, value))) AS first
  FROM ledger WHERE component = {component:String}
    AND time >= fromUnixTimestamp64Milli({origin:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  GROUP BY instance, counter, bin)
WINDOW each AS (PARTITION BY instance, counter ORDER BY bin ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
GROUP BY instance, name, bin HAVING bin >= {skipped:Int64} ORDER BY instance, name, bin""",
        {
            "component": component, "step": step_ms, "origin": _origin_ms(window, step_ms), "end": window.end_ms,
            "skipped": _STEPS_BEFORE,
        },
    )  # fmt: skip


def steps(table: pa.Table, window: Window, step_ms: int) -> list[LedgerStep]:
    """The steps from the statement's result."""
    origin = _origin_ms(window, step_ms)
    return [
        LedgerStep(row["instance"], row["name"], origin + row["bin"] * step_ms, row["moved"], row["largest"])
        for row in table.to_pylist()
    ]


_STEPS_BEFORE = 2
"""Steps before a window that are read, too: every counter is told of within 20 s, and steps are longer."""


def _origin_ms(window: Window, step_ms: int) -> int:
    return window.start_ms - _STEPS_BEFORE * step_ms


def _started_ms(instance: str) -> int:
    start = instance.rpartition("@")[2]
    return int(start) if start.isdecimal() else 0
