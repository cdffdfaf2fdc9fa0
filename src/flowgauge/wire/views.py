# SPDX-License-Identifier: Apache-2.0
"""Big-endian integers at any offsets of one byte buffer, many at a time: headers of a whole batch are read at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Octets = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Structured = npt.NDArray[Any]


class ByteView:
    """Views of ``buffer`` that take an array of byte offsets: ``view.u16[offsets]``. The caller keeps offsets in bounds.

    Args:
        buffer: uint8, one-dimensional and contiguous.
    """

    __slots__ = ("memory", "octets", "u16", "u32")

    def __init__(self, buffer: Octets) -> None:
        self.octets = buffer
        self.memory = buffer.data
        self.u16 = _unaligned(buffer, ">u2")
        self.u32 = _unaligned(buffer, ">u4")

    def rows(self, at: Offsets, size: int) -> Octets:
        """The ``size`` bytes from each offset, uint8 (n, size): as one piece each, however many they are."""
        pieces = _unaligned(self.octets, f"V{size}")[at]
        return pieces.view(np.uint8).reshape(len(at), size)


def _unaligned(buffer: Octets, dtype: str) -> npt.NDArray[Any]:
    kind = np.dtype(dtype)
    count = max(0, len(buffer) - kind.itemsize + 1)
    return np.ndarray((count,), kind, buffer=buffer.data if count else bytes(kind.itemsize), strides=(1,))
