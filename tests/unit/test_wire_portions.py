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


@pytest.mark.parametrize(("flows_each", "expected"), [(6, 1), (30, 4), (60, 8)])
def test_portions_are_as_large_as_what_datagrams_held_lately_says(flows_each: int, expected: int) -> None:
    portions = Portions()
    for _ in range(30):
        portions.note(4096, 4096 * flows_each)
    parts = list(portions.of(block(4096)))
    assert len(parts) == expected
    assert max(len(part) for part in parts) * flows_each <= 1.5 * FLOWS


def test_the_guess_rises_at_once_and_falls_slowly() -> None:
    """A batch of more flows than fit takes memory of its own; one of too few costs little."""
    portions = Portions()
    for _ in range(30):
        portions.note(4096, 4096 * 6)
    portions.note(4096, 4096 * 60)
    assert len(list(portions.of(block(4096)))) == 8
    portions.note(4096, 4096 * 6)
    assert len(list(portions.of(block(4096)))) == 6


def test_the_first_block_of_full_netflow5_datagrams_is_no_larger_than_a_batch_should_be() -> None:
    """Before anything was decoded, and after a few datagrams with templates alone."""
    portions = Portions()
    assert max(len(part) for part in portions.of(block(4096))) * 30 <= FLOWS
    portions.note(4, 0)
    assert max(len(part) for part in portions.of(block(4096))) * 30 <= 1.5 * FLOWS


@pytest.mark.parametrize("flows", [1400, 65_000])
def test_one_datagram_of_very_many_flows_does_not_cut_all_that_follow_to_pieces(flows: int) -> None:
    """A template of one byte makes it, and each portion has a price of its own: a collector would be too slow for its flows."""
    portions = Portions()
    portions.note(1, flows)
    cut = 0
    for _ in range(10):
        for part in portions.of(block(1000)):
            portions.note(len(part), len(part) * 30)
            cut += 1
    assert cut < 60  # of ten blocks
    assert len(list(portions.of(block(1000)))) == 1
