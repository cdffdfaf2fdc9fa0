# SPDX-License-Identifier: Apache-2.0
"""Bound filter tree → which rows of a batch pass: the compiler for live flows.

The stores' compilers (``store.clickhouse.where``) choose the same rows; a property test holds them together. Names are
compared once for each distinct value that rows use. The batch has been normalised; a column it lacks is absent in every row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.column import Column, Kind
from flowgauge.schema.filters.automaton import automaton
from flowgauge.schema.filters.tree import And, Bound, Const, InRange, Match, Not, OneOf, Or, Within

Mask = npt.NDArray[np.bool_]


def mask(where: Bound, batch: FlowBatch) -> Mask:
    """True for each row of ``batch`` that passes ``where``; shape (n,)."""
    match where:
        case Const(value):
            return np.full(len(batch), value, np.bool_)
        case And(items):
            return _combined(np.logical_and, items, batch, empty=True)
        case Or(items):
            return _combined(np.logical_or, items, batch, empty=False)
        case Not(item):
            return ~mask(item, batch)
        case _:
            return _leaf(where, batch)


def _leaf(where: OneOf | InRange | Within | Match, batch: FlowBatch) -> Mask:
    match where:
        case OneOf(column, values):
            return _one_of(column, values, batch)
        case InRange(column, low, high):
            return _in_range(batch.array(column.physical), low, high)
        case Within(column, low, high):
            return _within(batch.array(column.physical), low, high)
        case Match(column, pattern):
            return _by_text(batch.names(column.physical), _items(column), automaton(pattern).search)


def _combined(join: np.ufunc, items: tuple[Bound, ...], batch: FlowBatch, *, empty: bool) -> Mask:
    """Stops as soon as no further item can change the answer."""
    result = np.full(len(batch), empty, np.bool_)
    for item in items:
        join(result, mask(item, batch), out=result)
        if not (result.any() if empty else not result.all()):
            break
    return result


def _one_of(column: Column, values: tuple[int | bytes | str, ...], batch: FlowBatch) -> Mask:
    if column.kind in (Kind.NAMES, Kind.LIST):
        return _by_text(batch.names(column.physical), _items(column), frozenset(values).__contains__)
    data = batch.array(column.physical)
    if column.kind in (Kind.ADDR, Kind.MAC):
        return _rows_among(data, [value for value in values if isinstance(value, bytes)])
    info = np.iinfo(data.dtype)
    possible = [value for value in values if isinstance(value, int) and info.min <= value <= info.max]
    if len(possible) == 1:
        return np.asarray(data == data.dtype.type(possible[0]), np.bool_)
    return np.isin(data, np.array(possible, data.dtype))


def _in_range(data: npt.NDArray[np.integer], low: int | None, high: int | None) -> Mask:
    """Bounds beyond what the column can hold are decided here: numpy would refuse to convert them."""
    info = np.iinfo(data.dtype)
    if (low is not None and low > info.max) or (high is not None and high < info.min):
        return np.zeros(len(data), np.bool_)
    inside = np.ones(len(data), np.bool_)
    if low is not None and low > info.min:
        inside &= data >= data.dtype.type(low)
    if high is not None and high < info.max:
        inside &= data <= data.dtype.type(high)
    return inside


def _within(data: npt.NDArray[np.uint8], low: bytes, high: bytes) -> Mask:
    """Addresses compare as their two big-endian halves."""
    halves = np.ascontiguousarray(data).view(">u8").reshape(-1, 2)
    upper, lower = halves[:, 0], halves[:, 1]
    (low_upper, low_lower), (high_upper, high_lower) = (np.frombuffer(edge, ">u8") for edge in (low, high))
    after = (upper > low_upper) | ((upper == low_upper) & (lower >= low_lower))
    before = (upper < high_upper) | ((upper == high_upper) & (lower <= high_lower))
    return np.asarray(after & before, np.bool_)


def _rows_among(data: npt.NDArray[np.uint8], values: list[bytes]) -> Mask:
    """Which rows of (n, width) bytes equal one of ``values``."""
    whole = np.dtype((np.void, data.shape[1]))
    rows = np.ascontiguousarray(data).view(whole).reshape(-1)
    found = np.zeros(len(data), np.bool_)
    for value in values:
        found |= rows == np.frombuffer(value, whole)[0]
    return found


def _by_text(names: Names, items: Callable[[str], list[str]], passes: Callable[[str], bool]) -> Mask:
    """Judges each distinct text that occurs once, in lower case: does one of its items pass?"""
    used: npt.NDArray[np.integer] = np.arange(len(names.values))
    codes: npt.NDArray[np.integer] = names.codes
    if len(names.values) > len(names.codes):  # rows taken from a large batch keep its whole dictionary
        used, codes = np.unique(names.codes, return_inverse=True)
    texts = (names.values[code].lower() for code in used.tolist())
    verdicts = np.fromiter((any(map(passes, items(text))) for text in texts), np.bool_, len(used))
    return np.asarray(verdicts[codes.reshape(-1)], np.bool_)


def _items(column: Column) -> Callable[[str], list[str]]:
    """What a text is compared as: a list by its items, a name by itself."""
    return (lambda text: text.split(",")) if column.kind is Kind.LIST else (lambda text: [text])
