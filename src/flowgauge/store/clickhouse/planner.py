# SPDX-License-Identifier: Apache-2.0
"""FlowQuery → SQL. Three statements: the newest flows, groups with the rest summed, and groups over time.

Sums are scaled by each flow's own sampling rate. Over time a flow is spread evenly over the bins between its first and last
packet, so that a long flow is no spike at its end; the number of flows is counted where they end. Neighbours: ``where`` gives
the condition, ``backend`` runs the statement and ``answers`` reads its result.
"""

# ruff: noqa: S608 - statements are made of the registry's own names; values are parameters
from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flowgauge.errors import UsageError
from flowgauge.schema.column import Column, Kind, Stored
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.flow_query import FlowQuery, Measure, peers_of_nameless
from flowgauge.store.clickhouse.ddl import DRAWN_WHOLE, SCALE, sampling_sums
from flowgauge.store.clickhouse.where import Params, columns_of, where

MAX_BINS = 5000
"""More time bins than any chart has pixels."""

MAX_SPREAD_MS = 15 * 60 * 1000
"""Flows that end up to this long after the window still give it their share; exporters cut flows earlier than that."""

_MIN_MS, _MAX_MS = -2_208_988_800_000, 10_413_792_000_000
"""What DateTime64 holds: 1900 to 2300."""

_TIME_START = {"time_end_ms", "duration_ms"}
"""The physical columns of which ``time_start_ns`` is made."""

_LATER = ("sampling_algorithm", "service_port", "target_port")
"""Columns that a dataset of an earlier version lacks, or a store without their group: flows come without them."""

_MORE_PORTS = frozenset({"service_port", "target_port"})
"""What ``port`` means beside the ports of both ends, both of them: where they are not stored it means no more than those."""

MEASURE_SUMS: dict[Measure, str] = {
    Measure.BYTES: f"sum(bytes * {SCALE})",
    Measure.PACKETS: f"sum(packets * {SCALE})",
    Measure.FLOWS: "count()",
    Measure.RETRANSMITS: "sum(retransmits)",
    Measure.DROP_PACKETS: "sum(drop_packets)",
    Measure.RTT_AVG: "sum(toFloat64(rtt_avg_us))",
}
"""How each measure is summed over a group; the mean RTT is its sum by ``rtt_count``."""

RTT_COUNT = "countIf(rtt_avg_us > 0)"


@dataclass(frozen=True, slots=True)
class Statement:
    """A SELECT with its server-side parameters."""

    sql: str
    params: Params


