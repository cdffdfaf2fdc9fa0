# SPDX-License-Identifier: Apache-2.0
"""Kernel ticks as time: eBPF programs note jiffies, because reading a clock would cost them as much as parsing the packet."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CLOCK_MONOTONIC_COARSE = 6
"""Its resolution is the length of a tick (time.h; Python has no name for it)."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Where ticks stand on the wall clock, good for the minutes before it was made.

    Attributes:
        tick_ns: length of a tick.
        zero_ns: wall time of tick 0, in ns since 1970.
    """

    tick_ns: int
    zero_ns: int

    @classmethod
    def at(cls, tick: int, wall_ns: int) -> Ticks:
        """Tells that ``tick`` was at ``wall_ns``, on this kernel."""
        tick_ns = round(time.clock_getres(_CLOCK_MONOTONIC_COARSE) * 1e9)
        return cls(tick_ns, wall_ns - tick * tick_ns)

    def wall_ns(self, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Wall time of each tick, in ns since 1970."""
        return ticks.astype(np.int64) * self.tick_ns + self.zero_ns
