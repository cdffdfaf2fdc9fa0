# SPDX-License-Identifier: Apache-2.0
"""By which rate sFlow data sources really sample, and how often they had to leave out a sample.

The rate that an agent is configured to is not what it achieves: by ``pool`` (packets that could have been sampled) and the
numbers of samples the real one is known, and by ``drops`` how often it had to leave out a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.wire.numbering import MAX_AHEAD, Items
from flowgauge.wire.packet_headers_bytes import Index, Numbers

_MAX_DROPS = 1 << 24
"""More at once is a counter that began anew."""


@dataclass(frozen=True, slots=True)
class SourceSampling:
    """How one data source samples.

    Attributes:
        agent_addr, sub_agent, source_type, source_index: which one (type 0: the index is an ifIndex).
        configured: one of so many packets, as its latest sample said.
        effective: packets seen for each sample taken, since we first heard of it; 0 when not known yet.
        taken: how many samples that are.
        drops: samples that it says to have left out.
    """

    agent_addr: bytes
    sub_agent: int
    source_type: int
    source_index: int
    configured: int
    effective: float
    taken: int
    drops: int


class Pools:
    """By place: the latest ``pool``, number, ``drops`` and rate of each data source, and how far each has come."""

    def __init__(self) -> None:
        self._known = np.zeros(0, np.bool_)
        self._last = np.zeros((3, 0), np.uint32)
        self._pool = self._taken = self._drops = np.zeros(0, np.int64)
        self._rate = np.zeros(0, np.int64)

    def observe(self, items: Items, drops: Numbers, pool: Numbers | None = None, rate: Numbers | None = None) -> int:
        """Adds what the latest sample of each source says; samples that the agents say to have dropped since."""
        self._grow(int(items.owner[-1]) + 1)
        owner = items.owner
        if rate is not None:
            self._rate[owner] = items.given(rate, items.last)
        fresh = ~self._known[owner]
        self._last[:, owner[fresh]] = self._values(items, items.first[fresh], drops, pool)
        self._known[owner] = True
        latest = self._values(items, items.last, drops, pool)
        taken, seen, dropped = (latest - self._last[:, owner]).astype(np.int64)
        follows = taken <= MAX_AHEAD
        self._taken[owner] += taken * follows
        self._pool[owner] += seen * follows
        dropped *= follows & (dropped <= _MAX_DROPS)
        self._drops[owner] += dropped
        backward = taken > 0xFFFFFFFF - MAX_AHEAD  # came late: what is remembered is newer
        self._last[:, owner] = np.where(backward, self._last[:, owner], latest)
        return int(dropped.sum())

    @staticmethod
    def _values(items: Items, at: Index, drops: Numbers, pool: Numbers | None) -> Numbers:
        """What ``_last`` keeps, of the numbers ``at`` these places of ``items``."""
        values = np.zeros((3, len(at)), np.uint32)
        values[0], values[2] = items.number[at], items.given(drops, at)
        if pool is not None:
            values[1] = items.given(pool, at)
        return values

    def rates(self, place: int) -> tuple[int, float, int, int]:
        """The configured and the effective rate, and how many samples were taken and left out."""
        if place >= len(self._known):
            return 0, 0.0, 0, 0
        taken = int(self._taken[place])
        effective = int(self._pool[place]) / taken if taken else 0.0
        return int(self._rate[place]), effective, taken, int(self._drops[place])

    def forget(self, places: Index) -> None:
        """Ends with these sources."""
        places = places[places < len(self._known)]
        self._known[places] = False
        self._pool[places] = self._taken[places] = self._rate[places] = self._drops[places] = 0

    def _grow(self, size: int) -> None:
        had = len(self._known)
        if size <= had:
            return
        more = max(size, 2 * had, 64) - had
        for name in ("_known", "_pool", "_taken", "_rate", "_drops"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros(more, array.dtype)]))
        self._last = np.concatenate([self._last, np.zeros((3, more), np.uint32)], axis=1)
