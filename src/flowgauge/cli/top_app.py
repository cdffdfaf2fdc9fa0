# SPDX-License-Identifier: Apache-2.0
"""The screen of ``flowgauge top``: conversations by rate, a filter line, a conversation's details. Fits 80 columns."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from flowgauge.cli import flow_text, units
from flowgauge.cli.table import visible
from flowgauge.cli.top_source import Source
from flowgauge.cli.top_table import FAILURES, Conversation, Conversations, Line, Order
from flowgauge.errors import FilterError
from flowgauge.schema import filters
from flowgauge.schema.flow_query import Measure

REFRESH_S = 1.0
SHOWN = 500
"""Lines in the table; the terminal shows fewer, and one can scroll."""

_NARROW = {"port": 13, "per s": 10, "rtt": 8, "again": 6, "drops": 6}
_WIDE = {"port": 18, "sent/s": 11, "received/s": 11, "rtt": 8, "again": 6, "drops": 6, "process": 22, "what failed": 30}
_WIDE_FROM = 130
"""From so many columns on there is room for both directions, the process, and what failed."""
_FEWEST = 8
_FIGURES = frozenset({"per s", "sent/s", "received/s", "rtt", "again", "drops"})


class Details(ModalScreen[None]):
    """One conversation: what is known of it, and its newest flows."""

    CSS = "Details { align: center middle; } #box { width: 95%; height: 90%; border: round $accent; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Back")]

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def compose(self) -> ComposeResult:
        """See textual."""
        yield Static(details_text(self._line), id="box")


class TopApp(App[None]):
    """Shows what ``source`` gives until the user quits."""

    CSS = """
    #state { height: 1; background: $panel; }
    #troubles { height: auto; display: none; color: $text-warning; }
    #troubles.some { display: block; }
    #filter { display: none; height: 3; }
    #filter.open { display: block; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "order('rate')", "Rate"),
        Binding("t", "order('rtt')", "RTT"),
        Binding("x", "order('retransmits')", "Resent"),
        Binding("d", "order('drops')", "Drops"),
        Binding("slash", "filter", "Filter"),
        Binding("p", "pause", "Pause"),
        Binding("q", "quit", "Quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, source: Source, filter_: str = "", order: Order = Order.RATE) -> None:
        super().__init__()
        self._source, self._filter, self._order = source, filter_, order
        self._conversations = Conversations()
        self._lines: list[Line] = []
        self._paused = False
        self._wide = False

    def compose(self) -> ComposeResult:
        """See textual."""
        yield Static(id="state")
        yield Static(id="troubles")
        yield DataTable(cursor_type="row", zebra_stripes=True, cell_padding=0)
        yield Input(self._filter, placeholder="namespace = flow-demo and port = 5432", id="filter")
        yield Footer()

    def on_mount(self) -> None:
        """See textual."""
        self._columns()
        self.set_interval(REFRESH_S, self._refresh_table)
        self.query_one(DataTable).focus()
        self._refresh_table()

    def on_resize(self) -> None:
        """Other columns fit."""
        if self.query(DataTable):
            self._columns()
            self._draw()

    def on_unmount(self) -> None:
        """See textual."""
        self._source.stop()

    def action_order(self, order: str) -> None:
        """Sorts by something else."""
        self._order = Order(order)
        self._draw()

    def action_pause(self) -> None:
        """Keeps the picture, while flows are still added up."""
        self._paused = not self._paused
        self._draw()

    def action_filter(self) -> None:
        """Opens the filter line."""
        line = self.query_one("#filter", Input)
        line.add_class("open")
        line.focus()

    def on_key(self, event: object) -> None:
        """Escape closes the filter line."""
        if getattr(event, "key", "") == "escape":
            self._close_filter()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Takes the filter over, or says what is wrong with it."""
        try:
            filters.bound(event.value)
        except FilterError as error:
            self.notify(
                f"{error}\n{error.pointed()}", title="This filter does not work", severity="error", timeout=8, markup=False
            )
            return
        self._filter = event.value
        self._conversations.clear()
        self._source.start(self._filter)
        self._close_filter()
        self._refresh_table()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Opens the details."""
        if event.cursor_row < len(self._lines):
            self.push_screen(Details(self._lines[event.cursor_row]))

    def _close_filter(self) -> None:
        self.query_one("#filter", Input).remove_class("open")
        self.query_one(DataTable).focus()

    def _columns(self) -> None:
        table = self.query_one(DataTable)
        self._wide = self.size.width >= _WIDE_FROM
        fixed = _WIDE if self._wide else _NARROW
        end = max(_FEWEST, (self.size.width - sum(fixed.values()) - 1) // 2)
        table.clear(columns=True)
        for name, width in (("client", end), ("server", end), *fixed.items()):
            words = Text(name, justify="right") if name in _FIGURES else Text(name if name == "client" else f" {name}")
            table.add_column(words, width=width, key=name)

    def _refresh_table(self) -> None:
        for rows in self._source.take():
            self._conversations.add(rows, time.monotonic())
        if not self._paused:
            self._lines = self._conversations.lines(self._order, time.monotonic())[:SHOWN]
            self._draw()

    def _draw(self) -> None:
        table = self.query_one(DataTable)
        at = table.cursor_row
        if not self._paused:
            self._lines = self._conversations.lines(self._order, time.monotonic())[:SHOWN]
        table.clear()
        for line in self._lines:
            table.add_row(*cells(line, wide=self._wide))
        if self._lines:
            table.move_cursor(row=min(at, len(self._lines) - 1))
        self.query_one("#state", Static).update(self._state())
        troubles = self.query_one("#troubles", Static)
        troubles.set_class(bool(self._source.troubles), "some")
        troubles.update(Text("\n".join(f"▲ {words}" for words in self._source.troubles)))

    def _state(self) -> Text:
        rate = sum(line.bytes_per_s for line in self._lines)
        parts = [f"{units.counted(len(self._lines), 'conversation')}, {units.size(rate, '/s')}", f"by {self._order.value}"]
        if self._filter:
            parts.append(self._filter)
        if self._source.skipped:
            parts.append(f"{units.number(self._source.skipped)} rows left out")
        if self._paused:
            parts.append("paused")
        text = Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")
        if self._source.problem:
            text = Text(self._source.problem, style="bold red", no_wrap=True, overflow="ellipsis")
        return text


def cells(line: Line, *, wide: bool) -> list[Text]:
    """One line's cells; red where something failed."""
    one, sums, seconds = line.conversation, line.sums, line.seconds
    failed = "red" if sums.drop_packets or one.cause in FAILURES.values() else ""
    mark = "≈" if sums.approx else ""
    named = [_name(value, failed) for value in (one.client, f" {one.server}")]
    named.append(_name(f" {one.port}"))
    sizes = [sums.to_server_bytes, sums.to_client_bytes] if wide else [sums.bytes]
    figures = [Text(mark + units.size(size / seconds), justify="right") for size in sizes]
    figures.append(Text(units.duration(one.rtt_ns) if one.rtt_ns else "", justify="right"))
    figures.append(Text(str(sums.retransmits or ""), style="yellow", justify="right"))
    figures.append(Text(str(sums.drop_packets or ""), style="red", justify="right"))
    said = [_name(f" {one.process}"), Text(visible(f" {one.cause}"), style="red", no_wrap=True)]
    return [*named, *figures, *(said if wide else ())]


def _name(words: str, style: str = "") -> Text:
    """Words that came over the network, on one line."""
    return Text(visible(words), style=style, no_wrap=True, overflow="ellipsis")


def details_text(line: Line) -> Text:
    """Everything about a conversation, as lines."""
    one, sums = line.conversation, line.sums
    facts = [
        ("client", one.client),
        ("server", f"{one.server}  port {one.port}"),
        ("process", one.process),
        ("sent", f"{units.size(sums.to_server_bytes)} in {line.seconds:.0f} s"),
        ("received", units.size(sums.to_client_bytes)),
        ("packets", units.number(sums.packets)),
        ("round trip", units.duration(one.rtt_ns) if one.rtt_ns else ""),
        ("server took", units.duration(one.server_ns) if one.server_ns else ""),
        ("sent again", units.number(sums.retransmits) if sums.retransmits else ""),
        ("dropped", units.number(sums.drop_packets) if sums.drop_packets else ""),
        ("what failed", one.cause),
    ]
    text = Text()
    for name, value in facts:
        if value:
            text.append(f"{name:>12}  ", style="bold")
            text.append(f"{visible(value)}\n")
    text.append("\nnewest flows\n", style="bold")
    for row in sorted(one.flows, key=_ended_ns, reverse=True):
        text.append(_flow_line(one, row))
    return text


def _flow_line(one: Conversation, row: flow_text.Row) -> str:
    arrow = "←" if flow_text.is_reply(row) else "→"
    ports = f"{row.get('src_port', '')}→{row.get('dst_port', '')}" if row.get("src_port") is not None else ""
    when = units.clock(_ended_ns(row) / 1_000_000)[:8]
    size = flow_text.figure(row, Measure.BYTES, brief=True)
    packets = units.counted(int(row.get("packets") or 0), "packet")
    said = " ".join(filter(None, (*_question(row), str(row.get("tcp_state_final") or ""))))
    return f"{when} {arrow} {ports:<13} {size:>9} {packets:>12}  {visible(said)}\n" if one else ""


def _question(row: flow_text.Row) -> tuple[str, ...]:
    """What was asked of DNS, how long that took, and what went wrong."""
    latency_ns, rcode = int(row.get("dns_latency_ns") or 0), str(row.get("dns_rcode") or "")
    took = units.duration(latency_ns) if latency_ns else ""
    return str(row.get("dns_name") or ""), took, "" if rcode == "NOERROR" else rcode


def _ended_ns(row: flow_text.Row) -> int:
    return int(row.get("time_end_ns") or 0)
