# SPDX-License-Identifier: Apache-2.0
"""The exceptions of Flowgauge.

::

    FlowgaugeError              every error we raise on purpose
    ├── UsageError              the user asked for something wrong            exit status 2
    │   ├── FilterError         … in a filter: knows the character
    │   └── ConfigError         … in a document: knows every problem and its path
    ├── EnvironmentProblem      this machine lacks something we need          exit status 3
    ├── DataError               input is malformed: counted, never fatal
    │   └── WireError           … in bytes: where, what, expected, found
    └── InternalError           we are wrong; please report                   exit status 1
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

NOTHING_MORE_FITS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Of writing to a file: may succeed again when there is room."""

SHOWN_CHARS, SHOWN_BEFORE = 160, 60
"""Characters of a wrong filter that are shown, and how many of them before what is wrong."""


class FlowgaugeError(Exception):
    """Base of every error that Flowgauge raises on purpose; ``exit_status`` is what the command line returns for it."""

    exit_status = 1


class UsageError(FlowgaugeError):
    """The user asked for something that cannot be; the message is one sentence that says what to do instead."""

    exit_status = 2


class FilterError(UsageError):
    """A filter is wrong at one character.

    Attributes:
        text: the whole filter.
        at: 0-based offset of the offending character in ``text`` (``len(text)`` when more was expected).
        length: how many characters to underline, at least 1.
        suggestion: a replacement for the underlined part, or empty.
    """

    def __init__(self, message: str, *, text: str, at: int, length: int = 1, suggestion: str = "") -> None:
        super().__init__(message)
        self.message, self.text, self.at, self.length, self.suggestion = message, text, at, max(length, 1), suggestion

    def __str__(self) -> str:
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"{self.message} at character {self.at + 1}{hint}"

    def pointed(self) -> str:
        """The filter around the offending part on one line, and carets below that, for a terminal."""
        first = max(0, self.at - SHOWN_BEFORE)
        shown = "".join(char if char.isprintable() else " " for char in self.text[first : first + SHOWN_CHARS])
        return f"{shown}\n{' ' * (self.at - first)}{'^' * min(self.length, SHOWN_CHARS - self.at + first)}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a document: a dotted ``path`` (``spec.collector.port``), one sentence, and its ``line`` (0: unknown)."""

    path: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path or '(document)'}: {self.message}"


class ConfigError(UsageError):
    """A document has problems; all of them are reported at once, each with its path."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source, self.problems = source, problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source}: {len(problems)} problem{'s' if len(problems) != 1 else ''}\n{lines}")


class EnvironmentProblem(FlowgaugeError):
    """This machine lacks something; the message says what, and how to get it."""

    exit_status = 3


class DataError(FlowgaugeError):
    """Input is malformed. It is counted and skipped by whoever reads the input, and never ends a program."""


class WireError(DataError):
    """Bytes of an export datagram are malformed.

    Attributes:
        cause: short stable label, the key of the decode-error counter (``short_header``, ``set_length``, …).
        offset: byte offset in the datagram.
        expected: what the format demands there, in words.
        found: what is there, in words.
    """

    def __init__(self, cause: str, *, offset: int, expected: str, found: str) -> None:
        super().__init__(f"{cause} at byte {offset}: expected {expected}, found {found}")
        self.cause, self.offset, self.expected, self.found = cause, offset, expected, found


class InternalError(FlowgaugeError):
    """We are wrong. The message asks for a report."""
