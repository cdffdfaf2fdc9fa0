# SPDX-License-Identifier: Apache-2.0
"""The time range of a request."""

from __future__ import annotations

import pytest

from flowgauge.console.window import DEFAULT_MS, MAX_MS, WANTED_BINS, aligned, chosen, step_for
from flowgauge.errors import UsageError
from flowgauge.schema.duration import milliseconds
from flowgauge.schema.flow_query import Window

NOW = 1_800_000_000_000


def test_an_open_range_ends_just_ahead_of_now() -> None:
    assert chosen("", None, None, NOW) == Window(NOW + 1000 - DEFAULT_MS, NOW + 1000)
    assert chosen("5m", None, None, NOW) == Window(NOW + 1000 - 300_000, NOW + 1000)
    assert chosen("", 5, 10, NOW) == Window(5, 10)
    assert chosen("10ms", None, 100, NOW) == Window(90, 100)
    assert chosen("5m", NOW - 1, None, NOW) == Window(NOW - 1, NOW + 1000)


@pytest.mark.parametrize(
    ("since", "start", "end"), [("5 m", None, None), ("", 10, 10), ("", 11, 10), ("", 0, MAX_MS + 1), ("m", None, None)]
)
def test_ranges_that_are_none_are_refused(since: str, start: int | None, end: int | None) -> None:
    with pytest.raises(UsageError):
        chosen(since, start, end, NOW)


@pytest.mark.parametrize(
    ("text", "ms"), [("1ms", 1), ("2s", 2000), ("15m", 900_000), ("1h", 3_600_000), ("7d", 604_800_000), ("1w", 604_800_000)]
)
def test_durations(text: str, ms: int) -> None:
    assert milliseconds(text) == ms


@pytest.mark.parametrize("length_ms", [1000, 60_000, 15 * 60_000, 3_600_000, 86_400_000, MAX_MS])
def test_bins_are_few_and_keep_their_place(length_ms: int) -> None:
    step = step_for(Window(NOW - length_ms, NOW), 0)
    window = aligned(Window(NOW - length_ms, NOW), step)
    assert (window.end_ms - window.start_ms) / step <= WANTED_BINS + 1
    assert window.start_ms % step == 0
    later = aligned(Window(NOW - length_ms + step // 2, NOW + step // 2), step)
    assert (later.start_ms - window.start_ms) % step == 0
    assert step_for(window, 777) == 777
    assert step_for(window, 10**30) == window.end_ms - window.start_ms
