# SPDX-License-Identifier: Apache-2.0
"""A file that grows, is truncated, rewritten or replaced by another of its name, as pieces of bytes in order.

After: ``object_files``. Used by one thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_READ_BYTES = 64 * 1024 * 1024
"""Much at once: a document that is not complete yet is parsed again with each piece."""
_TAIL_BYTES = 256
"""So many bytes before the end of what was read are compared, to tell a file that grew from one that was rewritten."""

MAX_POSITIONS = 1024
"""Files of which is remembered how far they were read, about 500 B each: a snapshot that is replaced again and again has
another inode each time. Beyond it the one that grew least recently goes."""

FileId = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file was read, and the last bytes up to there."""

    offset: int = 0
    tail: bytes = b""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that were added; ``begins``: they are the first of new content. ``changed_ms``: when the file was last written."""

    begins: bool
    data: bytes
    changed_ms: int


class GrowingFile:
    """Follows the file at ``path``, which need not be there yet.

    Args:
        path: the file; a new file of this name is read after the rest of the old one.
        positions: shared by the files of a folder, so that a log that was renamed there is not read again.

    Attributes:
        rewritable: content changed although nothing was added means that the whole file is new (it is no log).
        error: why the file cannot be read; empty while it can.
    """

    def __init__(self, path: Path, positions: dict[FileId, Position]) -> None:
        self.path, self.rewritable, self.error = path, False, ""
        self._positions = positions
        self._file: BinaryIO | None = None
        self._id: FileId = (0, 0)
        self._at = Position()
        self._changed_ns = 0
        self._begins = True

    def close(self) -> None:
        """Lets go of the file; safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def pieces(self) -> Iterator[Piece]:
        """What there is now and was not given before."""
        while self._file is not None or self._open():
            assert self._file is not None  # noqa: S101 - `_open` opened it
            if self._rewritten(self._file):
                self._at, self._begins = Position(), True
            yield from self._growth(self._file)
            if not self._replaced():
                return
            self.close()

    def _open(self) -> bool:
        try:  # without waiting: opening a named pipe would wait for its writer
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            self.error = error.strerror or str(error)
            return False
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            self.error = "a pipe, a device or a folder"
            return False
        self._take_over(os.fdopen(descriptor, "rb"), status)
        return True

    def _take_over(self, file: BinaryIO, status: os.stat_result) -> None:
        self._file, self._id, self.error = file, (status.st_dev, status.st_ino), ""
        known = self._positions.get(self._id, Position())
        self._at = known if self._ends_with(file, known) else Position()
        self._changed_ns, self._begins = status.st_mtime_ns, True

    def _growth(self, file: BinaryIO) -> Iterator[Piece]:
        while data := self._next(file):
            self._at = Position(self._at.offset + len(data), (self._at.tail + data)[-_TAIL_BYTES:])
            self._remember()
            begins, self._begins = self._begins, False
            yield Piece(begins, data, self._changed_ns // 1_000_000)

    def _remember(self) -> None:
        self._positions.pop(self._id, None)
        self._positions[self._id] = self._at  # last in the dict: grew most recently
        if len(self._positions) > MAX_POSITIONS:
            del self._positions[next(iter(self._positions))]

    def _next(self, file: BinaryIO) -> bytes:
        """The bytes behind those that were read; asked for only where there are any, since room for them is made first."""
        left = os.fstat(file.fileno()).st_size - self._at.offset
        return os.pread(file.fileno(), min(left, _READ_BYTES), self._at.offset) if left > 0 else b""

    def _rewritten(self, file: BinaryIO) -> bool:
        status = os.fstat(file.fileno())
        changed, self._changed_ns = status.st_mtime_ns != self._changed_ns, status.st_mtime_ns
        if status.st_size < self._at.offset:
            return True
        if not changed or not self._at.offset:
            return False
        return (self.rewritable and status.st_size == self._at.offset) or not self._ends_with(file, self._at)

    def _replaced(self) -> bool:
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) != self._id

    @staticmethod
    def _ends_with(file: BinaryIO, position: Position) -> bool:
        start = position.offset - len(position.tail)
        return os.pread(file.fileno(), len(position.tail), start) == position.tail
