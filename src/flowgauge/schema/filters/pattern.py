# SPDX-License-Identifier: Apache-2.0
r"""Patterns of ``~``: the part of regular expressions that all engines read alike, checked and written in one form for them.

Taken: characters, ``.``, classes such as ``[a-z_]`` and ``\d \w \s``, groups, ``|``, ``* + ? {n,m}``, ``^ $ \b \B``. Refused,
each with its place: references and look-around, which RE2 lacks, and what is spelled differently elsewhere. Matching is
without case: a parsed pattern is in lower case and is matched against text in lower case (``str.lower``, which the store's
``lowerUTF8`` agrees with). Neighbours: ``bind`` before; ``automaton`` and the stores' compilers after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_SIZE = 500
"""Steps of a pattern with its repetitions written out. A hostile pattern costs as many operations a character, on threads
that the collector needs; RE2 refuses more than 1000."""

MAX_DEPTH = 50
"""Nested groups; bounds recursion."""

LAST = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges of code points, ascending and apart."""


class PatternProblem(Exception):
    """What is wrong with a pattern, and at which of its characters."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class OneChar:
    """One character of the ranges."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Boundary:
    """A place without width: ``^``, ``$``, ``b`` (edge of a word) or ``B``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One item after the other."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any of the items."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``low`` to ``high`` times; None: without end."""

    item: Item
    low: int
    high: int | None


Item = OneChar | Boundary | Sequence | Choice | Repeat

_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACES: Ranges = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACES}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r"}
_COUNT = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_SPECIAL = frozenset("|)")


def parse_pattern(pattern: str) -> Item:
    """The pattern in lower case; PatternProblem at the first character that is not taken."""
    parser = _Parser(pattern)
    item = parser.choice(0)
    if parser.at < len(pattern):
        raise PatternProblem("no group is open here", parser.at)
    if size(item) > MAX_SIZE:
        raise PatternProblem(f"more than {MAX_SIZE} characters with repetitions written out; lists of names go into in (…)", 0)
    return item


def size(item: Item) -> int:
    """Steps of the pattern with its repetitions written out."""
    match item:
        case Sequence(items) | Choice(items):
            return max(1, sum(map(size, items)))
        case Repeat(inner, low, high):
            return size(inner) * max(1, low, high or 0)
        case _:
            return 1


def pattern_text(item: Item) -> str:
    """The pattern as a store's engine takes it (RE2's syntax), for texts in lower case."""
    match item:
        case OneChar(ranges):
            return _class_text(ranges)
        case Boundary(kind):
            return kind if kind in "^$" else f"\\{kind}"
        case Sequence(items):
            return "".join(f"(?:{pattern_text(one)})" if isinstance(one, Choice) else pattern_text(one) for one in items)
        case Choice(items):
            return "|".join(map(pattern_text, items))
        case Repeat(inner, low, high):
            inside = pattern_text(inner)
            return (inside if isinstance(inner, OneChar) else f"(?:{inside})") + _count_text(low, high)


def _count_text(low: int, high: int | None) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((low, high))
    if short:
        return short
    return f"{{{low}}}" if low == high else f"{{{low},{'' if high is None else high}}}"


def _class_text(ranges: Ranges) -> str:
    if ranges == ((0, LAST),):
        return "(?s:.)"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _char_text(ranges[0][0])
    return "[" + "".join(_char_text(low) + (f"-{_char_text(high)}" if high > low else "") for low, high in ranges) + "]"


def _char_text(point: int) -> str:
    char = chr(point)
    if char.isascii():
        return char if char.isalnum() else f"\\x{point:02x}"
    return f"\\x{{{point:x}}}"


def _united(ranges: list[tuple[int, int]]) -> Ranges:
    united: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if united and low <= united[-1][1] + 1:
            united[-1] = (united[-1][0], max(high, united[-1][1]))
        else:
            united.append((low, high))
    return tuple(united)


def _others(ranges: Ranges) -> Ranges:
    """Every character that is not in ``ranges``."""
    edges = [-1, *(edge for low, high in ranges for edge in (low, high)), LAST + 1]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return tuple((before + 1, after - 1) for before, after in gaps if before + 1 < after)


