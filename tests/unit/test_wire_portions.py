# SPDX-License-Identifier: Apache-2.0
"""Portions hold every datagram once, in order, and as many flows as a batch should."""

from __future__ import annotations

import pytest

from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.portions import FLOWS, Portions


def block(count: int) -> Datagrams:
    return Datagrams.from_payloads([number.to_bytes(4, "big") for number in range(count)])


@pytest.mark.parametrize("flows_each", [0, 1, 6, 30, 1000, 100_000])
def test_every_datagram_is_in_one_portion_in_order(flows_each: int) -> None:
    portions = Portions()
    for count in (0, 1, 2, 4096, 100):
        parts = list(portions.of(block(count)))
        assert [bytes(row[:4]) for part in parts for row in part.payloads] == [n.to_bytes(4, "big") for n in range(count)]
        assert all(len(part) for part in parts)
        for part in parts:
            portions.note(len(part), len(part) * flows_each)


@pytest.mark.parametrize(("flows_each", "expected"), [(6, 1), (30, 2), (60, 4)])
def test_portions_are_as_large_as_what_datagrams_held_lately_says(flows_each: int, expected: int) -> None:
    portions = Portions()
    for _ in range(30):
        portions.note(4096, 4096 * flows_each)
    parts = list(portions.of(block(4096)))
    assert len(parts) == expected
    assert max(len(part) for part in parts) * flows_each <= 1.5 * FLOWS
