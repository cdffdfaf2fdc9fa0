# SPDX-License-Identifier: Apache-2.0
"""Nodes' counters step by step: what moved when, and where nothing was heard."""

from __future__ import annotations

import pytest

from flowgauge.query.node_history import MOST_STEPS, STEPS_MS, histories, step_for
from flowgauge.schema.flow_query import Window
from flowgauge.store.store import LedgerStep

TIMES = [0, 30_000, 60_000, 90_000]


def _step(node: str, name: str, number: int, moved: int = 0, largest: int = 0) -> LedgerStep:
    return LedgerStep(node, name, TIMES[number], moved, largest)


def test_a_step_in_which_nothing_was_heard_is_none_and_one_in_which_nothing_moved_is_0() -> None:
    (found,) = histories(
        [
            _step("a", "conntrack_entries", 1, largest=93), _step("a", "conntrack_entries_max", 1, largest=100),
            _step("a", "conntrack_entries", 3, largest=7), _step("a", "conntrack_entries_max", 3, largest=100),
            _step("a", "listen_overflows", 3, moved=12),
        ],
        TIMES,
    )  # fmt: skip
    assert found.counters == {"listen_overflows": [None, 0, None, 12]}
    assert found.tracked == [None, 0.93, None, 0.07]
    assert found.heard == [False, True, False, True]
    assert found.first_ms == 30_000


def test_a_counter_that_never_moved_and_connection_tracking_that_is_not_there_are_left_out() -> None:
    still = [("b", "listen_overflows"), ("a", "conntrack_entries"), ("a", "conntrack_entries_max")]
    found = histories([_step(node, name, 0) for node, name in still], TIMES)
    assert [(one.node, dict(one.counters), set(one.tracked)) for one in found] == [("a", {}, {None}), ("b", {}, {None})]


@pytest.mark.parametrize(
    ("length_ms", "step_ms"), [(60_000, 30_000), (1_800_000, 30_000), (3_600_000, 60_000), (7 * 86_400_000, 10_800_000)]
)
def test_a_step_is_the_smallest_of_which_there_are_few_enough(length_ms: int, step_ms: int) -> None:
    assert step_for(Window(0, length_ms)) == step_ms
    assert length_ms / step_ms <= MOST_STEPS
    assert min(STEPS_MS) > 20_000, "every counter is told of within 20 s"
