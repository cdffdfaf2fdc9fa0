# SPDX-License-Identifier: Apache-2.0
"""Tokens → the filter as written, by recursive descent.

::

    filter     = [ either ]
    either     = both { "or" both }
    both       = unary { "and" unary }
    unary      = "not" unary | "(" either ")" | comparison
    comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~" ) value
               | field [ "not" ] "in" "(" value { "," value } ")"
               | field "exists"

``not`` binds tighter than ``and``, ``and`` than ``or``. Words compare without case.
"""

from __future__ import annotations

import ipaddress

from flowgauge.errors import FilterError
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.filters.lexer import Token, TokenKind, tokens
from flowgauge.schema.filters.syntax import KEYWORDS, Combination, Comparison, Negation, Node

MAX_DEPTH = 50
"""Nested parentheses and ``not``: far more than anybody reads, far less than the interpreter's stack."""

_SYMBOLS = {"&&": "and", "&": "and", "||": "or", "|": "or", "!": "not"}


def _meant(text: str) -> str:
    """The comparison that somebody means who writes nothing but an address, a block or a port; empty for other words."""
    if text.isascii() and text.isdigit():
        return f"port = {text}" if int(text) <= BY_NAME["src_port"].bounds[1] else ""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ""
    return "" if "%" in text else f"addr = {text}"  # a flow's address has no zone (RFC 4007 §11)


def parse(text: str) -> Node | None:
    """The filter as written, None when there is none; FilterError at the first character that does not fit."""
    return _Parser(text).filter()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._place = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _sees(self, kind: TokenKind) -> bool:
        return self._next.kind is kind

    def _take(self) -> Token:
        token = self._next
        self._place += 1
        return token

    def _wrong(self, expected: str, token: Token | None = None, suggestion: str = "") -> FilterError:
        token = token or self._next
        found = "the filter ends" if token.kind is TokenKind.END else f"found {self._text[token.at : token.end]!r}"
        suggestion = suggestion or _SYMBOLS.get(token.text, "")
        return FilterError(
            f"expected {expected}, {found}", text=self._text, at=token.at, length=token.length, suggestion=suggestion
        )

    def filter(self) -> Node | None:
        if self._sees(TokenKind.END):
            return None
        node = self._joined("or")
        if self._sees(TokenKind.END):
            return node
        if self._sees(TokenKind.CLOSE):
            raise self._wrong("no closing parenthesis: none is open here")
        can_join = self._sees(TokenKind.WORD) and self._next.text not in _SYMBOLS
        raise self._wrong("'and' or 'or'", suggestion=f"and {self._next.text}" if can_join else "")

    def _joined(self, word: str) -> Node:
        """Items joined by ``word``; a chain of it is one combination."""
        items = [self._item(word)]
        while self._next.is_word(word):
            self._take()
            items.append(self._item(word))
        return items[0] if len(items) == 1 else Combination(word, tuple(items))

    def _item(self, word: str) -> Node:
        return self._joined("and") if word == "or" else self._unary()

    def _unary(self) -> Node:
        if self._next.is_word("not"):
            self._deeper(self._take())
            node: Node = Negation(self._unary())
        elif self._sees(TokenKind.OPEN):
            self._deeper(self._take())
            node = self._joined("or")
            if not self._sees(TokenKind.CLOSE):
                raise self._wrong("'and', 'or' or ')'")
            self._take()
        else:
            return self._comparison()
        self._depth -= 1
        return node

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(f"more than {MAX_DEPTH} nested parentheses", text=self._text, at=token.at, length=token.length)

    def _comparison(self) -> Comparison:
        field = self._next
        if field.kind is not TokenKind.WORD or field.is_word(*KEYWORDS) or field.text in _SYMBOLS:
            raise self._wrong("a field")
        self._take()
        operator = self._operator(field)
        if operator == "exists":
            return Comparison(field, operator, ())
        values = self._list() if operator in ("in", "not in") else (self._value(),)
        return Comparison(field, operator, values)

    def _operator(self, field: Token) -> str:
        token = self._next
        if token.kind is TokenKind.OPERATOR and token.text != "!":
            return self._take().text
        if token.is_word("in", "exists"):
            return self._take().text.lower()
        if token.is_word("not") and self._tokens[self._place + 1].is_word("in"):
            self._place += 2
            return "not in"
        if comparison := _meant(field.text):
            message = f"{field.text!r} is a value, and which field has it is not said"
            raise FilterError(message, text=self._text, at=field.at, length=field.length, suggestion=comparison)
        value = token.kind is TokenKind.WORD and not token.is_word(*KEYWORDS) and token.text not in _SYMBOLS
        raise self._wrong(f"an operator such as = after {field.text!r}", suggestion=f"= {token.text}" if value else "")

    def _value(self) -> Token:
        token = self._next
        if token.kind is TokenKind.TEXT or (token.kind is TokenKind.WORD and not token.is_word(*KEYWORDS)):
            return self._take()
        quoting = f'"{token.text}"' if token.kind is TokenKind.WORD else ""
        raise self._wrong("a value", suggestion=quoting)

    def _list(self) -> tuple[Token, ...]:
        if not self._sees(TokenKind.OPEN):
            raise self._wrong("'(' and values")
        self._take()
        values = [self._value()]
        while self._sees(TokenKind.COMMA):
            self._take()
            values.append(self._value())
        if not self._sees(TokenKind.CLOSE):
            raise self._wrong("',' or ')'")
        self._take()
        return tuple(values)
