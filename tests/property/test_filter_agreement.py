# SPDX-License-Identifier: Apache-2.0
"""One meaning, two compilers: for any filter, the numpy mask and the SQL of the real store choose the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filter_kit import GROUPS, batch, filters
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.mask import mask
from flowgauge.schema.filters import bound
from flowgauge.schema.filters.tree import Bound
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store.store import FlowStore
from store_kit import now_ms, running_store

ROWS = 600
NOW_MS = now_ms()
FILTERS = filters(NOW_MS)


@dataclass(frozen=True)
class Stored:
    """A batch, and the store that has the same rows. ``packets`` is each row's number."""

    flows: FlowBatch
    store: FlowStore

    def by_sql(self, where: Bound) -> set[int]:
        window = Window(NOW_MS - 120_000, NOW_MS + 120_000)
        found = self.store.flows(FlowQuery(window, where, columns=("packets",), limit=10 * ROWS, duplicates=True))
        return set(found.array("packets").tolist())

    def by_mask(self, where: Bound) -> set[int]:
        return set(self.flows.array("packets")[mask(where, self.flows)].tolist())


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    flows = batch(ROWS, seed=20261125, now_ms=NOW_MS).with_columns({"packets": np.arange(ROWS, dtype=np.uint64)})
    with running_store(tmp_path_factory.mktemp("store"), "--groups", ",".join(GROUPS)) as process:
        store = process.open()
        assert store.write(flows, "rows") == ROWS
        yield Stored(flows, store)


@settings(max_examples=100)
@given(text=FILTERS)
def test_mask_and_sql_choose_the_same_rows(stored: Stored, text: str) -> None:
    where = bound(text)
    assert stored.by_sql(where) == stored.by_mask(where)


@pytest.mark.slow
@settings(max_examples=1000)
@given(text=FILTERS)
def test_mask_and_sql_choose_the_same_rows_for_many_more_filters(stored: Stored, text: str) -> None:
    where = bound(text)
    assert stored.by_sql(where) == stored.by_mask(where)


@settings(max_examples=50)
@given(text=FILTERS)
def test_a_filter_and_its_negation_share_no_row_and_leave_none(stored: Stored, text: str) -> None:
    chosen, others = stored.by_mask(bound(text)), stored.by_mask(bound(f"not ({text})"))
    assert not chosen & others
    assert len(chosen) + len(others) == ROWS


@settings(max_examples=50)
@given(text=FILTERS, rows=st.sets(st.integers(0, ROWS - 1), max_size=20))
def test_rows_taken_from_a_batch_are_judged_as_within_it(stored: Stored, text: str, rows: set[int]) -> None:
    """Such rows keep the whole dictionary of names, which is judged in another way."""
    where, chosen = bound(text), np.array(sorted(rows), np.intp)
    assert mask(where, stored.flows.take(chosen)).tolist() == mask(where, stored.flows)[chosen].tolist()


def test_filters_of_this_test_choose_some_rows_and_leave_some(stored: Stored) -> None:
    """Agreement about nothing would prove nothing."""
    sizes = []

    @settings(max_examples=50, database=None)
    @given(text=FILTERS)
    def look(text: str) -> None:
        sizes.append(len(stored.by_mask(bound(text))))

    look()
    assert sum(0 < size < ROWS for size in sizes) > len(sizes) / 3
