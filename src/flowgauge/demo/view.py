# SPDX-License-Identifier: Apache-2.0
"""What people see while the demo runs: a live table on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flowgauge.query.topology import TopologyEdge

_OTHER_LINES = 11
"""Lines of the live picture that are no conversations; in a low window fewer conversations are shown, not less to paste."""
_FEWEST = 3
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment: the largest conversations of the last ``window_s`` seconds, losses, troubles, and what comes next."""

    elapsed_s: float
    window_s: float
    conversations: Sequence[TopologyEdge]
    completeness: str
    troubles: Sequence[str] = ()
    coming: str = ""


class View(Protocol):
    """Where the demo tells how it goes; used by one thread."""

    def note(self, text: str) -> None:
        """Something happened."""

    def invite(self, lines: Sequence[tuple[str, str]]) -> None:
        """The lines to paste."""

    def update(self, now: Snapshot) -> None:
        """The present moment."""

    def close(self) -> None:
        """No more moments; notes may follow. Safe to call twice."""


def view_for(stream_is_terminal: bool) -> View:  # noqa: FBT001 - a single question
    """The view that fits where standard output goes."""
    return TerminalView() if stream_is_terminal else PlainView()


class PlainView:
    """Lines for a log: notes, the invitation, and nothing for each moment."""

    def note(self, text: str) -> None:
        """See ``View``."""
        print(text, file=sys.stdout, flush=True)  # noqa: T201 - this is the output

    def invite(self, lines: Sequence[tuple[str, str]]) -> None:
        """See ``View``."""
        for what, line in lines:
            self.note(f"{what + ':':<10} {line}")

    def update(self, now: Snapshot) -> None:
        """See ``View``."""

    def close(self) -> None:
        """See ``View``."""


class TerminalView:
    """A table that is drawn again for each moment, below the notes."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._invitation = Text()
        self._live: Live | None = None

    def note(self, text: str) -> None:
        """See ``View``."""
        self._console.print(Text(text))

    def invite(self, lines: Sequence[tuple[str, str]]) -> None:
        """See ``View``; the lines stay below the table, unbroken, so that they can be copied."""
        parts: list[str | tuple[str, str]] = []
        for what, line in lines:
            parts += [(f"{what:>9}  ", "bold"), f"{line}\n"]
        self._invitation = Text.assemble(*parts, no_wrap=True, overflow="ignore")

    def update(self, now: Snapshot) -> None:
        """See ``View``."""
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()
        self._live.update(self._drawn(now), refresh=True)

    def close(self) -> None:
        """See ``View``."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _drawn(self, now: Snapshot) -> Group:
        now = replace(now, conversations=now.conversations[: max(self._console.height - _OTHER_LINES, _FEWEST)])
        lost = Text(now.completeness, style="green" if now.completeness == "complete" else "yellow")
        state = Text.assemble(f"{now.elapsed_s:.0f} s, what was lost: ", lost, f"   {now.coming}" if now.coming else "")
        troubles = [Text(trouble, style="red") for trouble in now.troubles]
        return Group(conversations_table(now), state, *troubles, Text(), self._invitation)


def conversations_table(now: Snapshot) -> Table:
    """The largest conversations as a table."""
    table = Table(title=f"Conversations of the last {now.window_s:.0f} s", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("from", "to", "port"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for name in ("per second", "bytes", "packets"):
        table.add_column(name, justify="right", no_wrap=True)
    for edge in now.conversations:
        mark = "≈ " if edge.approx else ""
        port = ", ".join(map(str, edge.asked_ports)) or str(edge.dst_port or "")
        table.add_row(
            end_words(edge.src), end_words(edge.dst), port, f"{mark}{size(edge.bytes / now.window_s)}",
            f"{mark}{size(edge.bytes)}", f"{mark}{edge.packets:,}",
        )  # fmt: skip
    return table


def end_words(node_id: str) -> str:
    """``namespace/name`` of a map node's id ``namespace/kind/name``; the name alone where there is no namespace."""
    if node_id.count("/") < 2:
        return node_id
    namespace, _, name = node_id.split("/", 2)
    return f"{namespace}/{name}" if namespace else name


def size(count: float) -> str:
    """Bytes for people: 812 B, 4.2 kB, 17 MB."""
    for unit in _UNITS[:-1]:
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.0f} {_UNITS[-1]}"
