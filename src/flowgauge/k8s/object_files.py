# SPDX-License-Identifier: Apache-2.0
"""A file or folder of Kubernetes objects → changes, now and as long as the files change.

Each file is recognised by what is in it. One with watch events is a log: it is followed, and a new file of its name goes on
where the old one ended. One without is a snapshot: when it is rewritten, what it no longer lists was deleted meanwhile.

Before: files on disk, through ``growing_file`` and ``documents``; after: ``enrich.objects_source``. Used by one thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flowgauge.errors import UsageError
from flowgauge.k8s.changes import Change, ChangeKind, changes, is_event
from flowgauge.k8s.documents import Broken, Document, Documents
from flowgauge.k8s.fields import MalformedObject
from flowgauge.k8s.growing_file import FileId, GrowingFile, Piece, Position
from flowgauge.k8s.objects import KubernetesObject

MAX_FILES = 256
"""Files of a folder that are followed; each holds a descriptor, of which a process has 1024 by default."""

_QUIET_S = 2.0
"""So long a file must not grow before its content is taken as whole."""


@dataclass(frozen=True, slots=True)
class ObjectProblem:
    """What could not be read and was skipped. ``line`` is where its document begins, ``path`` where in that; 0 and "": all."""

    file: str
    line: int
    path: str
    expected: str
    found: str


class ObjectFiles:
    """Follows ``path``, a file or a folder of files.

    Args:
        path: files below a folder's own level, and those whose name begins with a dot, are left alone.
        monotonic: seconds, to tell that a file is quiet.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path, self._monotonic = path, monotonic
        self._positions: dict[FileId, Position] = {}
        self._files: dict[Path, _ObjectFile] = {}
        self._too_many = False

    def check(self) -> None:
        """UsageError when there is nothing at the path that can be read."""
        if not self._path.exists():
            raise UsageError(f"{self._path}: there is no such file or folder of Kubernetes objects")
        if not (self._path.is_file() or self._path.is_dir()):
            raise UsageError(f"{self._path}: Kubernetes objects must be in a file or a folder, not in a pipe or device")
        if not os.access(self._path, os.R_OK):
            raise UsageError(f"{self._path}: these Kubernetes objects may not be read by this user")

    def poll(self) -> Iterator[Change | ObjectProblem]:
        """What is new in all files, each file's in its order."""
        for path in self._paths():
            if path not in self._files and len(self._files) >= MAX_FILES:
                if not self._too_many:
                    self._too_many = True
                    yield ObjectProblem(str(path), 0, "", f"at most {MAX_FILES} files in a folder", "one more")
                continue
            yield from self._file(path).poll()

    def close(self) -> None:
        """Lets go of all files."""
        for file in self._files.values():
            file.close()

    def _paths(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        try:
            found = [path for path in self._path.iterdir() if not path.name.startswith(".") and path.is_file()]
        except OSError:
            return list(self._files)
        return sorted({*found, *self._files})

    def _file(self, path: Path) -> _ObjectFile:
        if path not in self._files:
            self._files[path] = _ObjectFile(GrowingFile(path, self._positions), self._monotonic)
        return self._files[path]


class _ObjectFile:
    """One file: its present content, and what its previous content listed."""

    def __init__(self, file: GrowingFile, monotonic: Callable[[], float]) -> None:
        self._file, self._monotonic = file, monotonic
        self._documents = Documents()
        self._listed: dict[tuple[str, str, str], KubernetesObject] = {}
        self._before: dict[tuple[str, str, str], KubernetesObject] = {}
        self._is_log = False
        self._grew_at = monotonic()
        self._changed_ms = 0
        self._settled = True
        self._told_error = ""

    def close(self) -> None:
        self._file.close()

    def poll(self) -> Iterator[Change | ObjectProblem]:
        for piece in self._file.pieces():
            if piece.begins:
                yield from self._begin()
            yield from self._take(piece)
        if self._file.error != self._told_error:
            self._told_error = self._file.error
            if self._told_error:
                yield self._problem(0, "", "a file that can be read", self._told_error)
        if not self._settled and self._monotonic() - self._grew_at >= _QUIET_S:
            self._settled = True
            yield from self._settle()

    def _begin(self) -> Iterator[ObjectProblem]:
        yield from self._cut_off()
        self._documents = Documents()
        if not self._is_log:
            self._before = {**self._before, **self._listed}
        self._listed, self._is_log = {}, False

    def _take(self, piece: Piece) -> Iterator[Change | ObjectProblem]:
        self._grew_at, self._changed_ms, self._settled = self._monotonic(), piece.changed_ms, False
        for found in self._documents.feed(piece.data):
            if isinstance(found, Broken):
                yield self._problem(found.line, "", found.expected, found.found)
            else:
                yield from self._changes(found)
        self._file.rewritable = not self._is_log

    def _changes(self, document: Document) -> Iterator[Change | ObjectProblem]:
        if is_event(document.value) and not self._is_log:
            self._is_log, self._before, self._listed = True, {}, {}
        for found in changes(document.value, self._changed_ms):
            if isinstance(found, MalformedObject):
                yield self._problem(document.line, found.path, found.expected, found.found)
                continue
            if not self._is_log:
                meta = found.object.meta
                self._listed[meta.kind, meta.namespace, meta.name] = found.object
            yield found

    def _settle(self) -> Iterator[Change | ObjectProblem]:
        """The file is whole: what it listed before and does not list any more is gone, what is only half there stays so."""
        yield from self._cut_off()
        if not self._listed or self._documents.partial:
            return
        for key, thing in self._before.items():
            if key not in self._listed:
                yield Change(ChangeKind.DELETED, self._changed_ms, thing)
        self._before = {}

    def _cut_off(self) -> Iterator[ObjectProblem]:
        partial = self._documents.partial
        if partial is not None:
            yield self._problem(partial.line, "", partial.expected, partial.found)

    def _problem(self, line: int, path: str, expected: str, found: str) -> ObjectProblem:
        return ObjectProblem(str(self._file.path), line, path, expected, found)