class Planner:
    """Plans for a table that has the physical columns ``present``."""

    def __init__(self, present: Collection[str]) -> None:
        self._present = frozenset(present)

    def flows(self, query: FlowQuery) -> Statement:
        """The newest flows, with the wanted physical columns."""
        wanted: dict[str, None] = {}
        for name in query.columns:
            if name in _LATER and not self.has(name):
                continue
            needed = _TIME_START if name == "time_start_ns" else {self.column(name).physical}
            wanted |= dict.fromkeys(sorted(needed))
        condition, params = self.condition(query)
        names = ", ".join(wanted or self._in_registry_order())
        params["limit"] = max(1, query.limit)
        return Statement(
            f"SELECT {names} FROM flows WHERE {condition} ORDER BY time_end_ms DESC LIMIT {{limit:UInt64}}",
            params,
        )

    def groups(self, query: FlowQuery) -> Statement:
        """One row a group: keys k0…, measures m_…, sampling sums s_…; t_… are the same over all groups."""
        condition, params = self.condition(query)
        params["limit"] = max(1, query.limit)
        sums = _measure_sums(query) | self.sampling_sums()
        keys = self.keys(query)
        inner = ", ".join(
            [*(f"{sql} AS {key}" for key, sql in keys.items()), *(f"{sql} AS {name}" for name, sql in sums.items())]
        )
        totals = ", ".join(f"sum({name}) OVER () AS t_{name}" for name in sums)
        grouped = f"GROUP BY {', '.join(keys)}" if keys else ""
        order = ", ".join([f"{_order(query)} DESC", *keys])
        return Statement(
            f"SELECT *, {totals}, count() OVER () AS t_groups FROM (SELECT {inner} FROM flows WHERE {condition} {grouped}) "
            f"ORDER BY {order} LIMIT {{limit:UInt64}}",
            params,
        )

    def series(self, query: FlowQuery) -> Statement:
        """One row a group and bin: is_top, keys, bin, measures v_…; groups beyond the limit have is_top = 0."""
        bins = bin_count(query)
        condition, params = self.condition(query, spread=True)
        params |= {"step": query.step_ms, "bins": bins}
        keys = self.keys(query)
        top, more = self.in_top(query)
        params |= more
        key_columns = "".join(f"{sql} AS {key}, " for key, sql in keys.items())
        shown = "".join(f"if(is_top, {key}, defaultValueOfArgumentType({key})) AS g{key}, " for key in keys)
        values = ", ".join(f"{_spread(measure)} AS v_{measure.value}" for measure in _series_measures(query))
        return Statement(
            f"""SELECT is_top, {shown}bin, {values}, sum(share * (rtt_avg_us > 0)) AS v_rtt_count FROM (
SELECT *, {top} AS is_top,
  if(span = 0, 1., greatest(0, least(ends, lower + {{step:Int64}}) - greatest(starts, lower)) / span) AS share FROM (
SELECT {key_columns}toUnixTimestamp64Milli(time_end_ms) - {{start:Int64}} AS ends, toInt64(duration_ms) AS span,
  ends - span AS starts,
  bytes, packets, {SCALE} AS scale, retransmits, drop_packets, rtt_avg_us,
  arrayJoin(range(toUInt32(greatest(0, intDiv(starts, {{step:Int64}}))),
    toUInt32(least({{bins:Int64}}, intDiv(ends, {{step:Int64}}) + 1)))) AS bin, bin * {{step:Int64}} AS lower
FROM flows WHERE {condition}))
GROUP BY is_top, {"".join(f"g{key}, " for key in keys)}bin""",
            params,
        )

    def in_top(self, query: FlowQuery) -> tuple[str, Params]:
        """Whether a row's keys k0… are those of one of the groups that ``groups`` gives."""
        keys = self.keys(query)
        if not keys:
            return "1", {}
        condition, params = self.condition(query)
        names = ", ".join(keys)
        named = ", ".join(f"{sql} AS {key}" for key, sql in keys.items())
        measures = ", ".join(f"{sql} AS {name}" for name, sql in _measure_sums(query).items())
        order = ", ".join([f"{_order(query)} DESC", *keys])
        return (
            f"({names}) GLOBAL IN (SELECT {names} FROM (SELECT {named}, {measures} FROM flows WHERE {condition} "
            f"GROUP BY {names}) ORDER BY {order} LIMIT {{limit:UInt64}})"
        ), params | {"limit": max(1, query.limit)}

    def drawn_whole(self) -> str:
        """The condition of records of connections that were sampled as a whole; older tables do not tell."""
        return f"sampling_rate > 1 AND {DRAWN_WHOLE}" if self.has("sampling_algorithm") else "0"

    def sampling_sums(self) -> dict[str, str]:
        """The sums s_… that the stated error is made of, and how many flows are of connections drawn whole."""
        drawn = self.drawn_whole()
        sums = sampling_sums(drawn) | {"drawn_whole": f"countIf({drawn})"}
        return {f"s_{name}": sql for name, sql in sums.items()}

    def column(self, name: str) -> Column:
        """The stored column ``name`` (public); UsageError where there is none or the store does not keep it."""
        column = BY_NAME.get(name)
        if column is None:
            raise UsageError(f"there is no column {name!r}; `flowgauge flows --help` lists them")
        if column.physical not in self._present:
            raise UsageError(_not_stored(column))
        return column

    def has(self, name: str) -> bool:
        """Whether the store keeps the column ``name`` (public)."""
        return BY_NAME[name].physical in self._present

    def keys(self, query: FlowQuery) -> dict[str, str]:
        """What a query groups by, as k0…: the values of ``key_columns``."""
        values = [self.column(name).physical for name in query.group_by]
        values += [f"if(concat({', '.join(better)}, '') = '', {part}, '')" for *better, part in self._peers(query)]
        return {f"k{number}": value for number, value in enumerate(values)}

    def key_columns(self, query: FlowQuery) -> list[Column]:
        """The columns that a query groups by."""
        return [self.column(name) for name in (*query.group_by, *(part for *_, part in self._peers(query)))]

    def _peers(self, query: FlowQuery) -> list[tuple[str, ...]]:
        """Each further column that a query groups by, after those that must be empty for it to count."""
        found = []
        for name, parts in peers_of_nameless(query.group_by).items() if query.by_peer else ():
            stored = (name, *filter(self.has, parts))
            found += [stored[: length + 1] for length in range(1, len(stored))]
        return found

    def _in_registry_order(self) -> list[str]:
        return [column.physical for column in BY_NAME.values() if column.physical in self._present]

    def condition(self, query: FlowQuery, *, spread: bool = False) -> tuple[str, Params]:
        """Window, filter and duplicates; with ``spread`` also flows that only reach into the window."""
        asked = {column.name for column in columns_of(query.where)}
        missing = {name for name in _MORE_PORTS if not self.has(name)} if asked.issuperset(_MORE_PORTS) else set()
        for name in asked - missing:
            self.column(name)
        condition, params = where(query.where, missing)
        params["start"], params["end"] = _clamped(query.window.start_ms), _clamped(query.window.end_ms)
        parts = ["time_end_ms >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')"]
        if spread:
            params["late_end"] = _clamped(query.window.end_ms + MAX_SPREAD_MS)
            parts.append("time_end_ms < fromUnixTimestamp64Milli({late_end:Int64}, 'UTC')")
            parts.append("toUnixTimestamp64Milli(time_end_ms) - duration_ms < {end:Int64}")
        else:
            parts.append("time_end_ms < fromUnixTimestamp64Milli({end:Int64}, 'UTC')")
        if not query.duplicates:
            parts.append("duplicate_of = 0")
        return " AND ".join([*parts, condition]), params


