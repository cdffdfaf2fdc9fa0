# SPDX-License-Identifier: Apache-2.0
"""Joins what each CPU's slots and the flow table have of a flow: one entry a flow, of those that counted a packet.

Functions of arrays. Before: :mod:`flowgauge.ebpf.cache` and the flow tables, whose entries without packets are notes about a
flow (``programs/notes.h``). Keys and starts are copied as blocks of bytes, several times faster than member by member, and
straight to where they stay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf import abi
from flowgauge.ebpf.map_reader import Entries, Room, as_rows, joined, rows_of
from flowgauge.ebpf.translations import hashes, match, words

_Words = npt.NDArray[np.uint64]
_Rows = npt.NDArray[np.intp]
_Flags = npt.NDArray[np.bool_]
_Points = npt.NDArray[np.uint32]
_Later = list[tuple[_Rows | slice, _Rows]]
_KEY_WORDS = abi.FLOW_KEY.itemsize // 8
_KEY, _START = f"V{abi.FLOW_KEY.itemsize}", f"V{abi.CACHE_START.itemsize}"
"""As blocks of bytes."""
_START_AT = abi.FLOW_VALUE.itemsize - abi.CACHE_START.itemsize
_WITH_START = np.dtype({"names": ["start"], "formats": [_START], "offsets": [_START_AT], "itemsize": abi.FLOW_VALUE.itemsize})
_COUNTED = {"packets": np.add, "bytes": np.add, "last_tick": np.maximum, "tcp_flags": np.bitwise_or}
"""What grows with each packet of a flow, and how parts of it become one."""
_NEVER = np.uint64(np.iinfo(np.uint64).max)


def add_slots(slots: abi.Structured, starts: abi.Structured, flows: Room) -> None:
    """Adds the flows of slots (``abi.CACHE_SLOT``) and of what began in them (``abi.CACHE_START``), row by row: each once.

    Packets and bytes add up; the times are the first and the last; what began first says the rest, and where the flow was
    counted first. Two flows of almost one hash (a chance of 2**-44 a pair) may stay in parts.
    """
    order = _side_by_side(_key_words(slots))
    if order is not None:
        slots, starts = rows_of(slots, order), rows_of(starts, order)
        _unite(slots["key"], slots, starts, _begins(_key_words(slots)), flows)
        return
    entries = flows.behind(len(slots))
    _begin(entries, slots["key"], starts)
    for name in _COUNTED:
        entries.values[name] = slots[name]
    flows.used += len(entries)


def each_once(table: Entries) -> Entries:
    """The flows of a ``table`` that may have several entries of a flow: added up as by ``add_slots``."""
    order = _side_by_side(words(table.keys))
    if order is None:
        return table
    keys, values = rows_of(table.keys, order), rows_of(table.values, order)
    flows = Room(abi.FLOW_KEY, abi.FLOW_VALUE, len(keys))
    _unite(keys, values, _started(values), _begins(words(keys)), flows)
    return flows.entries()


def whole_flows(table: Entries, flows: Room) -> Entries:
    """The flows of the ``table``, which has each once, and of ``flows``: added up as by ``add_slots``, in that memory.

    Entries without packets add what they know to a flow, and are none themselves. What ``flows`` have in parts stays so.
    """
    cached = flows.entries()
    if not len(table):
        return cached
    rows = match(cached.keys, table.keys)
    in_cache = np.flatnonzero(rows >= 0)
    in_table, first = np.unique(rows[in_cache], return_index=True)
    in_cache = in_cache[first]  # slots that one eviction left to the next are in other sets: the table's part is told once
    alone = table.values["packets"] > 0
    alone[in_table] = False
    if len(in_cache):
        _complete(cached, in_cache, Entries(rows_of(table.keys, in_table), rows_of(table.values, in_table)))
    if not len(cached):
        return table.take(alone)
    flows.add(table.take(alone))
    return flows.entries()


def _complete(flows: Entries, rows: _Rows, table: Entries) -> None:
    """Adds what the ``table`` has of the flows in these rows to them."""
    both = joined(table, Entries(rows_of(flows.keys, rows), rows_of(flows.values, rows)))
    pairs = np.arange(len(both)).reshape(2, -1).T.reshape(-1)
    keys, values, whole = rows_of(both.keys, pairs), rows_of(both.values, pairs), Room(abi.FLOW_KEY, abi.FLOW_VALUE, len(rows))
    _unite(keys, values, _started(values), np.arange(0, len(both), 2), whole)
    as_rows(flows.values)[rows] = as_rows(whole.entries().values)


def _key_words(slots: abi.Structured) -> _Words:
    """The keys as numbers, (n, 5), in the same memory."""
    return as_rows(slots).view(np.uint64)[:, :_KEY_WORDS]


def _started(values: abi.Structured) -> abi.Structured:
    """What began in entries of the table, ``abi.CACHE_START``."""
    return np.ascontiguousarray(values.view(_WITH_START)["start"]).view(abi.CACHE_START)


def _side_by_side(keys: _Words) -> _Rows | None:
    """The rows of ``keys``, (n, 5), in an order that puts equal ones side by side; None when none are."""
    bits = np.uint64(len(keys).bit_length())
    # To sort numbers that end in their row takes less time than to ask for the order of numbers.
    found = np.sort(hashes(keys) >> bits << bits | np.arange(len(keys), dtype=np.uint64))
    if not (found[1:] >> bits == found[:-1] >> bits).any():
        return None
    return (found & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.intp)


def _begins(keys: _Words) -> _Rows:
    """The rows of ``keys``, (n, 5), that differ from the row before."""
    differ = np.ones(len(keys), np.bool_)
    differ[1:] = keys[1:, 0] != keys[:-1, 0]
    for word in range(1, _KEY_WORDS):  # "any" along short rows takes much longer
        differ[1:] |= keys[1:, word] != keys[:-1, word]
    return np.flatnonzero(differ)


def _begin(entries: Entries, keys: abi.Structured, starts: abi.Structured) -> None:
    """Writes what entries begin with; what they counted is left to the caller."""
    entries.keys.view(_KEY)[:] = keys.view(_KEY)
    entries.values["reserved"] = 0
    entries.values.view(_WITH_START)["start"] = starts.view(_START)


def _unite(keys: abi.Structured, counted: abi.Structured, starts: abi.Structured, begins: _Rows, flows: Room) -> None:
    """Adds to ``flows`` one entry for all rows from each of ``begins`` to the next.

    A row is a part of a flow: its ``abi.FLOW_KEY``, what it ``counted`` (packets, bytes, last_tick, tcp_flags), and
    ``abi.CACHE_START``.
    """
    entries, sizes = flows.behind(len(begins)), np.diff(begins, append=len(keys))
    later = _later(begins, sizes)
    oldest = _oldest(np.where(counted["packets"] > 0, starts["first_tick"], _NEVER), begins, later)
    _begin(entries, keys.view(_KEY)[oldest], rows_of(starts, oldest))
    for name, together in _COUNTED.items():
        entries.values[name] = _together(together, counted[name].astype(entries.values[name].dtype), begins, later)
    entries.values["handshake_us"] = _together(np.maximum, starts["handshake_us"], begins, later)
    _observe(entries.values["observed"], starts["observed"], begins, sizes)
    flows.used += len(begins)


def _later(begins: _Rows, sizes: _Rows) -> _Later:
    """Of the second, third ... rows from each of ``begins`` on: which entries have one, and the numbers of those rows.

    As good as never more than there are CPUs; ``ufunc.reduceat`` takes twice as long for a few rows each.
    """
    found: _Later = []
    for number in range(1, sizes.max(initial=1)):
        several = sizes > number
        entries = slice(None) if several.all() else np.flatnonzero(several)
        found.append((entries, begins[entries] + number))
    return found


def _together(how: np.ufunc, column: npt.NDArray[Any], begins: _Rows, later: _Later) -> npt.NDArray[Any]:
    """What the rows of each entry come to."""
    whole: npt.NDArray[Any] = column[begins]
    for entries, rows in later:
        whole[entries] = how(whole[entries], column[rows])
    return whole


def _oldest(ticks: _Words, begins: _Rows, later: _Later) -> _Rows:
    """The first row with the least tick of each entry."""
    oldest = begins.copy()
    for entries, rows in later:
        before = oldest[entries]
        oldest[entries] = np.where(ticks[rows] < ticks[before], rows, before)
    return oldest


def _observe(observed: _Points, points: _Points, begins: _Rows, sizes: _Rows) -> None:
    """Adds the observation points of each row to its entry's, (n, 4), as far as there is room."""
    one, other = points.view(np.uint64).T
    differ = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    differ[begins[1:] - 1] = False  # from the row before, of the same entry
    rows = np.flatnonzero(differ)
    entries = np.unique(np.searchsorted(begins, rows, "right") - 1)
    for number in range(sizes[entries].max(initial=0)):
        entries = entries[sizes[entries] > number]
        for point in points[begins[entries] + number].T:
            there = observed[entries]
            new = (point != 0) & ~(there == point[:, np.newaxis]).any(axis=1) & (there == 0).any(axis=1)
            observed[entries[new], (there[new] == 0).argmax(axis=1)] = point[new]
