# SPDX-License-Identifier: Apache-2.0
"""Where the cursor stands in an unfinished filter: what is expected there, and which characters belong to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from flowgauge.errors import FilterError
from flowgauge.schema.filters.lexer import Token, TokenKind, tokens
from flowgauge.schema.filters.syntax import field_name


class Expected(StrEnum):
    """What may stand at a place."""

    FIELD = "field"
    OPERATOR = "operator"
    VALUE = "value"
    IN = "in"
    """``in``, after ``not``."""
    OPEN = "open"
    """The parenthesis after ``in``."""
    MORE = "more"
    """A comma or the end of a list."""
    WORD = "word"
    """``and``, ``or`` or a closing parenthesis."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place: ``partial`` is what is written of the expected thing, [``at``, ``end``) the characters it covers.

    ``field`` is the field whose operator or value is expected, ``depth`` how many parentheses are open, ``in_list`` whether
    they end with that of ``in (``.
    """

    text: str
    expected: Expected
    at: int
    end: int
    partial: str
    field: str = ""
    depth: int = 0
    in_list: bool = False

    @property
    def after_value(self) -> str:
        """What follows a value."""
        return "" if self.in_list else " "


_REST_OF_WORD = re.compile(r"[^\s()=<>!~,\"']*")


def place_of(text: str, cursor: int) -> Place:
    """The place of ``cursor`` in ``text``, however unfinished the text before it is."""
    before, open_quote = _tokens_before(text[:cursor])
    partial: Token | None = open_quote
    if partial is None and before and before[-1].kind is TokenKind.WORD and before[-1].end == cursor:
        partial = before.pop()
    reader = _Reader()
    for token in before:
        reader.read(token)
    if partial is None:
        return Place(text, reader.expected, cursor, cursor, "", reader.field, reader.depth, reader.in_list)
    end = cursor if open_quote else _rest(text, cursor)
    return Place(text, reader.expected, partial.at, end, partial.text, reader.field, reader.depth, reader.in_list)


def _rest(text: str, cursor: int) -> int:
    match = _REST_OF_WORD.match(text, cursor)
    return match.end() if match else cursor


def _tokens_before(text: str) -> tuple[list[Token], Token | None]:
    """The tokens, and apart from them a quoted value that is not closed."""
    try:
        return tokens(text)[:-1], None
    except FilterError as error:
        start = min(error.at, len(text))
        if start < len(text) and text[start] in "\"'":
            return tokens(text[:start])[:-1], Token(TokenKind.TEXT, text[start + 1 :], start, len(text) - start)
        return [], None


class _Reader:
    """Follows the grammar as far as it goes; a token that does not fit changes nothing."""

    def __init__(self) -> None:
        self.expected = Expected.FIELD
        self.field = ""
        self.depth = 0
        self.in_list = False

    def read(self, token: Token) -> None:
        match self.expected:
            case Expected.FIELD:
                self._field(token)
            case Expected.OPERATOR | Expected.IN:
                self._operator(token)
            case Expected.OPEN:
                self._open(token)
            case Expected.VALUE:
                if token.kind in (TokenKind.WORD, TokenKind.TEXT):
                    self.expected = Expected.MORE if self.in_list else Expected.WORD
            case Expected.MORE:
                self._more(token)
            case Expected.WORD:
                self._word(token)

    def _field(self, token: Token) -> None:
        if token.kind is TokenKind.OPEN:
            self.depth += 1
        elif token.kind is TokenKind.WORD and not token.is_word("not"):
            self.field, self.expected = field_name(token), Expected.OPERATOR

    def _operator(self, token: Token) -> None:
        if token.kind is TokenKind.OPERATOR:
            self.expected = Expected.VALUE
        elif token.is_word("in"):
            self.expected = Expected.OPEN
        elif token.is_word("not"):
            self.expected = Expected.IN
        elif token.is_word("exists"):
            self.expected = Expected.WORD

    def _open(self, token: Token) -> None:
        if token.kind is TokenKind.OPEN:
            self.in_list, self.expected = True, Expected.VALUE

    def _more(self, token: Token) -> None:
        if token.kind is TokenKind.COMMA:
            self.expected = Expected.VALUE
        elif token.kind is TokenKind.CLOSE:
            self.in_list, self.expected = False, Expected.WORD

    def _word(self, token: Token) -> None:
        if token.is_word("and", "or"):
            self.expected = Expected.FIELD
        elif token.kind is TokenKind.CLOSE:
            self.depth = max(0, self.depth - 1)
