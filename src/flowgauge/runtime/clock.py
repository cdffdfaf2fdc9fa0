# SPDX-License-Identifier: Apache-2.0
"""Time, as one seam: wall time in nanoseconds since 1970 UTC."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives the wall time in ns; passed to whatever needs a clock, so that tests can set it."""

now_ns: Clock = time.time_ns


def boot_offset_ns() -> int:
    """What to add to a kernel monotonic time (``bpf_ktime_get_ns``, CLOCK_MONOTONIC) to get wall time, in ns."""
    return time.time_ns() - time.monotonic_ns()
