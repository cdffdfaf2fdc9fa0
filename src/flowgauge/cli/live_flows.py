# SPDX-License-Identifier: Apache-2.0
"""``flowgauge flows --live``: flows as they arrive, as rows that scroll by or as sums over the last while, until Ctrl-C."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from flowgauge.cli import flow_tables, units
from flowgauge.cli.api import Api, Params, StreamLost
from flowgauge.cli.flow_output import Format, flow_table, print_rows
from flowgauge.cli.flow_text import EXACTNESS, Row, connection, drawn_whole, scaled, variance
from flowgauge.cli.table import Column, Screen, fitted, heading, line, printed
from flowgauge.errors import EnvironmentProblem
from flowgauge.schema.flow_query import Measure, peers_of_nameless
from flowgauge.store.answer import Sampling

RECONNECT_S = 30.0
"""How long a lost stream is looked for: a collector that restarts is back within seconds."""

REDRAW_S, PRINT_S = 1.0, 5.0
"""Between two tables of sums: on a terminal, where one is drawn over the other, and elsewhere, where each is printed."""

_LINES_AROUND = 3
"""Heading, footer and the line of the cursor: a table that is drawn again must not scroll."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What the user asked for.

    Attributes:
        filter, columns, by: as on the command line.
        top: what groups are ordered by; bytes, packets or flows.
        limit: groups shown.
        window_s: length of the past that sums hold.
        duplicates: whether further observations of the same packets are shown too.
        until_any: stop at the first flow.
    """

    filter: str
    columns: tuple[str, ...]
    by: tuple[str, ...]
    top: Measure
    limit: int
    window_s: float
    duplicates: bool
    until_any: bool
    how: Format


def follow(api: Api, options: LiveOptions) -> int:
    """Shows flows until interrupted (KeyboardInterrupt passes); 1 when ``until_any`` and one came."""
    view: FlowLines | _Sums = _Sums(options) if options.by else FlowLines(options.how, options.columns)
    try:
        for event in _events(api, options):
            rows = event.get("rows", [])
            view.show(rows, int(event.get("skipped") or 0))
            if rows and options.until_any:
                return 1
    finally:
        view.end()
    return 0


def _events(api: Api, options: LiveOptions) -> Iterator[Mapping[str, Any]]:
    return followed(api, {
        "filter": options.filter,
        "columns": ",".join(_wanted(options)),
        "duplicates": "true" if options.duplicates else None,
    })  # fmt: skip


def followed(api: Api, params: Params) -> Iterator[Mapping[str, Any]]:
    """The live stream's events; a stream that is lost is opened again, with a word about it."""
    lost_at = 0.0
    while True:
        try:
            for event in api.events("live", params):
                lost_at = 0.0
                yield event
        except StreamLost as lost:
            lost_at = lost_at or _say(f"{lost}; connecting again")
        except EnvironmentProblem:
            if not lost_at or time.monotonic() - lost_at > RECONNECT_S:
                raise
        time.sleep(0.5)


def _say(sentence: str) -> float:
    print(f"flowgauge: {sentence}", file=sys.stderr)
    return time.monotonic()


def _wanted(options: LiveOptions) -> tuple[str, ...]:
    """Columns to ask for: those shown, and those that scale; all for programs that did not choose."""
    if options.by:
        return tuple(dict.fromkeys((*options.by, *chain(*_peers(options).values()), "bytes", "packets", *EXACTNESS)))
    return options.columns or (flow_tables.NEEDED if options.how is Format.TABLE else ())


class FlowLines:
    """Rows that scroll by; a column is as wide as its widest cell so far.

    Args:
        how: a table, or JSON lines.
        columns: those to show; empty: the sentence, or all that the rows have.
        process: whether the sentence ends with the processes, instead of where a flow was seen.
    """

    def __init__(self, how: Format, columns: tuple[str, ...], *, process: bool = False) -> None:
        self._how, self._columns, self._process = how, columns, process
        self._widest: list[str] = []
        self._shown = self._skipped = 0
        self._open = self._header = False

    def show(self, rows: Sequence[Row], skipped: int) -> None:
        """Prints ``rows``, of which ``skipped`` more were left out."""
        self._open = True
        self._shown += len(rows)
        self._skipped += skipped
        if rows:
            if self._how is Format.TABLE:
                screen = Screen.of_output()
                self._print(*flow_table(rows, self._columns, screen, process=self._process), screen)
            else:
                names = self._columns
                print_rows(
                    ({name: row.get(name) for name in names if name in row} if names else row for row in rows), Format.JSONL, ()
                )
            sys.stdout.flush()

    def _print(self, columns: Sequence[Column], cells: list[list[str]], screen: Screen) -> None:
        self._widest = [max(column, key=len) for column in zip(*cells, *([self._widest] if self._widest else []), strict=True)]
        layout = fitted(columns, [self._widest], screen.width)
        if not self._header:
            print(heading(columns, layout, screen))
            self._header = True
        for row in cells:
            print(line(columns, layout, row, screen))

    def end(self) -> None:
        """Says how many there were."""
        if not self._open:
            return
        note = f"; {units.counted(self._skipped, 'row')} left out because this terminal was too slow" if self._skipped else ""
        print(f"\n{units.counted(self._shown, 'flow')} shown{note}", file=sys.stderr)


