# SPDX-License-Identifier: Apache-2.0
"""Files with flow exports on this machine: folders listed, compressed ones read as what they hold, pipes as they come."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

from flowgauge.errors import UsageError, WireError
from flowgauge.wire.captures.source import Source


class _ArrowStream:
    """What a file holds compressed in a way that Python's own library does not know."""

    PIECE_BYTES = 4096
    """Read at once, so that little of what is before a damage goes with it."""

    def __init__(self, file: Any, codec: Literal["zstd", "lz4"]) -> None:
        import pyarrow as pa  # noqa: PLC0415 - 0.1 s, for few files

        self._stream = pa.CompressedInputStream(file, codec)

    def read1(self, count: int) -> bytes:
        """Up to ``count`` bytes; none at the end.

        Raises:
            EOFError: damaged from here on.
        """
        try:
            found: bytes = self._stream.read(min(count, self.PIECE_BYTES))
        except OSError as error:
            raise EOFError(str(error)) from error
        return found


_COMPRESSED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
    (b"\x28\xb5\x2f\xfd", partial(_ArrowStream, codec="zstd")),
    (b"\x04\x22\x4d\x18", partial(_ArrowStream, codec="lz4")),
)
"""First bytes, and what reads a file that begins with them."""
BUFFER_BYTES = 1 << 20
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def listed(paths: Sequence[Path]) -> list[Path]:
    """The files, in the order given; a folder stands for the files below it, by name. Hidden ones are left out.

    Raises:
        UsageError: a folder has none, or cannot be looked into.
    """
    found: list[Path] = []
    for path in paths:
        try:
            inside = _inside(path) if path.is_dir() else [path]
        except OSError as error:  # as of links below /proc, which nobody may follow
            raise UsageError(f"{error.filename or path}: {error.strerror}") from error
        if not inside:
            raise UsageError(f"{path}: no file in this folder")
        found += inside
    return found


def _inside(folder: Path) -> list[Path]:
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    return [one for one in files if not any(part.startswith(".") for part in one.relative_to(folder).parts)]


@contextmanager
def opened(path: Path) -> Iterator[tuple[Source, IO[bytes]]]:
    """A file to read once, and the file below it, whose ``tell`` says how far that is.

    Raises:
        UsageError: it cannot be opened, or (from the source) read.
    """
    try:
        file = path.open("rb", buffering=BUFFER_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    with file:
        yield Source(_reader(path, file)), file


def _reader(path: Path, below: Any) -> Callable[[int], bytes]:
    """Reads the file, or what it holds compressed; errors are ours."""
    take: Callable[[int], bytes] | None = None

    def read(count: int) -> bytes:
        nonlocal take
        try:
            take = take or _uncompressed(below)
            return take(count)
        except _DAMAGED as error:
            raise WireError("compressed", offset=below.tell(), expected="compressed data", found=str(error)) from error
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error

    return read


def _uncompressed(file: Any) -> Callable[[int], bytes]:
    head = file.peek(8)
    for magic, reader in _COMPRESSED:
        if head.startswith(magic):
            return partial(_up_to_damage, reader(file))
    plain: Callable[[int], bytes] = file.read
    return plain


def _up_to_damage(file: Any, count: int) -> bytes:
    """Reads ``count`` bytes; of damaged data those before the damage first, the next time its error."""
    parts: list[bytes] = []
    while count:
        try:
            part: bytes = file.read1(count)
        except _DAMAGED:
            if parts:
                break
            raise
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
