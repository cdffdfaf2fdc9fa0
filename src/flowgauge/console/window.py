# SPDX-License-Identifier: Apache-2.0
"""The time range of a request: ``since=15m``, or ``from``/``to`` in ms since 1970. Pure; the clock is an argument."""

from __future__ import annotations

from flowgauge.errors import UsageError
from flowgauge.schema.duration import milliseconds
from flowgauge.schema.flow_query import Window

DEFAULT_MS = 15 * 60 * 1000
MAX_MS = 400 * 86_400_000
"""Longest range, a little over a year: what a longer one would cost is not what anybody meant."""

_STEPS_MS = (1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000,
             3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000, 7 * 86_400_000)  # fmt: skip
WANTED_BINS = 120
"""Bins of a chart when the client does not say: about one each 8 pixels."""


def chosen(since: str, start_ms: int | None, end_ms: int | None, now_ms: int) -> Window:
    """The window that a request means; the last 15 minutes when it does not say.

    The end of an open range lies one second ahead, so that a flow of this very moment is inside.
    """
    end = now_ms + 1000 if end_ms is None else end_ms
    start = start_ms if start_ms is not None else end - (milliseconds(since, "since") if since else DEFAULT_MS)
    if start >= end:
        raise UsageError("the time range ends before it begins")
    if end - start > MAX_MS:
        raise UsageError(f"the time range is longer than {MAX_MS // 86_400_000} days")
    return Window(start, end)


def step_for(window: Window, step_ms: int) -> int:
    """``step_ms``, or when 0 the smallest round step that gives at most ``WANTED_BINS`` bins; the window is the longest."""
    length = window.end_ms - window.start_ms
    wanted = step_ms or next((step for step in _STEPS_MS if length <= step * WANTED_BINS), _STEPS_MS[-1])
    return min(wanted, length)


def aligned(window: Window, step_ms: int) -> Window:
    """The window with its start moved back to a multiple of the step, so that bins keep their place between refreshes."""
    return Window(window.start_ms // step_ms * step_ms, window.end_ms)
