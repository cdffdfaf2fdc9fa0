# SPDX-License-Identifier: Apache-2.0
"""Collects what is malformed in one batch: which datagrams (exactly), and the first few places in words."""

from __future__ import annotations

from collections import Counter

import numpy as np

from flowgauge.wire.decoded import Problem
from flowgauge.wire.origins import Origins
from flowgauge.wire.views import Offsets

MAX_PROBLEMS = 32
"""Places described a batch: enough for a log that is rate-limited anyway; a flood of garbage costs no memory."""


class Problems:
    """The problems of a batch of datagrams.

    Args:
        origins: of the datagrams.
        limit: how many places are described.
        missing: int64 (n,), bytes at the end of each datagram that were sent and are not here; None: there are none.

    Attributes:
        causes: how many places there are of each cause, all of them.
        missing: the same, zeros where there are none. Such a datagram is named once, as cut; whoever finds that something in it
            does not end, because of that, names nothing.
    """

    def __init__(self, origins: Origins, limit: int = MAX_PROBLEMS, missing: Offsets | None = None) -> None:
        self._origins, self.limit = origins, limit
        self.missing = np.zeros(len(origins.base), np.int64) if missing is None else missing
        self._malformed = np.zeros(len(origins.base), np.bool_)
        self._elsewhere = 0
        self.causes = Counter[str]()
        self.found: list[Problem] = []

    @property
    def datagrams(self) -> int:
        """How many datagrams have a malformed part."""
        return int(np.count_nonzero(self._malformed)) + self._elsewhere

    def add(self, datagram: int, at: int, cause: str, expected: str, found: str) -> None:
        """Names one malformed place: offset ``at`` of the buffer, in ``datagram``."""
        self._malformed[datagram] = True
        self.causes[cause] += 1
        self._describe(datagram, at, cause, expected, found)

    def add_all(self, datagrams: Offsets, at: Offsets, cause: str, expected: Offsets | str, found: Offsets | str) -> None:
        """The same for many, or none: ``expected`` and ``found`` are one text or one number each."""
        if not len(datagrams):
            return
        self._malformed[datagrams] = True
        self.causes[cause] += len(datagrams)
        for row in range(min(len(datagrams), self.limit - len(self.found))):
            wanted = expected if isinstance(expected, str) else str(int(expected[row]))
            seen = found if isinstance(found, str) else str(int(found[row]))
            self._describe(int(datagrams[row]), int(at[row]), cause, wanted, seen)

    def include(self, other: Problems) -> None:
        """Adds what was found in sets that had waited; their datagrams are counted by themselves."""
        self._elsewhere += other.datagrams
        self.causes += other.causes
        self.found += other.found[: self.limit - len(self.found)]

    def _describe(self, datagram: int, at: int, cause: str, expected: str, found: str) -> None:
        if len(self.found) < self.limit:
            origins = self._origins
            sender, number = origins.source_addr[datagram].tobytes(), int(origins.number[datagram])
            self.found.append(Problem(sender, cause, at - int(origins.base[datagram]), expected, found, number))
