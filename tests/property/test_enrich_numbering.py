# SPDX-License-Identifier: Apache-2.0
"""Addresses numbered from batch to batch are told apart exactly as sorting each batch would, whatever was there before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.enrich import numbering
from flowgauge.enrich.numbering import AddressNumbers
from flowgauge.flow.addresses import AddressColumn

BATCH = st.lists(st.integers(0, 40) | st.integers(0, 2**128 - 1), max_size=60)


def column(values: list[int]) -> AddressColumn:
    return np.frombuffer(b"".join(value.to_bytes(16, "big") for value in values), np.uint8).reshape(-1, 16)


def exact(numbers: AddressNumbers, rows: AddressColumn) -> None:
    """Each row is its address, each address is there once, and none that is in no row; one with a number is found by it."""
    found = numbers.distinct(rows)
    distinct = found.addresses
    assert np.array_equal(distinct[found.rows], rows)
    assert np.array_equal(numbers.find(distinct)[found.numbers >= 0], found.numbers[found.numbers >= 0])
    assert len(set(map(bytes, distinct))) == len(distinct)
    assert set(map(bytes, distinct)) == set(map(bytes, rows))


@given(st.lists(BATCH, max_size=6), st.integers(8, 1 << 18))
def test_like_sorting_each_batch(batches: list[list[int]], most: int) -> None:
    """Also when the table overflows in between."""
    numbers = AddressNumbers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbering, "MAX_ADDRESSES", most)
        for batch in batches:
            exact(numbers, column(batch))


def test_many_addresses_and_hashes_that_all_collide() -> None:
    random = np.random.default_rng(1)
    numbers = AddressNumbers()
    for _ in range(3):
        exact(numbers, random.integers(0, 256, (20_000, 16), np.uint8))
    unlucky = AddressNumbers()
    unlucky._hashes = lambda pairs: np.zeros(len(pairs), np.uint64)  # type: ignore[method-assign]
    exact(unlucky, column(list(range(numbering.MAX_PROBES)) * 3))
