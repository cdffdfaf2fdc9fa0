# SPDX-License-Identifier: Apache-2.0
"""Flows and groups of flows as tables: which columns, what in each cell. Before it: rows of the API; after it: ``table``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowgauge.cli import flow_text, units
from flowgauge.cli.flow_text import Detail, Row
from flowgauge.cli.table import NAMES_FIRST, Column, fits
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.flow_query import Measure, peers_of_nameless

FLOW_COLUMNS = (
    Column("TIME", keep=4, style="dim"),
    Column("FROM", least=14, style="name"),
    Column("", keep=6),
    Column("TO", least=14, style="name"),
    Column("PORT", least=8, keep=7),
    Column("BYTES", right=True, keep=8),
    Column("PACKETS", right=True, keep=3),
    Column("DIRECTION", least=8, keep=2, style="dim"),
)
"""A flow as a sentence: when, who to whom, by which service, how much, where seen."""

PROCESS_COLUMNS = (*FLOW_COLUMNS[:-1], Column("PROCESS", least=8, keep=5, style="dim"))
"""The same of one machine, which sees all: instead of where, the programs at its ends."""

NEEDED = (
    "time_end_ns", "duration_ns", "src_addr", "dst_addr", "src_port", "dst_port", "proto", "icmp_type", "bytes", "packets",
    "sampling_rate", "sampling_algorithm", "flow_direction", "node_reporter", "service_port", "target_port",
    *(f"{end}_{part}" for end in ("src", "dst") for part in ("namespace", "name", "owner", "service", "subnet", "dns_name")),
)  # fmt: skip
"""Columns of which that sentence is made."""

PROCESSES = ("src_process", "dst_process")
"""And of ``PROCESS_COLUMNS`` these."""


def flow_cells(row: Row, detail: Detail, *, process: bool = False) -> list[str]:
    """The cells of ``FLOW_COLUMNS``, or of ``PROCESS_COLUMNS``."""
    time = units.clock(int(row.get("time_end_ns") or 0) / 1_000_000)
    brief = detail is Detail.BRIEF
    return [
        time[:8] if brief else time,
        flow_text.end(row, "src", detail),
        "→",
        flow_text.end(row, "dst", detail),
        flow_text.service_port(row),
        flow_text.figure(row, Measure.BYTES, brief=brief),
        flow_text.figure(row, Measure.PACKETS, brief=brief),
        _processes(row) if process else flow_text.seen(row),
    ]


def _processes(row: Row) -> str:
    ends = (flow_text.public_value(name, row.get(name)) for name in PROCESSES)
    return " → ".join(dict.fromkeys(filter(None, ends)))


def flow_table(rows: Sequence[Row], width: int, *, process: bool = False) -> list[list[str]]:
    """The cells with as much detail as fits: pods, else workloads, else workloads without their namespaces."""
    for detail, keep in ((Detail.EXACT, 0), (Detail.WORKLOAD, NAMES_FIRST)):
        cells = [flow_cells(row, detail, process=process) for row in rows]
        if fits(PROCESS_COLUMNS if process else FLOW_COLUMNS, cells, width, keep=keep):
            return cells
    return [flow_cells(row, Detail.BRIEF, process=process) for row in rows]


def chosen_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Columns that the user named, under their own names."""
    return tuple(Column(name.upper(), right=_is_figure(name), least=0 if _is_figure(name) else 10) for name in names)


def _is_figure(name: str) -> bool:
    column = BY_NAME.get(name)
    return column is not None and bool(column.unit) and not name.startswith("time_")


def chosen_cells(row: Row, names: Sequence[str]) -> list[str]:
    """Their cells."""
    return [flow_text.public_value(name, row.get(name)) for name in names]


_MEASURES = {
    Measure.BYTES: "BYTES",
    Measure.PACKETS: "PACKETS",
    Measure.FLOWS: "FLOWS",
    Measure.RETRANSMITS: "RETRANSMITS",
    Measure.DROP_PACKETS: "DROPPED",
    Measure.RTT_AVG: "RTT",
}


def group_columns(by: Sequence[str], measures: Sequence[Measure]) -> tuple[Column, ...]:
    """The keys, the measures, and the rate of bytes."""
    keys = [Column(name.upper(), least=10, style="name") for name in by]
    rate = [Column("RATE", right=True, keep=5)] if Measure.BYTES in measures else []
    figures = [Column(_MEASURES[measure], right=True, keep=8 - number) for number, measure in enumerate(measures)]
    return (*keys, *rate, *figures)


def group_cells(row: Row, by: Sequence[str], measures: Sequence[Measure], seconds: float) -> list[str]:
    """The cells of ``group_columns`` for one group summed over ``seconds``."""
    peers = peers_of_nameless(by)
    keys = [flow_text.public_value(name, row.get(name)) or flow_text.outside(row, *peers.get(name, ())) or "–" for name in by]
    rate = [units.size((row.get("bytes") or 0) / seconds, "/s") if seconds > 0 else ""] if Measure.BYTES in measures else []
    return [*keys, *rate, *(_measure_cell(row, measure) for measure in measures)]


def _measure_cell(row: Row, measure: Measure) -> str:
    value = row.get(measure.value)
    if value is None:
        return "–"
    scaled = bool(row.get("approx")) and measure in (Measure.BYTES, Measure.PACKETS, Measure.FLOWS)
    errors: dict[str, Any] = row.get("error") or {}
    match measure:
        case Measure.BYTES:
            text = units.size(value)
        case Measure.RTT_AVG:
            text = units.duration(value)
        case _:
            text = units.number(value)
    return units.estimate(text, errors.get(measure.value), approx=scaled)


def others_cells(row: Row, count: int, by: Sequence[str], measures: Sequence[Measure], seconds: float) -> list[str]:
    """The line that holds the groups that are not shown."""
    cells = group_cells(row, by, measures, seconds)
    return [f"{count:,} others", *([""] * (len(by) - 1)), *cells[len(by) :]]


def csv_columns(rows: Iterable[Row]) -> list[str]:
    """The columns that occur, keys and figures of groups included, in the registry's order and then as they come."""
    found = dict.fromkeys(name for row in rows for name in row)
    return [*(name for name in BY_NAME if name in found), *(name for name in found if name not in BY_NAME)]
