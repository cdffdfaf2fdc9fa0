# SPDX-License-Identifier: Apache-2.0
"""Settings that wait to be taken over."""

from __future__ import annotations

import queue

from flowgauge.runtime.newest import newest


def test_what_was_overtaken_is_left_out() -> None:
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert newest(waiting) is None
    for one in ("first", "second", "last"):
        waiting.put(one)
    assert newest(waiting) == "last"
    assert newest(waiting) is None
