# SPDX-License-Identifier: Apache-2.0
"""Which statements the embedded engine's HTTP interface lets through.

chDB has no users and no file limits: even with ``readonly = 1`` it writes ``INTO OUTFILE``, reads any file through ``file()``,
runs several statements of one text and kills queries (all tried). So readers are held to read-only handles *and* to this
guard; writers may not touch files beyond their own segments. Values travel as parameters, so a forbidden word in a text of
ours is never a value. The guard refuses more than it must: it looks for words, not for syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

READ_WORDS = frozenset({"select", "with", "show", "describe", "desc", "explain", "exists"})

_FILES = re.compile(r"\b(infile|outfile)\b", re.IGNORECASE)
_OUTSIDE = re.compile(
    r"\b(file\w*|url|urlcluster|s3\w*|remote\w*|cluster|clusterallreplicas|executable|executablepool|python|hdfs\w*|azure\w*|gcs|oss"
    r"|cosn|iceberg\w*|deltalake\w*|hudi\w*|paimon\w*|mysql|postgresql|mongodb|redis|sqlite|jdbc|odbc|ytsaurus|arrowflight"
    r"|input|dictionary|catboostevaluate)\b[`\"]?\s*(\(|/\*|--|#)",
    re.IGNORECASE,
)
_FIRST_WORD = re.compile(r"[\s(]*([A-Za-z]+)")
_NEXT_STATEMENT = re.compile(r";\s*\S")
_INSERT_SEGMENT = re.compile(
    r"\s*INSERT\s+INTO\s+(?P<table>\w+)\s*\((?P<columns>[\w\s,]+)\)\s*FROM\s+INFILE\s+'(?P<path>[^'\\{}*?\[\]\x00-\x1f]+(\{[\d,]+\}\.arrow)?)'\s+FORMAT\s+Arrow\s*",
    re.IGNORECASE,
)
_NOT_IN_PATHS = re.compile(r"[',\\{}*?\[\]\x00-\x1f]")
_INSERT_BODY = re.compile(
    rb"\s*INSERT\s+INTO\s+(?P<table>[\w.`]+)\s*(?:\((?P<columns>[\w\s,`]+)\)\s*)?FORMAT\s+(?P<format>\w+)[ \t]*\r?\n?",
    re.IGNORECASE,
)


class Refused(Exception):
    """The statement is not let through; the message is one sentence for the client."""


@dataclass(frozen=True, slots=True)
class SegmentInsert:
    """A checked ``INSERT … FROM INFILE``: its parts, put together again by us."""

    table: str
    columns: str
    path: str
    """Of one file, or of several that differ in a number: ``NAME-{0,1,2}.arrow``."""

    def sql(self, settings: str) -> str:
        """The statement for the engine; ``settings`` is a rendered clause, or empty."""
        return f"INSERT INTO {self.table} ({self.columns}) FROM INFILE '{self.path}'{settings} FORMAT Arrow"


def first_word(sql: str) -> str:
    """The statement's first word in lower case, or an empty text."""
    match = _FIRST_WORD.match(sql)
    return match.group(1).lower() if match else ""


def check_read(sql: str) -> None:
    """Refuses what a reader may not run."""
    if first_word(sql) not in READ_WORDS:
        raise Refused("only queries are allowed with this key")
    _check_no_files(sql)


def check_write(sql: str) -> None:
    """Refuses what even a writer may not run."""
    _check_no_files(sql)


def _check_no_files(sql: str) -> None:
    if _FILES.search(sql) or (found := _OUTSIDE.search(sql)) is not None:
        word = "files" if _FILES.search(sql) else found.group(1)  # type: ignore[union-attr]
        raise Refused(f"statements that reach outside the store are not allowed ({word}); pass values as parameters")
    if _NEXT_STATEMENT.search(sql):
        raise Refused("one statement at a time; pass values as parameters")


def can_be_named(folder: Path) -> bool:
    """Whether a statement can name files in ``folder`` and no other ones: the engine takes some characters for patterns."""
    return not _NOT_IN_PATHS.search(str(folder))


def segment_insert(sql: str, segment_dir: Path) -> SegmentInsert | None:
    """The segment insert that ``sql`` is, or None; refuses one of a file outside ``segment_dir``."""
    match = _INSERT_SEGMENT.fullmatch(sql)
    if match is None:
        return None
    path = match.group("path")
    if not all(_is_segment(file, segment_dir) for file in _files_of(path)):
        raise Refused(f"only segment files directly below {segment_dir} can be inserted")
    return SegmentInsert(match.group("table"), match.group("columns").strip(), path)


def _files_of(path: str) -> list[Path]:
    """The files that ``path`` of a ``SegmentInsert`` names."""
    stem, several, rest = path.partition("{")
    numbers, _, end = rest.partition("}")
    return [Path(f"{stem}{number}{end}") for number in numbers.split(",")] if several else [Path(path)]


def _is_segment(path: Path, segment_dir: Path) -> bool:
    return path.suffix == ".arrow" and path.parent == segment_dir and not path.is_symlink() and path.is_file()


def body_insert(statement: bytes) -> re.Match[bytes] | None:
    """The head of ``INSERT INTO … FORMAT F`` at the start of a request's text; what follows it is data in that format."""
    return _INSERT_BODY.match(statement)
