# SPDX-License-Identifier: Apache-2.0
"""Bound filter tree → SQL condition with server-side parameters. Values never become part of the text.

The numpy compiler is ``flow.mask``; a property test holds both to the same rows. Neighbours: ``schema.filters`` before,
``planner`` after.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Any

from flowgauge.schema.column import RANGES, Column, Kind
from flowgauge.schema.filters.pattern import parse_pattern, pattern_text
from flowgauge.schema.filters.tree import And, Bound, Const, InRange, Match, Not, OneOf, Or, Within
from flowgauge.store.clickhouse.types import is_time, sql_type

Params = dict[str, Any]


def where(bound: Bound, missing: Collection[str] = ()) -> tuple[str, Params]:
    """The condition and its parameters (``p0``, ``p1`` …); ``missing`` are columns of numbers that are 0 in all rows."""
    compiler = _Compiler(missing)
    return compiler.sql(bound), compiler.params


def columns_of(bound: Bound) -> set[Column]:
    """Every column the filter looks at."""
    match bound:
        case Const():
            return set()
        case And(items) | Or(items):
            return set().union(*map(columns_of, items))
        case Not(item):
            return columns_of(item)
        case _:
            return {bound.column}


class _Compiler:
    def __init__(self, missing: Collection[str]) -> None:
        self._missing = missing
        self.params: Params = {}

    def _param(self, value: Any, kind: str) -> str:
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f"{{{name}:{kind}}}"

    def sql(self, bound: Bound) -> str:
        match bound:
            case Const(value):
                return "1" if value else "0"
            case And(items):
                return "(" + " AND ".join(map(self.sql, items)) + ")" if items else "1"
            case Or(items):
                return "(" + " OR ".join(map(self.sql, items)) + ")" if items else "0"
            case Not(item):
                return f"NOT ({self.sql(item)})"
            case _:
                return self._leaf(bound)

    def _leaf(self, bound: OneOf | InRange | Within | Match) -> str:
        if bound.column.name in self._missing:
            return str(int(_holds_for_zero(bound)))
        match bound:
            case OneOf(column, values):
                return self._one_of(column, values)
            case InRange(column, low, high):
                return self._in_range(column, low, high)
            case Within(column, low, high):
                name = column.physical
                return f"({name} >= {self._address(low)} AND {name} <= {self._address(high)})"
            case Match(column, pattern):
                return self._match(column, pattern)

    def _match(self, column: Column, pattern: str) -> str:
        """Without case: text and pattern are in lower case, because engines fold case beyond ASCII in different ways."""
        param = self._param(pattern_text(parse_pattern(pattern)), "String")
        if column.kind is Kind.LIST:
            return f"arrayExists(item -> match(item, {param}), splitByChar(',', lowerUTF8({column.physical})))"
        return f"match(lowerUTF8({column.physical}), {param})"

    def _address(self, packed: bytes) -> str:
        return self._param(str(ipaddress.IPv6Address(packed)), "IPv6")

    def _one_of(self, column: Column, values: tuple[int | bytes | str, ...]) -> str:
        name = column.physical
        if column.kind is Kind.NAMES:
            return f"lowerUTF8({name}) IN {self._param(list(values), 'Array(String)')}"
        if column.kind is Kind.LIST:
            return f"hasAny(splitByChar(',', lowerUTF8({name})), {self._param(list(values), 'Array(String)')})"
        if column.kind is Kind.ADDR:
            texts = [str(ipaddress.IPv6Address(value)) for value in values]
            return f"{name} IN {self._param(texts, 'Array(IPv6)')}"
        if column.kind is Kind.MAC:
            texts = [value.hex().upper() for value in values if isinstance(value, bytes)]
            return f"hex({name}) IN {self._param(texts, 'Array(String)')}"
        low, high = RANGES[column.kind]
        possible = [value for value in values if isinstance(value, int) and low <= value <= high]
        if not possible:
            return "0"
        return f"{_number(column)} IN {self._param(possible, f'Array({_number_type(column)})')}"

    def _in_range(self, column: Column, low: int | None, high: int | None) -> str:
        """Bounds beyond what the column can hold are decided here: the engine would wrap them around."""
        least, most = RANGES[column.kind]
        if (low is not None and low > most) or (high is not None and high < least):
            return "0"
        conditions = []
        if low is not None and low > least:
            conditions.append(f"{_number(column)} >= {self._param(low, _number_type(column))}")
        if high is not None and high < most:
            conditions.append(f"{_number(column)} <= {self._param(high, _number_type(column))}")
        return "(" + " AND ".join(conditions) + ")" if conditions else "1"


def _holds_for_zero(bound: OneOf | InRange | Within | Match) -> bool:
    match bound:
        case OneOf(_, values):
            return 0 in values
        case InRange(_, low, high):
            return (low is None or low <= 0) and (high is None or high >= 0)
        case _:
            return False


def _number(column: Column) -> str:
    return f"toUnixTimestamp64Milli({column.physical})" if is_time(column) else column.physical


def _number_type(column: Column) -> str:
    return "Int64" if is_time(column) else sql_type(column)
