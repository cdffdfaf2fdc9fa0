# SPDX-License-Identifier: Apache-2.0
"""Tables for a terminal: columns as wide as needed, shortened or left out where there is no room, colours where wanted."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

GAP = "  "
NAMES_FIRST = 4
"""Columns less important than this go before a name is shortened."""

UNLIMITED = 100_000
"""Size of what is no terminal: nothing is shortened for a file or a pipe."""

_STYLES = {"": "", "bold": "\x1b[1m", "dim": "\x1b[2m", "name": "\x1b[36m", "warning": "\x1b[33m"}
_PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: heading; empty for none.
        right: whether numbers are aligned to the right.
        least: characters to which it may be shortened; 0: never.
        keep: how important it is: where there is no room, the least important columns go first, those below ``NAMES_FIRST``
            before anything is shortened.
        style: of its cells: ``name``, ``dim`` or empty.
    """

    title: str
    right: bool = False
    least: int = 0
    keep: int = 9
    style: str = ""


@dataclass(frozen=True, slots=True)
class Screen:
    """What is written to: ``width`` and ``height`` in characters, and whether colours may be used."""

    width: int
    colours: bool
    height: int = UNLIMITED

    @classmethod
    def of_output(cls) -> Screen:
        """Standard output; https://no-color.org is respected."""
        if not sys.stdout.isatty():
            return cls(UNLIMITED, colours=False)
        colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        size = shutil.get_terminal_size((100, 24))
        return cls(size.columns, colours, size.lines)

    def styled(self, text: str, style: str) -> str:
        """``text`` in a style, where colours may be used."""
        return f"{_STYLES[style]}{text}{_PLAIN}" if style and self.colours and text.strip() else text


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns fit, by index, and how wide each is."""

    columns: tuple[int, ...]
    widths: tuple[int, ...]


def widths_of(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> list[int]:
    """How wide each column is when nothing is shortened."""
    wanted = [cell_len(column.title) for column in columns]
    for row in rows:
        wanted = [max(size, cell_len(visible(cell))) for size, cell in zip(wanted, row, strict=True)]
    return wanted


def fits(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int, *, keep: int = 0) -> bool:
    """Whether the columns that are at least as important as ``keep`` fit without shortening."""
    sizes = [size for column, size in zip(columns, widths_of(columns, rows), strict=True) if column.keep >= keep]
    return sum(sizes) + len(GAP) * (len(sizes) - 1) <= width


def fitted(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> Layout:
    """The widths for these rows: as needed; else without what matters least, then shortened, then without more."""
    wanted = widths_of(columns, rows)
    chosen = list(range(len(columns)))
    while True:
        widths = {index: wanted[index] for index in chosen}
        room = width - len(GAP) * (len(chosen) - 1)
        least = min(chosen, key=lambda index: (columns[index].keep, -index))
        if columns[least].keep >= NAMES_FIRST:
            _shorten(columns, widths, room)
        if sum(widths.values()) <= room or len(chosen) == 1:
            return Layout(tuple(chosen), tuple(widths.values()))
        chosen.remove(least)


def _shorten(columns: Sequence[Column], widths: dict[int, int], room: int) -> None:
    """Takes from the widest column that may be shortened, again and again."""
    while sum(widths.values()) > room:
        able = [index for index, size in widths.items() if columns[index].least and size > columns[index].least]
        if not able:
            return
        widest = max(able, key=lambda index: widths[index])
        others = [widths[index] for index in able if index != widest]
        surplus = sum(widths.values()) - room
        step = max(1, min(surplus, widths[widest] - max(others, default=0)))
        widths[widest] = max(columns[widest].least, widths[widest] - step)


def heading(columns: Sequence[Column], layout: Layout, screen: Screen) -> str:
    """The line of titles."""
    titles = line(columns, layout, [column.title for column in columns], Screen(screen.width, colours=False))
    return screen.styled(titles, "bold")


def line(columns: Sequence[Column], layout: Layout, cells: Sequence[str], screen: Screen) -> str:
    """One row."""
    parts = []
    for index, width in zip(layout.columns, layout.widths, strict=True):
        column = columns[index]
        text = shortened(visible(cells[index]), width)
        blank = " " * (width - cell_len(text))
        parts.append(screen.styled(blank + text if column.right else text + blank, column.style))
    return GAP.join(parts).rstrip()


_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")
"""What a terminal obeys instead of showing it; names come from exporters, who may be hostile."""


def visible(text: str) -> str:
    """``text`` without anything that a terminal obeys: escape sequences, line ends, a change of direction."""
    return text if text.isascii() and text.isprintable() else text.translate(_CONTROLS)


def shortened(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells: the middle goes, because names differ at both ends."""
    if cell_len(text) <= width:
        return text
    if width <= 2:
        return set_cell_size(text, width)
    front = width // 2
    back = width - 1 - front
    tail = text[-back:] if back else ""
    while cell_len(tail) > back:
        tail = tail[1:]
    return set_cell_size(text, front) + "…" + tail


def printed(columns: Sequence[Column], rows: Sequence[Sequence[str]], screen: Screen,
            notes: Sequence[Iterable[str]] = ()) -> list[str]:  # fmt: skip
    """The whole table as lines; ``notes``: lines that follow each row."""
    layout = fitted(columns, rows, screen.width)
    lines = [heading(columns, layout, screen)]
    for row, below in zip(rows, notes or [()] * len(rows), strict=True):
        lines += [line(columns, layout, row, screen), *below]
    return lines
