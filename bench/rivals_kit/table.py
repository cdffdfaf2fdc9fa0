# SPDX-License-Identifier: Apache-2.0
"""The table: CPU seconds per million flows of each collector, and how many times dearer than ours; as text or Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rivals_kit.inputs import KINDS
from rivals_kit.runs import Run

OURS = "flowgauge"
Row = tuple[str, ...]


def rows(runs: Sequence[Run], rivals: Sequence[str], *, limit: bool) -> list[Row]:
    """One row a kind: ours, then of each rival the figure and the ratio; at the limit each figure with its flows/s."""
    found = []
    for kind, (_, title) in KINDS.items():
        of_kind = [run for run in runs if run.kind == kind and run.at_limit == limit]
        ours = _of(of_kind, OURS)
        if not ours:
            continue
        cells = [title, _figure(ours, limit=limit)]
        for rival in rivals:
            theirs = _of(of_kind, rival)
            cells += [_figure(theirs, limit=limit), _ratio(ours, theirs)]
        found.append(tuple(cells))
    return found


def head(rivals: Sequence[str]) -> Row:
    """What the columns are."""
    return ("", OURS, *(cell for rival in rivals for cell in (rival, "×")))


def text(parts: Sequence[tuple[str, Sequence[Row]]], rivals: Sequence[str]) -> str:
    """For a terminal: the parts below each other, under one head."""
    every = [head(rivals), *(row for _, found in parts for row in found)]
    widths = [max(len(row[column]) for row in every) for column in range(len(every[0]))]
    widths[0] = max([widths[0], *(len(title) for title, _ in parts)])

    def line(row: Row) -> str:
        return "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )

    lines = [line(head(rivals))]
    for title, found in parts:
        lines += ["", title, *map(line, found)]
    return "\n".join(lines)


def markdown(parts: Sequence[tuple[str, Sequence[Row]]], rivals: Sequence[str]) -> str:
    """For a page: a table for each part."""
    blocks = []
    for title, found in parts:
        cells = [(title, *head(rivals)[1:]), ("---", *["--:"] * (len(head(rivals)) - 1)), *found]
        blocks.append("\n".join(f"| {' | '.join(row)} |" for row in cells))
    return "\n\n".join(blocks)


def flaws(runs: Sequence[Run]) -> list[str]:
    """Runs in which something was lost, in words."""
    return [f"{run.collector}, {KINDS[run.kind][1]}, {_rate(run)}: {run.flaw}" for run in runs if run.flaw]


def line_of(run: Run) -> str:
    """One run, as it is told while others are still to come."""
    flaw = f"  LOSS: {run.flaw}" if run.flaw else ""
    about = f"{run.collector:<19} {run.kind:<15} {_rate(run):<18}"
    return f"{about} {run.per_million:8.3f} CPU-s/M {run.got / run.seconds:>11,.0f} flows/s {run.peak_mib:>4} MiB{flaw}"


def _of(runs: Sequence[Run], collector: str) -> list[Run]:
    return [run for run in runs if run.collector == collector]


def _rate(run: Run) -> str:
    return "at its limit" if run.at_limit else f"at {run.offered_per_s:,.0f} flows/s"


def _figure(found: Sequence[Run], *, limit: bool) -> str:
    """The median, with a mark when a run was not lossless; at the limit with how fast that was."""
    if not found:
        return "–"
    value = f"{statistics.median(run.per_million for run in found):.2f}{'!' if any(run.flaw for run in found) else ''}"
    if not limit:
        return value
    fastest = max(run.got / run.seconds for run in found)
    return f"{value} @ {f'{fastest / 1e6:.2f} M' if fastest >= 1e6 else f'{fastest / 1e3:.0f} k'}"


def _ratio(ours: Sequence[Run], theirs: Sequence[Run]) -> str:
    """The median of the rounds' ratios, each of neighbouring runs."""
    pairs = [their.per_million / our.per_million for our, their in zip(ours, theirs, strict=False)]
    return f"{statistics.median(pairs):.2f}" if pairs else ""
