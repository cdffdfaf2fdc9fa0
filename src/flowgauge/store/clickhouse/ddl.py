# SPDX-License-Identifier: Apache-2.0
"""The tables, derived from the registry: flows, the rollup by namespace and minute, the ledger, the schema's version.

Why so (measured, see ``docs/design``): the sort key is the codec, so rows lie by ten minutes, then workload; hourly
partitions make retention a dropped folder; both fsync settings make "the insert returned" mean durable; the deduplication
window makes a repeated token harmless in the table and in the rollup. The rollup's view cannot throw: only sums and
``greatest``, and integer overflow wraps. The same statements run on the embedded engine and on a server.
"""

# ruff: noqa: S608 - statements are made of the registry's own names; values are parameters
from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowgauge.schema.column import Column, Stored
from flowgauge.schema.columns import stored_columns
from flowgauge.schema.enums import SAMPLING_ALGORITHM, code
from flowgauge.store.clickhouse.types import codec, default, sql_type

SCHEMA_VERSION = 1
"""Of the tables; a new column does not raise it (it is added by ALTER), a changed meaning does."""

DEDUPLICATION_WINDOW = 1000
"""How many inserts back a repeated token is recognised. Each collector repeats at most its latest insert: what counts is how
many the others make while it starts again."""

LEDGER_DAYS = 30
ROLLUP_DAYS = 30

_DURABLE = f"fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"
COMPACT_BYTES = 512 << 20
"""Parts of flows up to so many bytes before compression are one file, beyond it a file for each column.

One file is written and synced for a quarter less, and merged row by row for half of what column by column costs (measured).
Large parts stay as they were: their merges would need a buffer for each column of each part.
"""

MERGE_BASE = 16
"""Parts of flows are merged when there are about so many of one size; the engine's default is 5.

A flow is written again by each merge it goes through, which costs more than its insert: in a minute of parts of a second each
that was 0.9 times in place of 1.7 (measured). The price is up to three times as many parts to read.
"""

_FLOWS = {"min_bytes_for_wide_part": COMPACT_BYTES, "merge_selector_base": MERGE_BASE}
"""How the engine keeps flows, beside what cannot change."""

_EXPIRY = "ttl_only_drop_parts = 1, merge_with_ttl_timeout = 300"

SORT_KEY = (
    "toStartOfInterval(time_end_ms, INTERVAL 10 MINUTE)",
    "src_namespace",
    "src_owner",
    "dst_namespace",
    "dst_owner",
    "src_name",
    "dst_name",
    "time_end_ms",
)

SCALE = "greatest(sampling_rate, 1)"
"""What one observed packet stands for; unknown sampling counts as all packets, and the answer says so."""

DRAWN_WHOLE = f"sampling_algorithm IN ({code(SAMPLING_ALGORITHM, 'flow')}, {code(SAMPLING_ALGORITHM, 'other')})"
"""Records of connections that chance kept or left as a whole; ``other`` had its packets sampled before."""

_OF_EACH = f"toFloat64({SCALE}) * ({SCALE} - 1)"


def sampling_sums(drawn_whole: str = DRAWN_WHOLE) -> dict[str, str]:
    """What the stated error of scaled sums is made of (see ``store.answer.Sampling``).

    Of connections drawn whole (a condition) it is as if each of their records were drawn alone: ``together`` has the rest.
    """
    return {
        "packets_variance": f"sum({_OF_EACH} * packets * if({drawn_whole}, packets, 1))",
        "bytes_variance": f"sum({_OF_EACH} * toFloat64(bytes) * bytes / if({drawn_whole}, 1, greatest(packets, 1)))",
        "sampled_flows": "countIf(sampling_rate > 1)",
        "unsampled_flows": "countIf(sampling_rate = 1)",
        "unknown_flows": "countIf(sampling_rate = 0)",
    }


SAMPLING_SUMS = tuple(sampling_sums())
"""Their names."""

ROLLUP_SUMS: dict[str, str] = {
    "scaled_bytes": f"sum(bytes * {SCALE})",
    "scaled_packets": f"sum(packets * {SCALE})",
    "flows": "count()",
    **sampling_sums(drawn_whole="0"),
}
"""As if all sampled packets were drawn one by one: a view keeps its statement, and is older than what tells the others."""


