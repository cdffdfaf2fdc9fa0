# SPDX-License-Identifier: Apache-2.0
"""What may be written next: fields, operators, values and words, for the place of the cursor in an unfinished filter.

Which values there are is not known here: the caller gives a function that asks (the console asks the store).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from flowgauge.schema.column import Column, Kind, Role, Stored
from flowgauge.schema.filters.fields import FIELDS, Field, find
from flowgauge.schema.filters.lexer import Token, TokenKind
from flowgauge.schema.filters.place import Expected, Place, place_of
from flowgauge.schema.filters.syntax import field_name, quoted
from flowgauge.schema.filters.values import is_port
from flowgauge.schema.reach import Reach
from flowgauge.schema.well_known import PORTS, PROTOCOLS

MAX_OFFERS = 40
"""Longer lists are not read: another character typed is faster."""


@dataclass(frozen=True, slots=True)
class ValueShare:
    """A value that flows have, and its share of the traffic (0 to 1), None where nobody measured."""

    value: str
    share: float | None = None


Values = Callable[[Field], Sequence[ValueShare]]
"""Gives values of a field, the most important first."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One offer: ``insert`` replaces ``length`` characters from ``at``.

    Attributes:
        label: what is shown.
        kind: ``field``, ``operator``, ``value`` or ``word``.
        help: one sentence, or empty.
        share: of a value, its share of the traffic.
    """

    insert: str
    label: str
    kind: str
    help: str
    share: float | None
    at: int
    length: int


_REACHES: dict[str, str] = {
    Reach.PRIVATE: "of this site: RFC 1918, fc00::/7, link-local, loopback, 100.64.0.0/10",
    Reach.PUBLIC: "may be of anywhere on the internet",
}
_OPERATORS = {
    "=": "equals",
    "!=": "does not equal",
    "~": "matches a pattern",
    "!~": "matches no pattern",
    "<": "less than",
    "<=": "at most",
    ">": "greater than",
    ">=": "at least",
    "in": "is one of",
    "not in": "is none of",
    "exists": "has a value",
}
_EQUAL = ("=", "!=", "in", "not in", "exists")
_NAMES = ("=", "!=", "~", "!~", "in", "not in", "exists")
_NUMBERS = ("=", "!=", "<", "<=", ">", ">=", "in", "not in", "exists")
_FIRST = ("namespace", "owner", "service", "port", "name", "pod", "addr", "proto", "node", "zone", "subnet", "bytes")
"""Fields offered before all others: what people ask for first."""


def complete(text: str, cursor: int, values: Values | None = None) -> tuple[Completion, ...]:
    """What fits at ``cursor`` (0 to ``len(text)``), best first; empty where nothing can be offered."""
    place = place_of(text, max(0, min(cursor, len(text))))
    offers = list(_offers(place, values))
    return tuple(offers[:MAX_OFFERS])


def _offers(place: Place, values: Values | None) -> Iterator[Completion]:
    match place.expected:
        case Expected.FIELD:
            yield from _fields(place)
        case Expected.OPERATOR:
            yield from _operators(place)
        case Expected.VALUE:
            yield from _values(place, values)
        case Expected.IN:
            yield _offer(place, "in ", "in", "word", "is none of")
        case Expected.OPEN:
            yield _offer(place, "(", "(", "word", "the list of values")
        case Expected.MORE:
            yield _offer(place, ", ", ",", "word", "another value")
            yield _offer(place, ") ", ")", "word", "the end of the list")
        case Expected.WORD:
            yield from _words(place)


def _offer(place: Place, insert: str, label: str, kind: str, help_: str, *, share: float | None = None) -> Completion:
    if insert.endswith(" ") and place.text[place.end : place.end + 1] == " ":
        insert = insert[:-1]
    return Completion(insert, label, kind, help_, share, place.at, place.end - place.at)


def _fields(place: Place) -> Iterator[Completion]:
    written = field_name(Token(TokenKind.WORD, place.partial, 0, 0))
    ranked = sorted(
        (rank, number, name) for number, name in enumerate(_ordered()) if (rank := _rank(name, written)) is not None
    )
    for _, _, name in ranked:
        yield _offer(place, f"{name} ", name, "field", FIELDS[name].help)
    if "not".startswith(place.partial.lower()):
        yield _offer(place, "not ", "not", "word", "what follows must not hold")
    if (exact := find(written)) is not None:
        here = Place(place.text, Expected.OPERATOR, place.end, place.end, "", exact.name)
        yield from (_offer(here, f" {one.insert}", one.label, one.kind, one.help) for one in _operators(here))


def _ordered() -> list[str]:
    """Fields as people need them: the first few, names of ends, what is always stored, the rest."""
    stored = [name for name, field in FIELDS.items() if field.columns[0].stored is not Stored.NEVER]
    sides = [name for name in stored if len(FIELDS[name].columns) > 1 and _is_core(FIELDS[name])]
    core = [name for name in stored if _is_core(FIELDS[name])]
    return list(dict.fromkeys((*_FIRST, *sides, *core, *stored)))


def _is_core(field: Field) -> bool:
    column = field.columns[0]
    return column.stored is Stored.CORE and column.role is not Role.DETAIL


def _rank(candidate: str, written: str) -> int | None:
    """0 where it begins with what is written, 1 where a part of it does, 2 where it is inside; None elsewhere."""
    low = candidate.lower()
    if low.startswith(written):
        return 0
    if any(part.startswith(written) for part in low.replace("-", "_").replace(".", "_").split("_")):
        return 1
    return 2 if written in low else None


def _operators(place: Place) -> Iterator[Completion]:
    field = find(place.field)
    column = field.columns[0] if field else None
    for operator in _allowed(column):
        if operator.startswith(place.partial.lower()):
            after = "" if operator == "exists" else " "
            yield _offer(place, f"{operator}{after}", operator, "operator", _OPERATORS[operator])


def _allowed(column: Column | None) -> tuple[str, ...]:
    if column is None:
        return tuple(_OPERATORS)
    if column.kind in (Kind.NAMES, Kind.LIST):
        return _NAMES
    return _EQUAL if column.kind in (Kind.ENUM, Kind.ADDR, Kind.MAC) or column.name == "proto" else _NUMBERS


def _words(place: Place) -> Iterator[Completion]:
    words = {"and": "both hold", "or": "either holds"} | ({")": "closes the parenthesis"} if place.depth else {})
    for word, help_ in words.items():
        if word.startswith(place.partial.lower()):
            yield _offer(place, f"{word} ", word, "word", help_)


def _values(place: Place, values: Values | None) -> Iterator[Completion]:
    field = find(place.field)
    if field is None:
        return
    found = dict.fromkeys(_fixed(field.columns[0]))
    shares = {one.value: one.share for one in (values(field) if values else ())}
    written = place.partial.lower()
    ranked = []
    for number, value in enumerate((*shares, *(value for value in found if value not in shares))):
        help_ = _meaning(field.columns[0], value)
        ranks = [rank for text in (value, help_) if text and (rank := _rank(text, written)) is not None]
        if ranks:
            ranked.append((min(ranks), number, value, help_))
    for _, _, value, help_ in sorted(ranked):
        yield _offer(place, f"{_written(place, value)}{place.after_value}", value, "value", help_, share=shares.get(value))


def _written(place: Place, value: str) -> str:
    """In quotes when what is there begins with one, so that typing on goes on."""
    text = quoted(value)
    begun = place.text[place.at : place.at + 1] in ('"', "'")
    return f'"{text}"' if begun and not text.startswith('"') else text


def _fixed(column: Column) -> Iterable[str]:
    """Values that are known without asking."""
    if column.kind is Kind.ENUM:
        return (label for label in column.labels if label)
    if column.kind is Kind.ADDR:
        return Reach
    if column.name == "proto":
        return (name.lower() for name in PROTOCOLS.values())
    return map(str, PORTS) if is_port(column) else ()


def _meaning(column: Column, value: str) -> str:
    """What a number stands for."""
    if is_port(column) and value.isdecimal():
        return PORTS.get(int(value), "")
    return _REACHES.get(value, "") if column.kind is Kind.ADDR else ""
