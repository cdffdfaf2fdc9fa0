# SPDX-License-Identifier: Apache-2.0
"""When what a node's kernel counted is over: it told of itself since, and nothing more of this."""

from __future__ import annotations

import pytest

from flowgauge.query.nodes import NEARLY_FULL, OVER_MS, congestion
from flowgauge.store.store import KERNEL, LedgerChange

MOVED_MS = 1_795_646_930_000


def over(*changes: LedgerChange) -> list[bool]:
    (found,) = congestion(changes)
    return [sign.over for sign in found.signs]


@pytest.mark.parametrize(("later_ms", "said"), [(0, False), (OVER_MS, False), (OVER_MS + 1, True)])
def test_a_counter_that_stood_still_while_its_node_told_of_itself_is_over(later_ms: int, said: bool) -> None:  # noqa: FBT001
    told = MOVED_MS + later_ms
    counter = LedgerChange(KERNEL, "node-a", "listen_overflows", 9, 9, MOVED_MS, told, 9)
    device = LedgerChange(KERNEL, "node-a", "device_in_dropped_packets@eth0", 4, 4, MOVED_MS, told, 4)
    assert over(counter, device) == [said, said]


def test_a_node_that_told_nothing_since_says_nothing_is_over() -> None:
    assert over(LedgerChange(KERNEL, "node-a", "listen_overflows", 9, 9, MOVED_MS, MOVED_MS + 5_000, 9)) == [False]


@pytest.mark.parametrize(("latest", "said"), [(round(100 * NEARLY_FULL), False), (round(100 * NEARLY_FULL) - 1, True)])
def test_a_full_connection_tracking_is_over_when_there_is_room_again(latest: int, said: bool) -> None:  # noqa: FBT001
    most = LedgerChange(KERNEL, "node-a", "conntrack_entries_max", 0, 100, MOVED_MS, MOVED_MS + 2 * OVER_MS, 100)
    assert over(
        LedgerChange(KERNEL, "node-a", "conntrack_entries", 90, 95, MOVED_MS, MOVED_MS + 2 * OVER_MS, latest), most
    ) == [said]


def test_what_goes_on_is_said_before_what_is_over() -> None:
    """Where there is room for two sentences only, a device that drops now is not left out for what is long over."""
    told = MOVED_MS + 2 * OVER_MS
    past = [
        LedgerChange(KERNEL, "node-a", name, 9, 9, MOVED_MS, told, 9) for name in ("listen_overflows", "cpu_dropped_packets")
    ]
    now = LedgerChange(KERNEL, "node-a", "device_in_dropped_packets@eth0", 4, 4, told, told, 4)
    (found,) = congestion([*past, now])
    counters = [sign.counter for sign in found.signs]
    assert counters == ["device_in_dropped_packets", "cpu_dropped_packets", "listen_overflows"]
