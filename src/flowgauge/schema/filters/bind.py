# SPDX-License-Identifier: Apache-2.0
"""The filter as written → the bound tree: here all meaning is settled, so that compilers are mechanical.

* A both-sided name matches when either end does; ``!=``, ``!~`` and ``not in`` are ``not`` of that: neither end.
* An absent value equals nothing, is in no range and matches no pattern; ``not`` of such a comparison is true.
* Names compare in lower case, numbers in the physical unit, addresses as 16 bytes; an IPv6 block holds no IPv4 address.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import TypeVar

from flowgauge.errors import FilterError
from flowgauge.schema.column import ABSENT_BY_PROTOCOL, Column, Kind
from flowgauge.schema.columns import BY_NAME, PORT_PROTOCOLS
from flowgauge.schema.filters import values
from flowgauge.schema.filters.automaton import automaton
from flowgauge.schema.filters.fields import Field, find, nearest
from flowgauge.schema.filters.lexer import Token, TokenKind
from flowgauge.schema.filters.pattern import PatternProblem
from flowgauge.schema.filters.syntax import Combination, Comparison, Negation, Node, field_name
from flowgauge.schema.filters.tree import And, Bound, Const, InRange, Match, Not, OneOf, Or, Within
from flowgauge.schema.reach import NO_HOST, PRIVATE, Reach

_T = TypeVar("_T")

_NAMED = (Kind.NAMES, Kind.LIST)
_TRUE, _FALSE = Const(value=True), Const(value=False)
_MAPPED_FIRST, _MAPPED_LAST, _ = values.block("0.0.0.0/0")
_NEGATED = {"!=": "=", "!~": "~", "not in": "in"}


def bind(node: Node, text: str) -> Bound:
    """The bound tree of a parsed filter; FilterError where a field or a value means nothing. ``text`` is for its place."""
    match node:
        case Negation(item):
            return _not(bind(item, text))
        case Combination(word, items):
            return (_all if word == "and" else _any)(bind(item, text) for item in items)
        case Comparison():
            return _Binder(node, text).bound()


def _not(item: Bound) -> Bound:
    match item:
        case Const(value):
            return Const(value=not value)
        case Not(inner):
            return inner
        case _:
            return Not(item)


def _all(items: Iterable[Bound]) -> Bound:
    kept: list[Bound] = []
    for item in items:
        if item == _FALSE:
            return _FALSE
        if item != _TRUE:
            kept += item.items if isinstance(item, And) else (item,)
    return kept[0] if len(kept) == 1 else And(tuple(kept)) if kept else _TRUE


def _any(items: Iterable[Bound]) -> Bound:
    kept: list[Bound] = []
    for item in items:
        if item == _TRUE:
            return _TRUE
        if item != _FALSE:
            kept += item.items if isinstance(item, Or) else (item,)
    return kept[0] if len(kept) == 1 else Or(tuple(kept)) if kept else _FALSE


class _Binder:
    """One comparison."""

    def __init__(self, comparison: Comparison, text: str) -> None:
        self._comparison, self._text = comparison, text

    def bound(self) -> Bound:
        operator = self._comparison.operator
        plain = _NEGATED.get(operator, operator)
        compare: Callable[[Column], Bound]
        match plain:
            case "exists":
                compare = _exists
            case "=" | "in":
                compare = self._one_of
            case "~":
                compare = self._match
            case _:
                compare = self._range
        bound = self._of_field(self._field(), compare)
        return bound if plain == operator else _not(bound)

    def _field(self) -> Field:
        token = self._comparison.field
        name = field_name(token)
        found = find(name)
        if found is None:
            raise self._wrong(token, f"there is no field {token.text!r}", nearest(name))
        return found

    def _of_field(self, field: Field, compare: Callable[[Column], Bound]) -> Bound:
        columns = field.columns
        if self._comparison.operator != "exists" and len({column.kind for column in columns}) > 1:
            return self._of_mixed(columns)
        if not field.only_kind:
            return _any(map(compare, columns))
        kinds = (BY_NAME[column.name.replace("_name", "_kind")] for column in columns)
        kind_is = (OneOf(kind, (field.only_kind.lower(),)) for kind in kinds)
        return _any(_all((of_kind, compare(column))) for of_kind, column in zip(kind_is, columns, strict=True))

    def _of_mixed(self, columns: tuple[Column, ...]) -> Bound:
        """``source`` and ``destination``: each value is compared with the columns that can hold it."""
        address, *names = columns
        operator = _NEGATED.get(self._comparison.operator, self._comparison.operator)
        if operator == "~":
            return _any(map(self._match, names))
        if operator not in ("=", "in"):
            raise self._wrong(self._comparison.field, "addresses and names have no order; use = or ~")
        addresses = tuple(token for token in self._comparison.values if values.is_address(token.text))
        others = tuple(token for token in self._comparison.values if token not in addresses)
        parts = [self._one_of(address, addresses)] if addresses else []
        return _any([*parts, *(self._one_of(name, others) for name in names if others)])

    def _one_of(self, column: Column, tokens: tuple[Token, ...] | None = None) -> Bound:
        tokens = self._comparison.values if tokens is None else tokens
        for token in tokens:
            self._refuse_empty(token)
        if column.kind is Kind.ADDR:
            return self._in_blocks(column, tokens)
        if column.kind in _NAMED:
            for token in tokens:
                self._refuse_wildcard(token)
            return OneOf(column, tuple(dict.fromkeys(token.text.lower() for token in tokens)))
        if column.kind is Kind.MAC:
            found: list[int | bytes] = [self._value(token, values.mac) for token in tokens]
        elif column.kind is Kind.ENUM:
            found = [self._value(token, lambda text: values.code(column, text)) for token in tokens]
        else:
            amounts = [self._number(column, token) for token in tokens]
            found = [int(amount) for amount in amounts if amount.denominator == 1]
        kept = tuple(dict.fromkeys(value for value in found if value not in _absent(column)))
        return _all((_has_ports(column), OneOf(column, kept))) if kept else _FALSE

    def _in_blocks(self, column: Column, tokens: tuple[Token, ...]) -> Bound:
        single: dict[bytes, None] = {}
        blocks: list[Bound] = []
        for token in tokens:
            if token.text.lower() in tuple(Reach):
                blocks.append(_reaches(column, Reach(token.text.lower())))
                continue
            first, last, is_v6 = self._value(token, values.block)
            if first == last:
                single |= {first: None} if first != bytes(16) else {}
                continue
            inside = Within(column, max(first, bytes(15) + b"\x01"), last)
            spans_v4 = is_v6 and first < _MAPPED_FIRST and last >= _MAPPED_LAST
            blocks.append(_all((inside, Not(Within(column, _MAPPED_FIRST, _MAPPED_LAST)))) if spans_v4 else inside)
        return _any([*([OneOf(column, tuple(single))] if single else []), *blocks])

    def _range(self, column: Column) -> Bound:
        (token,) = self._comparison.values
        if column.kind in (*_NAMED, Kind.ENUM, Kind.ADDR, Kind.MAC):
            hint = "= with a CIDR block" if column.kind is Kind.ADDR else "="
            raise self._wrong(self._comparison.field, f"{column.name} has no order; use {hint}")
        self._refuse_empty(token)
        limit = self._number(column, token)
        low, high = _bounds(self._comparison.operator, limit)
        if isinstance(column.absent, int):
            least, most = column.bounds
            if column.absent < least:
                low = least if low is None else max(low, least)
            else:
                high = most if high is None else min(high, most)
        return _all((_has_ports(column), InRange(column, low, high)))

    def _match(self, column: Column) -> Bound:
        (token,) = self._comparison.values
        if column.kind not in _NAMED:
            hint = " with a CIDR block" if column.kind is Kind.ADDR else " or in"
            raise self._wrong(self._comparison.field, f"{column.name} has no text to match; use ={hint}")
        try:
            matches_empty = automaton(token.text).search("")
        except PatternProblem as problem:
            raise self._in_pattern(token, problem) from problem
        match = Match(column, token.text)
        return _all((_exists(column), match)) if matches_empty else match

    def _number(self, column: Column, token: Token) -> Fraction:
        return self._value(token, lambda text: values.number(column, text))

    def _value(self, token: Token, read: Callable[[str], _T]) -> _T:
        try:
            return read(token.text)
        except values.ValueProblem as problem:
            raise self._wrong(token, str(problem), problem.suggestion) from problem

    def _refuse_empty(self, token: Token) -> None:
        if not token.text:
            name = field_name(self._comparison.field)
            raise self._wrong(token, f"an absent value equals nothing; write 'not {name} exists'")

    def _refuse_wildcard(self, token: Token) -> None:
        if token.kind is TokenKind.WORD and "*" in token.text:
            pattern = "^" + token.text.replace(".", r"\.").replace("*", ".*") + "$"
            raise self._wrong(token, f'= compares whole names; for a pattern write ~ "{pattern}"')

    def _in_pattern(self, token: Token, problem: PatternProblem) -> FilterError:
        """Points into the pattern where its characters are those of the filter, else at all of it."""
        inside = token.at + (token.kind is TokenKind.TEXT)
        same = self._text[inside : inside + len(token.text)] == token.text
        at, length = (min(inside + problem.at, token.end - 1), 1) if same else (token.at, token.length)
        return FilterError(f"in the pattern: {problem}", text=self._text, at=at, length=length)

    def _wrong(self, token: Token, message: str, suggestion: str = "") -> FilterError:
        return FilterError(message, text=self._text, at=token.at, length=token.length, suggestion=suggestion)


def _reaches(column: Column, reach: Reach) -> Bound:
    private = _any([Within(column, *block) for block in PRIVATE])
    return private if reach is Reach.PRIVATE else Not(_any([private, *(Within(column, *block) for block in NO_HOST)]))


def _absent(column: Column) -> tuple[int | bytes, ...]:
    """The physical values of ``column`` that mean no value; ports need another column for that."""
    match column.kind:
        case Kind.MAC:
            return (bytes(6),) if column.absent is not None else ()
        case Kind.ADDR:
            return (bytes(16),)
        case Kind.ENUM:
            return () if column.labels[0] else (0,)
        case _:
            return (column.absent,) if isinstance(column.absent, int) else ()


def _has_ports(column: Column) -> Bound:
    if column.absent != ABSENT_BY_PROTOCOL:
        return _TRUE
    return OneOf(BY_NAME["proto"], tuple(sorted(PORT_PROTOCOLS)))


def _exists(column: Column) -> Bound:
    if column.absent == ABSENT_BY_PROTOCOL:
        return _has_ports(column)
    absent = ("",) if column.kind in _NAMED else _absent(column)
    return Not(OneOf(column, absent)) if absent else _TRUE


def _bounds(operator: str, limit: Fraction) -> tuple[int | None, int | None]:
    """The integers that compare so with ``limit``."""
    match operator:
        case "<":
            return None, math.ceil(limit) - 1
        case "<=":
            return None, math.floor(limit)
        case ">":
            return math.floor(limit) + 1, None
        case _:
            return math.ceil(limit), None
