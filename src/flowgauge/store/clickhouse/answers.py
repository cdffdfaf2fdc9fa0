# SPDX-License-Identifier: Apache-2.0
"""Result tables of the planner's statements → answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flowgauge.flow.addresses import to_text
from flowgauge.schema.column import Column, Kind
from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.store.answer import Answer, Group, Sampling
from flowgauge.store.clickhouse.ddl import SAMPLING_SUMS
from flowgauge.store.clickhouse.planner import bin_count, key_value
from flowgauge.store.clickhouse.together import add_extra

Row = Mapping[str, Any]
Values = dict[Measure, float | int | None]

_RTT_NS = 1000
"""``rtt_avg_us`` to nanoseconds."""


def drawn_whole(table: pa.Table, name: str) -> bool:
    """Whether a statement's result says, in its column ``name``, that some connections were sampled as a whole."""
    return bool(pc.max(table[name]).as_py())


def groups(query: FlowQuery, columns: Sequence[Column], table: pa.Table, extra: Sequence[pa.Table] = ()) -> Answer:
    """The answer without series: groups as they come, what is left as ``others``.

    ``table`` is of ``planner.groups``; ``extra``, where connections were sampled as a whole, of ``together.statement``: for the
    groups, and in total.
    """
    rows = table.to_pylist()
    if extra:
        more = {_raw_key(columns, row): row for row in extra[0].to_pylist()}
        total_extra = add_extra(rows[0], extra[1].to_pylist()[0], "t_s_")
        rows = [row | total_extra | add_extra(row, more.get(_raw_key(columns, row), {})) for row in rows]
    found = tuple(Group(_key(columns, row, "k"), _values(query, row, "m_"), sampling_of(row, "s_")) for row in rows)
    first: Row = rows[0] if rows else {}
    total = Group({}, _values(query, first, "t_m_"), sampling_of(first, "t_s_"))
    return Answer(found, _rest(total, found), total, int(first.get("t_groups", 0)))


def with_series(query: FlowQuery, columns: Sequence[Column], answer: Answer, table: pa.Table) -> Answer:
    """``answer`` with a value for each bin of each group; groups that only the series has are left out."""
    bins = bin_count(query)
    lines: dict[tuple[Any, ...], dict[Measure, list[float | None]]] = {}
    for row in table.to_pylist():
        key = tuple(_key(columns, row, "gk").values()) if row["is_top"] else _OTHERS
        line = lines.setdefault(key, _no_line(query, bins))
        for measure in query.measures:
            line[measure][row["bin"]] = _value(row, measure, "v_")
    empty = _no_line(query, bins)
    timed = tuple(
        Group(group.key, group.values, group.sampling, lines.get(tuple(group.key.values()), empty)) for group in answer.groups
    )
    others = Group({}, answer.others.values, answer.others.sampling, lines.get(_OTHERS, empty))
    times = tuple(query.window.start_ms + number * query.step_ms for number in range(bins))
    return Answer(timed, others, answer.total, answer.group_count, times, query.step_ms)


_OTHERS = ("others", "are no key of any group", None)


def _no_line(query: FlowQuery, bins: int) -> dict[Measure, list[float | None]]:
    """The series of a group without flows: sums are 0, a mean is not there."""
    return {measure: [None if measure is Measure.RTT_AVG else 0.0] * bins for measure in query.measures}


def _key(columns: Sequence[Column], row: Row, prefix: str) -> dict[str, Any]:
    return {column.name: _shown(column, row[f"{prefix}{number}"]) for number, column in enumerate(columns)}


def _raw_key(columns: Sequence[Column], row: Row) -> tuple[Any, ...]:
    return tuple(row[f"k{number}"] for number in range(len(columns)))


def _shown(column: Column, value: Any) -> Any:
    if column.kind is Kind.ADDR:
        return to_text(value) or None
    if column.kind is Kind.MAC:
        return value.hex(":") if any(value) else None
    if hasattr(value, "timestamp"):
        value = round(value.timestamp() * 1000)
    return key_value(column, value)


def _values(query: FlowQuery, row: Row, prefix: str) -> Values:
    wanted = dict.fromkeys((*query.measures, Measure.BYTES, Measure.PACKETS, Measure.FLOWS))
    return {measure: _value(row, measure, prefix) for measure in wanted}


def _value(row: Row, measure: Measure, prefix: str) -> float | int | None:
    value = row.get(f"{prefix}{measure.value}") or 0
    if measure is not Measure.RTT_AVG:
        return value
    count = row.get(f"{prefix}rtt_count") or 0
    return value / count * _RTT_NS if count else None


def sampling_of(row: Row, prefix: str) -> Sampling:
    """How exact the sums of a row are, from its columns ``prefix`` + ``SAMPLING_SUMS``."""
    sums = [row.get(f"{prefix}{name}") or 0 for name in SAMPLING_SUMS]
    return Sampling(float(sums[0]), float(sums[1]), int(sums[2]), int(sums[3]), int(sums[4]))


def _rest(total: Group, found: Sequence[Group]) -> Group:
    values: Values = {}
    for measure, whole in total.values.items():
        values[measure] = None if measure is Measure.RTT_AVG else (whole or 0) - sum(g.values[measure] or 0 for g in found)
    part = [group.sampling for group in found]
    return Group(
        {},
        values,
        Sampling(
            max(0.0, total.sampling.packets_variance - sum(s.packets_variance for s in part)),
            max(0.0, total.sampling.bytes_variance - sum(s.bytes_variance for s in part)),
            total.sampling.sampled - sum(s.sampled for s in part),
            total.sampling.unsampled - sum(s.unsampled for s in part),
            total.sampling.unknown - sum(s.unknown for s in part),
        ),
    )
