# SPDX-License-Identifier: Apache-2.0
"""Time, as one seam: wall time in nanoseconds since 1970 UTC, how the kernel's clock stands to it, and when it was set.

The wall clock is for telling people and other machines when something was; it may be set at any time, forward and back.
Whatever measures how long something takes, or is to be done again after a while, goes by the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives the wall time in ns; passed to whatever needs a clock, so that tests can set it."""

now_ns: Clock = time.time_ns

_LOOKS = 5
SET_NS = 1_000_000_000
"""The wall clock was set when it goes by so much more or less than the monotonic one between two looks: NTP's corrections are
steps of more than 128 ms, which change no window that we keep, or half a millisecond a second."""


def boot_offset_ns() -> int:
    """What to add to a kernel monotonic time (``bpf_ktime_get_ns``, CLOCK_MONOTONIC) to get wall time, in ns.

    Whoever loses the processor between two looks at clocks is wrong by as long: the quickest of a few looks counts.
    """
    return min(_look() for _ in range(_LOOKS))[1]


class ClockWatch:
    """Notices that the wall clock was set, or that the machine slept, while the monotonic one stands still."""

    def __init__(self, offset_ns: Callable[[], int] = boot_offset_ns) -> None:
        self._offset_ns = offset_ns
        self._before_ns = offset_ns()

    def moved_ns(self) -> int:
        """By how much the wall clock was set forward (above 0) or back since the last call; 0 when it was not."""
        now_ns = self._offset_ns()
        moved_ns, self._before_ns = now_ns - self._before_ns, now_ns
        return moved_ns if abs(moved_ns) >= SET_NS else 0


def _look() -> tuple[int, int]:
    """How long it took to read both clocks, and how far they are apart."""
    before = time.monotonic_ns()
    wall = time.time_ns()
    after = time.monotonic_ns()
    return after - before, wall - (before + after) // 2