def bin_count(query: FlowQuery) -> int:
    """How many time bins the query has; UsageError for more than ``MAX_BINS``."""
    bins = -((query.window.start_ms - query.window.end_ms) // query.step_ms)
    if not 0 < bins <= MAX_BINS:
        raise UsageError(f"{bins} time bins are too many (at most {MAX_BINS}): use a longer step or a shorter time range")
    return bins


def key_value(column: Column, value: int | str | bytes) -> int | str | bytes | None:
    """The key as the JSON of a flow has it, but for addresses, which the caller turns to text; None where absent."""
    if column.kind in (Kind.NAMES, Kind.LIST):
        return value or None
    if column.kind is Kind.ENUM:
        code = int(value)
        return (column.labels[code] if code < len(column.labels) else str(code)) or None
    if column.kind in (Kind.ADDR, Kind.MAC):
        return value
    number = int(value)
    absent = 0 if isinstance(column.absent, str) else column.absent
    return None if number == absent else number * column.scale


def _not_stored(column: Column) -> str:
    if column.stored is Stored.NEVER:
        return f"column {column.name!r} is not stored: it is known only while flows are live"
    return f"column {column.name!r} is not stored here: switch on its group (storage.index.columns: [{column.stored.value}])"


def _measure_sums(query: FlowQuery) -> dict[str, str]:
    wanted = dict.fromkeys((*query.measures, Measure.BYTES, Measure.PACKETS, Measure.FLOWS, _ordered_by(query)))
    sums = {f"m_{measure.value}": MEASURE_SUMS[measure] for measure in wanted}
    return sums | {"m_rtt_count": RTT_COUNT}


def _series_measures(query: FlowQuery) -> tuple[Measure, ...]:
    return tuple(dict.fromkeys((*query.measures, _ordered_by(query))))


def _ordered_by(query: FlowQuery) -> Measure:
    try:
        return Measure(query.order_by)
    except ValueError:
        raise UsageError(f"groups cannot be ordered by {query.order_by!r}; use {', '.join(Measure)}") from None


def _order(query: FlowQuery) -> str:
    measure = _ordered_by(query)
    return "m_rtt_avg_ns / greatest(m_rtt_count, 1)" if measure is Measure.RTT_AVG else f"m_{measure.value}"


def _spread(measure: Measure) -> str:
    match measure:
        case Measure.FLOWS:
            return "countIf(ends >= lower AND ends < least(lower + {step:Int64}, {end:Int64} - {start:Int64}))"
        case Measure.BYTES | Measure.PACKETS:
            return f"sum({measure.value} * scale * share)"
        case Measure.RTT_AVG:
            return "sum(rtt_avg_us * share)"
        case _:
            return f"sum({measure.value} * share)"


def _clamped(time_ms: int) -> int:
    return min(max(time_ms, _MIN_MS), _MAX_MS)
