# SPDX-License-Identifier: Apache-2.0
"""The values that a field of the filter has in a window, by their share of the bytes: what completion offers.

Each key pressed asks, so an answer is kept for a few seconds. Blocking: run on a store's thread. Before it: the store.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

from flowgauge.errors import FlowgaugeError
from flowgauge.schema.column import Cardinality, Column, Kind, Role
from flowgauge.schema.filters import ValueShare
from flowgauge.schema.filters.fields import Field
from flowgauge.schema.flow_query import FlowQuery, Measure, Window
from flowgauge.store.answer import Answer
from flowgauge.store.store import FlowStore

KEPT_MS = 10_000
MAX_KEPT = 64
"""Fields and windows remembered; a page uses a handful."""

MAX_GROUPS = 1000
"""Groups looked at: what is not among them is a small part of the traffic."""

MAX_VALUES = 200


class TopValues:
    """Values by share, from one store or another; may be asked from several threads."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, str, int], tuple[int, tuple[ValueShare, ...]]] = OrderedDict()

    def of(self, store: FlowStore, field: Field, window: Window) -> Sequence[ValueShare]:
        """The largest values of ``field``; none where values are too many to name, or the store cannot tell."""
        if not _offered(field.columns[0]):
            return ()
        key = (id(store), field.name, window.end_ms - window.start_ms)
        now = self._now_ms()
        with self._lock:
            until, found = self._kept.get(key, (0, ()))
        if now < until <= now + KEPT_MS:  # not where the clock was set back since
            return found
        try:
            found = _ask(store, field, window)
        except FlowgaugeError:  # not stored, or not now: completion does without
            found = ()
        with self._lock:
            self._kept[key] = (now + KEPT_MS, found)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return found


def _ask(store: FlowStore, field: Field, window: Window) -> tuple[ValueShare, ...]:
    names = tuple(column.name for column in field.columns if column.kind is not Kind.ADDR or len(field.columns) < 3)
    # Both ends of a flow may have the same name: those are asked for together and counted once.
    together = [names] if field.columns[0].kind is Kind.NAMES and len(names) == 2 else [(name,) for name in names]
    answers = [store.query(_query(window, keys)) for keys in together]
    total = float(answers[0].total.values.get(Measure.BYTES) or 0)
    sums: Counter[str] = Counter()
    for answer in answers:
        sums.update(_by_value(answer))
    shares = (ValueShare(value, min(1.0, size / total) if total else None) for value, size in sums.most_common(MAX_VALUES))
    return tuple(shares)


def _offered(column: Column) -> bool:
    """Counters and times have no values worth offering."""
    if column.role in (Role.MEASURE, Role.TIME):
        return False
    return column.kind is not Kind.LIST and not (column.cardinality is Cardinality.HIGH and column.kind is Kind.U64)


def _query(window: Window, names: tuple[str, ...]) -> FlowQuery:
    return FlowQuery(window=window, group_by=names, measures=(Measure.BYTES,), order_by="bytes", limit=MAX_GROUPS)


def _by_value(answer: Answer) -> Counter[str]:
    sums: Counter[str] = Counter()
    for group in answer.groups:
        for value in {str(value) for value in group.key.values() if value is not None}:
            sums[value] += int(group.values.get(Measure.BYTES) or 0)
    return sums
