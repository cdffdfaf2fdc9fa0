# SPDX-License-Identifier: Apache-2.0
"""The bytes of one file, read once from front to back: regular files, pipes and compressed files are the same to a reader."""

from __future__ import annotations

from collections.abc import Callable

Read = Callable[[int], bytes]
"""Gives so many bytes, fewer only at the end of the file (as ``read`` of a buffered binary file does)."""

SKIP_BYTES = 1 << 20
"""Bytes read at once of what nobody wants."""


class Source:
    """A file being read.

    Attributes:
        at: offset of the next byte.
    """

    __slots__ = ("_ahead", "_read", "at")

    def __init__(self, read: Read) -> None:
        self._read = read
        self._ahead = b""
        self.at = 0

    def peek(self, count: int) -> bytes:
        """The next ``count`` bytes, which stay unread; fewer at the end."""
        if len(self._ahead) < count:
            self._ahead += self._read(count - len(self._ahead))
        return self._ahead[:count]

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes; fewer at the end. The caller bounds ``count``, since memory is taken for all of them."""
        if self._ahead:
            found, self._ahead = self._ahead[:count], self._ahead[count:]
            if len(found) < count:
                found += self._read(count - len(found))
        else:
            found = self._read(count)
        self.at += len(found)
        return found

    def skip(self, count: int) -> bool:
        """Passes over ``count`` bytes; False when the file ends before."""
        while count:
            passed = len(self.take(min(count, SKIP_BYTES)))
            if not passed:
                return False
            count -= passed
        return True
