# SPDX-License-Identifier: Apache-2.0
"""Bytes that keep coming → JSON documents: one a line, one after the other over many lines, or a single one.

That covers what ``kubectl get -o json`` prints, with and without ``--watch``, and event logs. Before: ``growing_file``; after:
``changes``. Pure.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_DOCUMENT_CHARS = 512 * 1024 * 1024
"""A longer document is given up: a List of 50 000 pods is about 400 MB, and each of its characters is in memory once."""

_BLANK = re.compile(r"[\s\x1e]*")
"""Between documents: white space, and the record separator of RFC 7464."""
_NEXT = re.compile(r"\n(?=[{])")
"""Where a document may begin after a broken one: inside a document no line begins with a brace."""
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""A shell on Windows writes files with them."""


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object and the line, from 1, in which it begins."""

    line: int
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """A document that is none: what was ``expected`` and what was ``found`` in ``line``."""

    line: int
    expected: str
    found: str


class Documents:
    """Splits one file; whatever is left at its end is kept until more comes.

    After a broken document, it goes on at the next line that begins with a brace.
    """

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None
        self._json = json.JSONDecoder()
        self._text = ""
        self._line = 1
        self._lost = False

    @property
    def partial(self) -> Broken | None:
        """The document that has only begun, as the problem that it is when no more comes."""
        if self._lost or not self._text.strip():
            return None
        return Broken(self._line, "the rest of the document", f"the end of the file after {_shown(self._text)}")

    def feed(self, data: bytes) -> Iterator[Document | Broken]:
        """Takes the next bytes of the file, gives the documents that are complete now."""
        self._text += self._decoded(data)
        at = 0
        while True:
            at = self._to_begin(at)
            if at == len(self._text) or self._lost:
                break
            found, end = self._next(at)
            if found is None:
                break
            self._lost = isinstance(found, Broken)
            yield found
            at = self._passed(at, end)
        self._text = self._text[at:]

    def _decoded(self, data: bytes) -> str:
        if self._decoder is None:
            name = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
            self._decoder = codecs.getincrementaldecoder(name)(errors="replace")
        return self._decoder.decode(data)

    def _passed(self, at: int, end: int) -> int:
        self._line += self._text.count("\n", at, end)
        return end

    def _to_begin(self, at: int) -> int:
        """Where the next document begins; the end of the text, or its last line, where none does yet."""
        if self._lost:
            following, last_line = _NEXT.search(self._text, at), self._text.rfind("\n", at)
            self._lost = following is None
            at = self._passed(at, following.start() if following else last_line if last_line >= 0 else len(self._text))
            if self._lost:
                return at
        blank = _BLANK.match(self._text, at)
        return self._passed(at, blank.end() if blank else at)

    def _next(self, at: int) -> tuple[Document | Broken | None, int]:
        """(what begins at ``at``, where it ends); None when that cannot be told yet."""
        if self._text[at] != "{":
            return Broken(self._line, "a JSON object", _shown(self._text[at : at + _SHOWN_CHARS + 1])), at
        try:
            value, end = self._json.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            return self._after_error(at, error.pos, error.msg)
        except (RecursionError, ValueError) as error:  # nested too deeply, a number of thousands of digits
            return self._after_error(at, at, str(error))
        return Document(self._line, value), end

    def _after_error(self, at: int, error_at: int, message: str) -> tuple[Broken | None, int]:
        text = self._text
        may_go_on = error_at > text.rfind("\n") or not text[error_at:].strip()
        if may_go_on and _NEXT.search(text, at) is None and len(text) - at < MAX_DOCUMENT_CHARS:
            return None, at  # what is wrong is in the last line, which is still being written, or would come after it
        # One character only: what follows may be the data of a Secret, and this goes to a log.
        found = f"{text[error_at : error_at + 1]!r} ({message[:1].lower()}{message[1:]})"
        return Broken(self._line + text.count("\n", at, error_at), "JSON", found), at


_SHOWN_CHARS = 32


def _shown(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return repr(line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 3] + "...")
