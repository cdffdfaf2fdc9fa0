# SPDX-License-Identifier: Apache-2.0
"""Memory that every batch needs and no batch keeps: taken again and again instead of being asked of the kernel each time.

Fresh memory costs a page fault every 4 KiB, which on virtual machines is ten times the cost of filling it.
"""

from __future__ import annotations

import numpy as np

from flowgauge.wire.views import Octets

MAX_KEPT_BYTES = 16 << 20
"""A buffer larger than what a batch of full datagrams needs is not kept."""
_HUGE_FROM_BYTES = 4 << 20
"""numpy asks the kernel for huge pages for arrays of at least so much (where it has them): one fault for each 2 MiB."""
_FEW_BYTES = 1 << 20


def fresh(size: int) -> Octets:
    """New memory of at least ``size`` bytes, beyond ``_FEW_BYTES`` in whole units of ``_HUGE_FROM_BYTES``.

    So it serves somewhat larger batches, too; what is never touched of it is never had.
    """
    return np.empty(size if size < _FEW_BYTES else -(-size // _HUGE_FROM_BYTES) * _HUGE_FROM_BYTES, np.uint8)


class Scratch:
    """Hands out parts of one buffer until ``reset``; what it handed out before must not be in use any more then."""

    __slots__ = ("_buffer", "_taken", "_wanted")

    def __init__(self) -> None:
        self._buffer: Octets = np.empty(0, np.uint8)
        self._taken = self._wanted = 0

    def reset(self) -> None:
        """Begins anew, with a buffer as large as was wanted since the last time."""
        if len(self._buffer) < self._wanted <= MAX_KEPT_BYTES:
            self._buffer = fresh(self._wanted)
        self._taken = self._wanted = 0

    def take(self, count: int) -> Octets:
        """``count`` bytes with any content."""
        self._wanted += count
        if self._taken + count > len(self._buffer):
            if self._wanted > MAX_KEPT_BYTES:
                return np.empty(count, np.uint8)
            self._buffer, self._taken = fresh(self._wanted), 0  # parts of the former one hold it for as long as they need it
        part = self._buffer[self._taken : self._taken + count]
        self._taken += count
        return part