@dataclass(slots=True)
class _Sum:
    """Sums of one group within one event."""

    values: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("bytes", "packets", "flows"), 0))
    packets_variance: float = 0.0
    bytes_variance: float = 0.0
    sampled: int = 0
    drawn: dict[tuple[object, ...], tuple[float, float]] = field(default_factory=dict)
    """Of each connection that was sampled as a whole: the deviations of its packets and bytes, which add up."""

    def add(self, row: Row) -> None:
        """Adds one flow."""
        exactness = variance(row)
        self.values["bytes"] += scaled(row, Measure.BYTES)
        self.values["packets"] += scaled(row, Measure.PACKETS)
        self.values["flows"] += 1
        self.sampled += exactness.sampled
        if drawn_whole(row):
            self._draw(connection(row), math.sqrt(exactness.packets_variance), math.sqrt(exactness.bytes_variance))
        else:
            self.packets_variance += exactness.packets_variance
            self.bytes_variance += exactness.bytes_variance

    def _draw(self, one: tuple[object, ...], packets: float, size: float) -> None:
        before = self.drawn.get(one, (0.0, 0.0))
        self.drawn[one] = before[0] + packets, before[1] + size

    def include(self, other: _Sum) -> None:
        """Adds another sum."""
        for name, value in other.values.items():
            self.values[name] += value
        self.packets_variance += other.packets_variance
        self.bytes_variance += other.bytes_variance
        self.sampled += other.sampled
        for one, deviations in other.drawn.items():
            self._draw(one, *deviations)

    def row(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """As the API gives a group."""
        packets = self.packets_variance + sum(deviation**2 for deviation, _ in self.drawn.values())
        size = self.bytes_variance + sum(deviation**2 for _, deviation in self.drawn.values())
        exactness = Sampling(packets, size, sampled=self.sampled)
        errors = {measure: exactness.error(Measure(measure), value) for measure, value in self.values.items()}
        return {**key, **self.values, "approx": exactness.approx, "error": errors}


_MEASURES = (Measure.BYTES, Measure.PACKETS, Measure.FLOWS)


def _peers(options: LiveOptions) -> dict[str, tuple[str, ...]]:
    """Column of a name → those of what stands for it in a table."""
    return peers_of_nameless(options.by) if options.how is Format.TABLE else {}


class _Sums:
    """The largest groups of the last while, drawn again each second."""

    def __init__(self, options: LiveOptions) -> None:
        self._options = options
        self._peers = _peers(options)
        self._keys = (*options.by, *chain(*self._peers.values()))
        self._past: deque[tuple[float, dict[tuple[Any, ...], _Sum]]] = deque()
        self._started = time.monotonic()
        self._drawn_at = self._started
        self._lines = self._skipped = 0
        self._redraws = sys.stdout.isatty() and options.how is Format.TABLE

    def show(self, rows: Iterable[Row], skipped: int) -> None:
        now = time.monotonic()
        self._skipped += skipped
        sums: dict[tuple[Any, ...], _Sum] = {}
        for row in rows:
            sums.setdefault((*(row.get(name) for name in self._options.by), *self._outside(row)), _Sum()).add(row)
        if sums:
            self._past.append((now, sums))
        while self._past and self._past[0][0] < now - self._options.window_s:
            self._past.popleft()
        if now - self._drawn_at >= (REDRAW_S if self._redraws else PRINT_S):
            self._drawn_at = now
            self._draw(now)

    def _outside(self, row: Row) -> Iterator[Any]:
        """What ends without a name go by: the first that is there of each."""
        for name, parts in self._peers.items():
            named = bool(row.get(name))
            for part in parts:
                yield None if named else row.get(part)
                named = named or bool(row.get(part))

    def _draw(self, now: float) -> None:
        total: dict[tuple[Any, ...], _Sum] = {}
        for _, sums in self._past:
            for key, part in sums.items():
                total.setdefault(key, _Sum()).include(part)
        top = self._options.top.value
        rows = [one.row(dict(zip(self._keys, key, strict=True))) for key, one in total.items()]
        rows.sort(key=lambda row: -row[top])
        if self._options.how is Format.TABLE:
            self._draw_table(rows, min(self._options.window_s, max(1.0, now - self._started)))
        else:
            print_rows(rows[: self._options.limit], Format.JSONL, ())
        sys.stdout.flush()

    def _draw_table(self, rows: Sequence[Row], seconds: float) -> None:
        screen, by = Screen.of_output(), self._options.by
        shown = rows[: min(self._options.limit, max(1, screen.height - _LINES_AROUND))]
        cells = [flow_tables.group_cells(row, by, _MEASURES, seconds) for row in shown]
        lines = printed(flow_tables.group_columns(by, _MEASURES), cells, screen)
        lines.append(screen.styled(self._note(len(shown), len(rows), seconds), "dim"))
        if self._redraws and self._lines:
            sys.stdout.write(f"\x1b[{self._lines}F\x1b[J")
        print("\n".join(lines) if self._redraws else "\n".join([*lines, ""]))
        self._lines = len(lines)

    def _note(self, shown: int, count: int, seconds: float) -> str:
        groups = units.counted(count, "group")
        skipped = f" · {units.counted(self._skipped, 'row')} left out" if self._skipped else ""
        return f"{f'{shown} of {groups}' if count > shown else groups} · last {seconds:.0f} s{skipped}"

    def end(self) -> None:
        if self._past and not self._redraws:
            self._draw(time.monotonic())
