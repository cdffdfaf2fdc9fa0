# SPDX-License-Identifier: Apache-2.0
"""Filter text → tokens. Nothing is looked up here: whether a word is a field or a value is the parser's question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from flowgauge.errors import FilterError

MAX_LENGTH = 4000
"""Characters of a filter; beyond it nobody typed it, and a list of values belongs into a subnet label."""


class TokenKind(StrEnum):
    """What a token is."""

    WORD = "word"
    TEXT = "text"
    """A quoted value."""
    OPERATOR = "operator"
    OPEN = "("
    CLOSE = ")"
    COMMA = ","
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One token: ``text`` is its meaning (without quotes), [``at``, ``at + length``) its place in the filter."""

    kind: TokenKind
    text: str
    at: int
    length: int

    @property
    def end(self) -> int:
        """Offset of the character after it."""
        return self.at + self.length

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords, given in lower case."""
        return self.kind is TokenKind.WORD and self.text.lower() in words


_TOKEN = re.compile(
    r"""(?P<operator>==|!=|<=|>=|!~|=~|[=<>~!])
    |(?P<open>\()|(?P<close>\))|(?P<comma>,)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<quote>["'])
    |(?P<word>[^\s()=<>!~,"']+)""",
    re.VERBOSE | re.DOTALL,
)
_KINDS = {
    "operator": TokenKind.OPERATOR,
    "open": TokenKind.OPEN,
    "close": TokenKind.CLOSE,
    "comma": TokenKind.COMMA,
    "text": TokenKind.TEXT,
    "word": TokenKind.WORD,
}
_SAME = {"==": "=", "=~": "~"}
_ESCAPED = re.compile(r"""\\(["'\\])""")


def tokens(text: str) -> list[Token]:
    """The tokens of ``text`` with END last; FilterError where there is none, or when the text is too long."""
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter is longer than {MAX_LENGTH} characters", text=text, at=MAX_LENGTH)
    return [*_scan(text), Token(TokenKind.END, "", len(text), 0)]


def _scan(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TOKEN.match(text, at)
        kind = match.lastgroup if match else None
        if match is None or kind is None or kind == "quote":
            raise FilterError("this quote is not closed", text=text, at=at, length=len(text) - at)
        yield Token(_KINDS[kind], _meaning(kind, match[0]), at, len(match[0]))
        at = match.end()


def _meaning(kind: str, raw: str) -> str:
    """Within quotes a backslash only takes the meaning from a quote and from itself, so that patterns stay readable."""
    if kind == "text":
        return _ESCAPED.sub(r"\1", raw[1:-1])
    return _SAME.get(raw, raw)
