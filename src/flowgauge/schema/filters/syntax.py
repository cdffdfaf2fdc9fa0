# SPDX-License-Identifier: Apache-2.0
"""The filter as written: what the parser gives, with the place of every word, and how it is printed in one canonical form."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowgauge.schema.filters.lexer import Token, TokenKind

KEYWORDS = frozenset({"and", "or", "not", "in", "exists"})
"""Words with a meaning of their own; a value of this text must be quoted."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator values``: one value, several for ``in`` and ``not in``, none for ``exists``."""

    field: Token
    operator: str
    values: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """``not item``."""

    item: Node


@dataclass(frozen=True, slots=True)
class Combination:
    """Two items or more joined by ``word``, which is ``and`` or ``or``."""

    word: str
    items: tuple[Node, ...]


Node = Comparison | Negation | Combination

_PLAIN = re.compile(r"[^\s()=<>!~,\"'\\]+")


def canonical(node: Node | None) -> str:
    """The filter in one form: lower-case fields and words, single spaces, only needed parentheses; empty for no filter."""
    match node:
        case None:
            return ""
        case Comparison():
            return _comparison(node)
        case Negation(item):
            return f"not {_inside(item, tighter=True)}"
        case Combination(word, items):
            return f" {word} ".join(_inside(item, tighter=word == "and") for item in items)


def conjuncts(node: Node | None) -> tuple[Node, ...]:
    """The parts that must all hold: each can be taken away to widen the filter."""
    if node is None:
        return ()
    return node.items if isinstance(node, Combination) and node.word == "and" else (node,)


def joined(items: tuple[Node, ...]) -> Node | None:
    """The filter of which ``items`` are the conjuncts."""
    if len(items) < 2:
        return items[0] if items else None
    return Combination("and", items)


def field_name(token: Token) -> str:
    """The canonical name of a field as written: ``Src.Port`` is ``src_port``."""
    return token.text.lower().replace(".", "_")


def value_text(token: Token) -> str:
    """A value as the language wants it: bare where it was bare or may be, else quoted."""
    return quoted(token.text) if token.kind is TokenKind.TEXT else token.text


def quoted(value: str) -> str:
    """``value`` bare when that reads back as the same value, else in quotes."""
    if _PLAIN.fullmatch(value) and value.lower() not in KEYWORDS and "*" not in value:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _inside(node: Node, *, tighter: bool) -> str:
    """``node`` as an item of something that binds as tightly as ``and`` (or ``not``), or only as ``or``."""
    text = canonical(node)
    loose = isinstance(node, Combination) and (node.word == "or" or tighter)
    return f"({text})" if loose else text


def _comparison(node: Comparison) -> str:
    values = ", ".join(map(value_text, node.values))
    if node.operator in ("in", "not in"):
        values = f"({values})"
    return " ".join(filter(None, (field_name(node.field), node.operator, values)))