def _folded(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """``ranges`` with the lower-case form of each capital: ASCII by range, others (single characters) by themselves."""
    more = list(ranges)
    for low, high in ranges:
        if (first := max(low, ord("A"))) <= (last := min(high, ord("Z"))):
            more.append((first + 32, last + 32))
        elif low == high and len(lower := chr(low).lower()) == 1:
            more.append((ord(lower), ord(lower)))
    return more


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def _peek(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def _more(self) -> bool:
        return self.at < len(self.pattern)

    def choice(self, depth: int) -> Item:
        if depth > MAX_DEPTH:
            raise PatternProblem(f"more than {MAX_DEPTH} nested groups", self.at)
        items = [self._sequence(depth)]
        while self._peek("|"):
            self.at += 1
            items.append(self._sequence(depth))
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def _sequence(self, depth: int) -> Item:
        items: list[Item] = []
        while self._more() and self.pattern[self.at] not in _SPECIAL:
            items.append(self._repeated(self._atom(depth)))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _repeated(self, item: Item) -> Item:
        count = self._count()
        if count is None:
            return item
        if self._peek("?"):  # lazy: the same texts match
            self.at += 1
        at = self.at
        if self._count() is not None:
            raise PatternProblem("two repetitions in a row; put the first into a group", at)
        return Repeat(item, *count)

    def _count(self) -> tuple[int, int | None] | None:
        if self._more() and (short := {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self.pattern[self.at])):
            self.at += 1
            return short
        match = _COUNT.match(self.pattern, self.at)
        if match is None:
            return None
        low = int(match[1])
        high = low if match[2] is None else int(match[3]) if match[3] else None
        if max(low, high or 0) > MAX_SIZE or (high is not None and high < low):
            raise PatternProblem(f"a repetition is {{n,m}} with n ≤ m ≤ {MAX_SIZE}", self.at)
        self.at = match.end()
        return low, high

    def _atom(self, depth: int) -> Item:
        char = self.pattern[self.at]
        if char == "(":
            return self._group(depth)
        if char == "[":
            return OneChar(self._bracket())
        if char == "\\":
            return self._escape()
        if char in "*+?" or _COUNT.match(self.pattern, self.at):
            raise PatternProblem("there is nothing to repeat", self.at)
        self.at += 1
        if char in "^$":
            return Boundary(char)
        return OneChar(((0, LAST),)) if char == "." else _literal(char)

    def _group(self, depth: int) -> Item:
        start = self.at
        if self._peek("(?:"):
            self.at += 3
        elif self._peek("(?"):
            raise PatternProblem("only plain groups ( ) and (?: ) are taken: no look-around, no names, no flags", start)
        else:
            self.at += 1
        item = self.choice(depth + 1)
        if not self._peek(")"):
            raise PatternProblem("this group is not closed", start)
        self.at += 1
        return item

    def _escape(self) -> Item:
        letter = self._escaped()
        if letter in ("b", "B"):
            return Boundary(letter)
        ranges = self._class(letter)
        return _literal(_CONTROLS.get(letter, letter)) if ranges is None else OneChar(_united(_folded(list(ranges))))

    def _escaped(self) -> str:
        """The character after a backslash, which is passed; refused when it is no punctuation and has no common meaning."""
        letter = self.pattern[self.at + 1 : self.at + 2]
        if not letter:
            raise PatternProblem("a character is missing after \\", self.at)
        known = letter in "bB" or letter.lower() in _CLASSES or letter in _CONTROLS
        if letter.isdigit():
            raise PatternProblem("references to groups are not taken", self.at)
        if letter.isalnum() and not known:
            raise PatternProblem(f"\\{letter} is not taken: engines differ about it", self.at)
        self.at += 2
        return letter

    def _class(self, letter: str) -> Ranges | None:
        found = _CLASSES.get(letter.lower())
        if found is None:
            return None
        return _others(found) if letter.isupper() else found

    def _bracket(self) -> Ranges:
        start = self.at
        self.at += 1
        negated = self._peek("^")
        self.at += negated
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._peek("]"):
            if not self._more():
                raise PatternProblem("this class is not closed", start)
            ranges += self._member()
            first = False
        self.at += 1
        united = _united(_folded(ranges))
        chosen = _others(united) if negated else united
        if not chosen:
            raise PatternProblem("this class holds no character", start)
        return chosen

    def _member(self) -> list[tuple[int, int]]:
        at = self.at
        if self._peek("[:"):
            raise PatternProblem("named classes such as [:alpha:] are not taken", at)
        low = self._class_char()
        if isinstance(low, tuple):
            return list(low)
        if not self._peek("-") or self.pattern[self.at + 1 : self.at + 2] in ("]", ""):
            return [(low, low)]
        self.at += 1
        high = self._class_char()
        if isinstance(high, tuple) or high < low:
            raise PatternProblem("this range is none", at)
        if high > 0x7F and high != low:
            raise PatternProblem("ranges of other than ASCII characters are not taken", at)
        return [(low, high)]

    def _class_char(self) -> int | Ranges:
        if not self._more():
            raise PatternProblem("this class is not closed", self.at - 1)
        if not self._peek("\\"):
            self.at += 1
            return ord(self.pattern[self.at - 1])
        at = self.at
        letter = self._escaped()
        if letter in "bB":
            raise PatternProblem(f"\\{letter} means nothing within a class", at)
        ranges = self._class(letter)
        return ord(_CONTROLS.get(letter, letter)) if ranges is None else ranges


def _literal(char: str) -> Item:
    lower = tuple(OneChar(((ord(one), ord(one)),)) for one in char.lower())
    return lower[0] if len(lower) == 1 else Sequence(lower)
