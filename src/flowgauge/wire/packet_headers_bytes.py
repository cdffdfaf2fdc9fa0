# SPDX-License-Identifier: Apache-2.0
"""Bytes at many places of one buffer, a row each: what ``packet_headers`` and ``sflow`` read fields from.

Taking 64 bytes at an offset costs as much as taking two. So a header is taken whole, once, and its fields are columns of a
small matrix; reading each field at its own offset would cost ten times that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.wire.views import Octets, Offsets

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]

SLACK_BYTES = 256
"""Bytes that must lie behind the last datagram of a buffer: rows taken near its end may reach beyond it."""
_WORD_BYTES = 8


class Windows:
    """Rows of bytes of ``buffer``: uint8, one-dimensional, contiguous; ``SLACK_BYTES`` behind what offsets point to.

    Rows that will be asked for piece by piece are taken once by ``keep``.
    """

    __slots__ = ("_base", "_buffer", "_kept", "_views")

    def __init__(self, buffer: Octets) -> None:
        self._buffer = buffer
        self._views: dict[int, Numbers] = {}
        self._base: Offsets = np.zeros(0, np.int64)
        self._kept: Octets = np.zeros((0, 0), np.uint8)

    def keep(self, at: Offsets, size: int) -> None:
        """Takes ``size`` bytes from each offset, once for all that is asked for within them, unless they are kept already."""
        if len(at) and self._within(at, size) is None:
            self._kept, self._base = self._rows(at, size), at

    def take(self, at: Offsets, size: int) -> Octets:
        """The ``size`` (≤ ``SLACK_BYTES``) bytes from each offset, uint8 (n, size), not to be written to.

        What lies behind a packet's end is noise.
        """
        kept = self._within(at, size)
        return self._rows(at, size) if kept is None else kept

    def words(self, at: Offsets, count: int) -> npt.NDArray[np.int64]:
        """``count`` big-endian 32-bit words from each offset, shape (count, n)."""
        words = (
            self.take(at, 4 * count).view(">u4").T.astype(np.uint32)
        )  # swapped, then widened: half the price of both at once
        return words.astype(np.int64)

    def _rows(self, at: Offsets, size: int) -> Octets:
        view = self._views.get(size)
        if view is None:
            count = max(0, len(self._buffer) - size + 1)
            kind = np.dtype(np.uint64 if size == _WORD_BYTES else (np.void, size))  # numpy gathers numbers faster than pieces
            view = np.ndarray((count,), kind, buffer=self._buffer.data, strides=(1,))
            self._views[size] = view
        return view[at].view(np.uint8).reshape(len(at), size)

    def _within(self, at: Offsets, size: int) -> Octets | None:
        """The columns of the kept rows that these bytes are, if they are the same of every row."""
        if len(at) != len(self._base) or not len(at):
            return None
        far = int(at[0] - self._base[0])
        if far < 0 or far + size > self._kept.shape[1]:
            return None
        if at is not self._base and not (at == (self._base + far if far else self._base)).all():
            return None
        return self._kept[:, far : far + size]


def with_slack(buffer: Octets, last: int) -> Octets:
    """``buffer``, or a copy with ``SLACK_BYTES`` behind offset ``last`` where it has fewer."""
    missing = last + SLACK_BYTES - len(buffer)
    return buffer if missing <= 0 else np.concatenate([buffer, np.zeros(missing, np.uint8)])


def be16(rows: Octets, at: int) -> Numbers:
    """The 16-bit field at byte ``at`` of each row, a big-endian view."""
    return rows[:, at : at + 2].view(">u2")[:, 0]


def narrowed(chosen: Mask, *arrays: Numbers) -> tuple[Numbers, ...]:
    """Each array's chosen rows; the arrays themselves when all are."""
    if chosen.all():
        return arrays
    index = np.flatnonzero(chosen)
    return tuple(array[index] for array in arrays)
