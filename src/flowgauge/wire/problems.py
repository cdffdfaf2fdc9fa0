# SPDX-License-Identifier: Apache-2.0
"""Collects what is malformed in one batch: which datagrams (exactly), and the first few places in words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.wire.decoded import Problem
from flowgauge.wire.views import Offsets

MAX_PROBLEMS = 32
"""Places described a batch: enough for a log that is rate-limited anyway; a flood of garbage costs no memory."""


class Problems:
    """The problems of a batch of datagrams.

    Args:
        senders: uint8 (n, 16), the datagrams' source addresses.
        bases: int64 (n,), where each datagram begins in the buffer, so that offsets count from its own first byte.
    """

    def __init__(self, senders: npt.NDArray[np.uint8], bases: Offsets) -> None:
        self._senders, self._bases = senders, bases
        self._malformed = np.zeros(len(bases), np.bool_)
        self._elsewhere = 0
        self.found: list[Problem] = []

    @property
    def datagrams(self) -> int:
        """How many datagrams have a malformed part."""
        return int(np.count_nonzero(self._malformed)) + self._elsewhere

    def add(self, datagram: int, at: int, cause: str, expected: str, found: str) -> None:
        """Names one malformed place: offset ``at`` of the buffer, in ``datagram``."""
        self._malformed[datagram] = True
        if len(self.found) < MAX_PROBLEMS:
            offset = at - int(self._bases[datagram])
            self.found.append(Problem(self._senders[datagram].tobytes(), cause, offset, expected, found))

    def add_all(self, datagrams: Offsets, at: Offsets, cause: str, expected: Offsets | str, found: Offsets | str) -> None:
        """The same for many: ``expected`` and ``found`` are one text or one number each."""
        self._malformed[datagrams] = True
        for row in range(min(len(datagrams), MAX_PROBLEMS - len(self.found))):
            wanted = expected if isinstance(expected, str) else str(int(expected[row]))
            seen = found if isinstance(found, str) else str(int(found[row]))
            self.add(int(datagrams[row]), int(at[row]), cause, wanted, seen)

    def include(self, other: Problems) -> None:
        """Adds what was found in sets that had waited; their datagrams are counted by themselves."""
        self._elsewhere += other.datagrams
        self.found += other.found[: MAX_PROBLEMS - len(self.found)]
