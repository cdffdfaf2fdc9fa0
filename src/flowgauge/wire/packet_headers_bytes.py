# SPDX-License-Identifier: Apache-2.0
"""Bytes at many places of one buffer: what ``packet_headers`` and ``sflow`` read fields from.

Taking 64 bytes at an offset costs as much as taking two. So a header is taken whole, once, and laid out in columns of 32-bit
words, from which its fields are cut: reading each field at its own offset, or out of rows, would cost several times that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.wire.views import Octets, Offsets

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]
Words = npt.NDArray[np.uint32]

SLACK_BYTES = 256
"""Bytes that must lie behind the last datagram of a buffer: rows taken near its end may reach beyond it."""
_WORD_BYTES = 4
_AT_ONCE_BYTES = 1 << 17
"""Rows that are turned into columns at once: they are to stay in a core's own cache between."""
_NUMBERS: dict[int, type[np.generic]] = {4: np.uint32, 8: np.uint64}
"""Sizes that numpy gathers as numbers, faster than as pieces."""


class Windows:
    """Bytes of ``buffer``: uint8, one-dimensional, contiguous; ``SLACK_BYTES`` behind what offsets point to.

    What will be asked for word by word is taken once by ``keep``.
    """

    __slots__ = ("_base", "_buffer", "_kept", "_views")

    def __init__(self, buffer: Octets) -> None:
        self._buffer = buffer
        self._views: dict[int, Numbers] = {}
        self._base: Offsets = np.zeros(0, np.int64)
        self._kept: Words = np.zeros((0, 0), np.uint32)

    def keep(self, at: Offsets, size: int) -> None:
        """Takes ``size`` bytes (a multiple of 4) from each offset, once for all ``words`` within them."""
        if len(at) and self._far(at, size) is None:
            self._kept, self._base = self._columns(at, size // _WORD_BYTES), at

    def words(self, at: Offsets, count: int) -> Words:
        """``count`` big-endian 32-bit words from each offset, shape (count, n), not to be written to.

        What lies behind a packet's end is noise.
        """
        far = self._far(at, _WORD_BYTES * count)
        if far is None:
            return self._columns(at, count)
        first, over = divmod(far, _WORD_BYTES)
        if not over:
            return self._kept[first : first + count]
        if first + count >= len(self._kept):
            return self._columns(at, count)
        bits = np.uint32(8 * over)
        found: Words = self._kept[first : first + count] << bits
        found |= self._kept[first + 1 : first + 1 + count] >> (np.uint32(8 * _WORD_BYTES) - bits)
        return found

    def take(self, at: Offsets, size: int) -> Octets:
        """The ``size`` (≤ ``SLACK_BYTES``) bytes from each offset, a row each: uint8 (n, size)."""
        view = self._views.get(size)
        if view is None:
            count = max(0, len(self._buffer) - size + 1)
            kind = np.dtype(_NUMBERS.get(size, (np.void, size)))
            view = np.ndarray((count,), kind, buffer=self._buffer.data, strides=(1,))
            self._views[size] = view
        return view[at].view(np.uint8).reshape(len(at), size)

    def _columns(self, at: Offsets, count: int) -> Words:
        size = _WORD_BYTES * count
        found = np.empty((count, len(at)), np.uint32)
        step = _AT_ONCE_BYTES // size
        for row in range(0, len(at), step):
            found[:, row : row + step] = self.take(at[row : row + step], size).view(">u4").T
        return found

    def _far(self, at: Offsets, size: int) -> int | None:
        """How far behind the offsets kept these are, if it is the same of every one and ``size`` bytes lie within."""
        if len(at) != len(self._base) or not len(at):
            return None
        if at is self._base:
            return 0 if size <= _WORD_BYTES * len(self._kept) else None
        far = int(at[0] - self._base[0])
        if far < 0 or far + size > _WORD_BYTES * len(self._kept):
            return None
        return far if (at - self._base == far).all() else None


def with_slack(buffer: Octets, last: int) -> Octets:
    """``buffer``, or a copy with ``SLACK_BYTES`` behind offset ``last`` where it has fewer."""
    missing = last + SLACK_BYTES - len(buffer)
    return buffer if missing <= 0 else np.concatenate([buffer, np.zeros(missing, np.uint8)])


def be16(rows: Octets, at: int) -> Numbers:
    """The 16-bit field at byte ``at`` of each row, a big-endian view."""
    return rows[:, at : at + 2].view(">u2")[:, 0]


def row_bytes(words: Words) -> Octets:
    """Words (count, n) as bytes, a row each: uint8 (n, 4 × count)."""
    return np.ascontiguousarray(words.T, ">u4").view(np.uint8)


def mac_bytes(high: Words, low: Words) -> Octets:
    """MAC addresses, uint8 (n, 6), of their first four bytes and of the last two (the lower half of ``low``)."""
    found = np.empty((len(high), 3), ">u2")
    found[:, 0], found[:, 1], found[:, 2] = high >> np.uint32(16), high & np.uint32(0xFFFF), low & np.uint32(0xFFFF)
    return found.view(np.uint8)


def narrowed(chosen: Mask, *arrays: Numbers) -> tuple[Numbers, ...]:
    """Each array's chosen rows; the arrays themselves when all are."""
    if chosen.all():
        return arrays
    index = np.flatnonzero(chosen)
    return tuple(array[index] for array in arrays)
