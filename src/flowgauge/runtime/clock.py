# SPDX-License-Identifier: Apache-2.0
"""Time, as one seam: wall time in nanoseconds since 1970 UTC."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives the wall time in ns; passed to whatever needs a clock, so that tests can set it."""

now_ns: Clock = time.time_ns

_LOOKS = 5


def boot_offset_ns() -> int:
    """What to add to a kernel monotonic time (``bpf_ktime_get_ns``, CLOCK_MONOTONIC) to get wall time, in ns.

    Whoever loses the processor between two looks at clocks is wrong by as long: the quickest of a few looks counts.
    """
    return min(_look() for _ in range(_LOOKS))[1]


def _look() -> tuple[int, int]:
    """How long it took to read both clocks, and how far they are apart."""
    before = time.monotonic_ns()
    wall = time.time_ns()
    after = time.monotonic_ns()
    return after - before, wall - (before + after) // 2
