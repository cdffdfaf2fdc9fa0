# SPDX-License-Identifier: Apache-2.0
"""Writing answers: a table with its footer for people, JSON and CSV for programs (their footer goes to standard error)."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from flowgauge.cli import flow_tables, units
from flowgauge.cli.flow_text import Row
from flowgauge.cli.table import Column, Screen, printed
from flowgauge.schema.flow_query import Measure

Answer = Mapping[str, Any]


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"


def flow_table(
    rows: Sequence[Row], names: Sequence[str], screen: Screen, *, process: bool = False
) -> tuple[tuple[Column, ...], list[list[str]]]:
    """Columns and cells: those the user named, else the sentence, with processes or with where it was seen."""
    if names:
        return flow_tables.chosen_columns(names), [flow_tables.chosen_cells(row, names) for row in rows]
    columns = flow_tables.PROCESS_COLUMNS if process else flow_tables.FLOW_COLUMNS
    return columns, flow_tables.flow_table(rows, screen.width, process=process)


def group_table(answer: Answer, by: Sequence[str], measures: Sequence[Measure]) -> tuple[tuple[Column, ...], list[list[str]]]:
    """Columns and cells of groups, with one line for all groups that are not shown."""
    window = answer["window"]
    seconds = (window["to_ms"] - window["from_ms"]) / 1000
    cells = [flow_tables.group_cells(row, by, measures, seconds) for row in answer["rows"]]
    if (more := answer["group_count"] - len(answer["rows"])) > 0:
        cells.append(flow_tables.others_cells(answer["others"], more, by, measures, seconds))
    return flow_tables.group_columns(by, measures), cells


def print_table(columns: Sequence[Column], cells: Sequence[Sequence[str]], screen: Screen) -> None:
    """The table, if it has a row."""
    if cells:
        print("\n".join(printed(columns, cells, screen)))


def print_rows(rows: Iterable[Row], how: Format, names: Sequence[str]) -> None:
    """Rows for programs: JSON lines, or CSV with the columns ``names`` or those that occur."""
    if how is Format.CSV:
        rows = list(rows)
        writer = csv.writer(sys.stdout, lineterminator="\n")
        header = list(names) or flow_tables.csv_columns(rows)
        writer.writerow(header)
        writer.writerows([_csv_value(row.get(name)) for name in header] for row in rows)
        return
    for row in rows:
        print(json.dumps(row, ensure_ascii=False, separators=(",", ":")))


def _csv_value(value: Any) -> Any:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else value


def print_json(answer: Answer) -> None:
    """The whole answer as one document."""
    print(json.dumps(answer, ensure_ascii=False, indent=1))


def footer(answer: Answer, how: Format, screen: Screen, noun: str = "flow") -> None:
    """How much is shown of what, in which time range, and how complete that is; ``noun`` is what a row tells of.

    For programs it goes to standard error, and only when somebody may read it there or something is missing.
    """
    complete = answer["completeness"]
    missing = bool(complete["losses"])
    window = units.span(answer["window"]["from_ms"], answer["window"]["to_ms"])
    lines = [" · ".join([_extent(answer, noun), window, complete["words"]])]
    if answer["sampling"]:
        lines.append(answer["sampling"])
    if how is Format.TABLE:
        print("\n".join(screen.styled(one, "warning" if missing else "dim") for one in lines))
    elif missing or sys.stderr.isatty():
        print("\n".join(lines), file=sys.stderr)


def _extent(answer: Answer, noun: str) -> str:
    shown = len(answer["rows"])
    groups = "group_count" in answer
    count = answer["group_count" if groups else "matched"]
    if not count:
        return f"no {noun} matches"
    noun = "group" if groups else noun
    if shown < count:
        return f"{units.number(shown)} of {units.counted(count, noun)} (more with --limit)"
    return units.counted(count, noun)
