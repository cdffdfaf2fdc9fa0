# SPDX-License-Identifier: Apache-2.0
"""Files with flow exports on this machine: folders listed, compressed ones read as what they hold, pipes as they come."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from flowgauge.errors import UsageError, WireError
from flowgauge.wire.captures.source import Source

_COMPRESSED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.GzipFile),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)
"""First bytes, and what reads a file that begins with them."""
BUFFER_BYTES = 1 << 20
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def listed(paths: Sequence[Path]) -> list[Path]:
    """The files, in the order given; a folder stands for the files below it, by name. Hidden ones are left out."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file())
            found += [one for one in inside if not any(part.startswith(".") for part in one.relative_to(path).parts)]
        else:
            found.append(path)
    return found


@contextmanager
def opened(path: Path) -> Iterator[tuple[Source, IO[bytes]]]:
    """A file to read once, and the file below it, whose ``tell`` says how far that is.

    Raises:
        UsageError: it cannot be opened or read.
    """
    try:
        with path.open("rb", buffering=BUFFER_BYTES) as file:
            yield Source(_reader(file)), file
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _reader(file: Any) -> Callable[[int], bytes]:
    head = file.peek(8)
    for magic, uncompressed in _COMPRESSED:
        if head.startswith(magic):
            return _guarded(uncompressed(file))
    read: Callable[[int], bytes] = file.read
    return read


def _guarded(file: Any) -> Callable[[int], bytes]:
    def read(count: int) -> bytes:
        try:
            found: bytes = file.read(count)
        except _DAMAGED as error:
            raise WireError("compressed", offset=file.tell(), expected="compressed data", found=str(error)) from error
        return found

    return read
