# SPDX-License-Identifier: Apache-2.0
"""A text that is written anew again and again, and read after a crash: the latest one that is whole.

The file has two places, which are written in turn, each with a number that goes up and a checksum. So whatever a writer left
half done is not what was there before; and no file is made, renamed and removed each time, which takes six times as long.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

_PLACE_BYTES = 1 << 16
"""Of each text, its header included; ledgers have 8 kB at most."""
_HEADER = struct.Struct("<IIQ")
"""CRC-32 of what follows it, bytes of the text, number."""


class Notes:
    """Opened when first written; ``path`` need not be there before."""

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._number = path, -1, 0

    def put(self, text: bytes) -> None:
        """Replaces the text, all of it or nothing; OSError when it cannot be written.

        Files that somebody wrote before are not written to: numbers begin anew. ValueError where it is too long for its place.
        """
        if _HEADER.size + len(text) > _PLACE_BYTES:
            raise ValueError(f"{self._path}: {len(text):,} bytes are more than its place has")
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        number = self._number + 1
        rest = _HEADER.pack(0, len(text), number)[4:] + text
        whole = zlib.crc32(rest).to_bytes(4, "little") + rest
        if os.pwrite(self._file, whole, number % 2 * _PLACE_BYTES) != len(whole):
            raise OSError(f"{self._path}: not written whole")
        self._number = number

    def latest(self) -> bytes:
        """The text; FileNotFoundError where none was ever written, ValueError where none is whole."""
        content = self._path.read_bytes()
        found = [one for place in range(2) if (one := _read(content[place * _PLACE_BYTES :])) is not None]
        if not found:
            raise ValueError(f"{self._path}: no text that is whole")
        return max(found)[1]

    def close(self) -> None:
        """Gives the file back; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _read(place: bytes) -> tuple[int, bytes] | None:
    """Number and text of a place; None when it has none that is whole."""
    if len(place) < _HEADER.size:
        return None
    checksum, length, number = _HEADER.unpack_from(place)
    end = _HEADER.size + length
    if len(place) < end or zlib.crc32(place[4:end]) != checksum:
        return None
    return number, place[_HEADER.size : end]