def column_ddl(column: Column) -> str:
    """One column of CREATE TABLE or ADD COLUMN."""
    return " ".join(filter(None, (column.physical, sql_type(column), default(column), codec(column))))


def create_statements(groups: Iterable[Stored], *, retention_hours: int | None) -> list[str]:
    """Makes what is missing, in order; each is harmless when repeated.

    Args:
        groups: column groups stored beside the core.
        retention_hours: how long flows are kept, at least 1; None: for ever, by days instead of hours (a dataset).
    """
    columns = ",\n  ".join(map(column_ddl, stored_columns(groups)))
    partition, expiry = "toDate(time_end_ms)", ""
    if retention_hours is not None:
        partition, expiry = "toStartOfHour(time_end_ms)", f"TTL {flows_ttl(retention_hours)}\n"
    rollup = _rollup_statements() if retention_hours is not None else []
    return [
        f"""CREATE TABLE IF NOT EXISTS flows (
  {columns}
) ENGINE = MergeTree
PARTITION BY {partition}
ORDER BY ({", ".join(SORT_KEY)})
{expiry}SETTINGS {_EXPIRY}, {_DURABLE}, {", ".join(_assignments(_FLOWS))}""",
        *rollup,
        f"""CREATE TABLE IF NOT EXISTS ledger (
  time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)), component LowCardinality(String), instance LowCardinality(String),
  counter LowCardinality(String), value UInt64 CODEC(T64, ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (component, instance, counter, time)
TTL toDateTime(time) + INTERVAL {LEDGER_DAYS} DAY
SETTINGS {_EXPIRY}, {_DURABLE}""",
        """CREATE TABLE IF NOT EXISTS schema_version (version UInt32, applied DateTime('UTC') DEFAULT now())
ENGINE = MergeTree ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1""",
    ]


def _rollup_statements() -> list[str]:
    """Sums by namespaces and minute, made as flows come."""
    sums = ", ".join(f"{expression} AS {name}" for name, expression in ROLLUP_SUMS.items())
    sum_columns = ", ".join(f"{name} {'Float64' if 'variance' in name else 'UInt64'}" for name in ROLLUP_SUMS)
    return [
        f"""CREATE TABLE IF NOT EXISTS ns_1m (
  minute DateTime('UTC'), src_namespace LowCardinality(String), dst_namespace LowCardinality(String), proto UInt8,
  {sum_columns}
) ENGINE = SummingMergeTree
PARTITION BY toDate(minute)
ORDER BY (minute, src_namespace, dst_namespace, proto)
TTL minute + INTERVAL {ROLLUP_DAYS} DAY
SETTINGS {_EXPIRY}, {_DURABLE}""",
        f"""CREATE MATERIALIZED VIEW IF NOT EXISTS ns_1m_view TO ns_1m AS
SELECT toDateTime(toStartOfMinute(time_end_ms), 'UTC') AS minute, src_namespace, dst_namespace, proto, {sums}
FROM flows WHERE duplicate_of = 0
GROUP BY minute, src_namespace, dst_namespace, proto""",
    ]


def flows_ttl(retention_hours: int) -> str:
    """The expiry of flows, as an expression."""
    return f"toDateTime(time_end_ms) + INTERVAL {int(retention_hours)} HOUR"


def alter_retention(retention_hours: int) -> str:
    """Changes the expiry of flows that are there; takes effect at the next merge, without rewriting them."""
    return f"ALTER TABLE flows MODIFY TTL {flows_ttl(retention_hours)}"


def alter_keeping(engine: str) -> str:
    """Keeps new flows of a table that is there as a new table would; empty where its definition says so already."""
    there = set(engine.rpartition("SETTINGS ")[2].split(", "))
    missing = [one for one in _assignments(_FLOWS) if one not in there]
    return f"ALTER TABLE flows MODIFY SETTING {', '.join(missing)}" if missing else ""


def _assignments(settings: Mapping[str, int]) -> list[str]:
    return [f"{name} = {value}" for name, value in settings.items()]


def add_column(column: Column) -> str:
    """Adds a column that a group switched on needs, or that a newer version has."""
    return f"ALTER TABLE flows ADD COLUMN IF NOT EXISTS {column_ddl(column)}"
