# SPDX-License-Identifier: Apache-2.0
"""The bound filter tree: what :mod:`bind` makes of a parsed filter and what compilers (numpy mask, SQL) take.

All meaning is settled before: names resolved to physical columns, units to physical integers, both-sided names to Or, absent
values excluded, text folded. A compiler is mechanical: it knows these eight nodes and nothing of the language.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowgauge.schema.column import Column


@dataclass(frozen=True, slots=True)
class Const:
    """True or false for every row."""

    value: bool


@dataclass(frozen=True, slots=True)
class And:
    """True where every item is."""

    items: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where any item is."""

    items: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True where the item is false (two-valued logic)."""

    item: Bound


@dataclass(frozen=True, slots=True)
class OneOf:
    """True where the physical column equals one of the values.

    Values are integers for numeric and ENUM columns, 16 (MAC: 6) bytes for addresses, and lower-case text for NAMES, which
    compares without case. For LIST columns: true where one item of the list equals one of the values.
    """

    column: Column
    values: tuple[int | bytes | str, ...]


@dataclass(frozen=True, slots=True)
class InRange:
    """True where low ≤ physical column ≤ high; None leaves a side open. Integers in the physical unit."""

    column: Column
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Within:
    """True where low ≤ address ≤ high, both 16 bytes in network order (a CIDR block)."""

    column: Column
    low: bytes
    high: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """True where the text of a NAMES column, or one item of a LIST, matches ``pattern`` somewhere (unanchored, without case).

    The pattern is of the subset of RE2 that :mod:`pattern` takes.
    """

    column: Column
    pattern: str


Bound = Const | And | Or | Not | OneOf | InRange | Within | Match
