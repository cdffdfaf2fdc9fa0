# SPDX-License-Identifier: Apache-2.0
"""Joins what each CPU's slots and the flow table have of a flow: one entry a flow, of those that counted a packet.

Pure functions of arrays. Before: :mod:`flowgauge.ebpf.cache` and the flow tables, whose entries without packets are notes
about a flow (``programs/notes.h``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf import abi
from flowgauge.ebpf.map_reader import Entries, as_rows, joined, rows_of
from flowgauge.ebpf.translations import Index, hashes, words

_Words = npt.NDArray[np.uint64]
_Rows = npt.NDArray[np.intp]
_Points = npt.NDArray[np.uint32]
_KEY_WORDS, _START_WORDS = abi.FLOW_KEY.itemsize // 8, abi.CACHE_START.itemsize // 8
_COUNTED = {"packets": np.add, "bytes": np.add, "last_tick": np.maximum, "tcp_flags": np.bitwise_or}
"""What grows with each packet of a flow, and how parts of it become one."""
_NEVER = np.uint64(np.iinfo(np.uint64).max)


def of_slots(slots: abi.Structured, starts: abi.Structured) -> Entries:
    """The flows of slots (``abi.CACHE_SLOT``) and of what began in them (``abi.CACHE_START``), row by row: each once.

    Packets and bytes add up; the times are the first and the last; what began first says the rest, and where the flow was
    counted first. Two flows of almost one hash (a chance of 2**-44 a pair) may stay in parts.
    """
    order, begins = _flow_by_flow(_words(slots)[:, :_KEY_WORDS])
    if len(begins) == len(slots):
        return _each(_words(slots)[:, :_KEY_WORDS], slots, starts)
    slots = rows_of(slots, order)
    return _united(_words(slots)[:, :_KEY_WORDS], slots, rows_of(starts, order), begins)


def whole_flows(table: Entries, cached: Sequence[Entries]) -> Entries:
    """The flows of the ``table`` and of ``cached`` ones, each of which is there once: added up as by ``of_slots``.

    Entries without packets add what they know to a flow, and are none themselves.
    """
    if not len(table):
        return joined(table, *cached)
    known, apart, several = Index(table.keys), [], [table]
    for part in cached:
        alone = known.rows(part.keys) < 0
        apart.append(part.take(alone))
        several.append(part.take(~alone))
    entries = joined(*several)
    order, begins = _flow_by_flow(words(entries.keys))
    if len(begins) < len(entries):
        values = rows_of(entries.values, order)
        starts = np.ascontiguousarray(_words(values)[:, -_START_WORDS:]).reshape(-1).view(abi.CACHE_START)
        entries = _united(words(entries.keys).take(order, axis=0), values, starts, begins)
    return joined(entries.take(entries.values["packets"] > 0), *apart)


def _words(structured: abi.Structured) -> _Words:
    """The same memory as numbers, a row each."""
    return as_rows(structured).view(np.uint64)


def _flow_by_flow(keys: _Words) -> tuple[_Rows, _Rows]:
    """The rows of ``keys``, (n, 5), in an order that puts equal ones side by side, and the places in it where others begin."""
    bits = np.uint64(len(keys).bit_length())
    rows = np.arange(len(keys))
    # To sort numbers that end in their row takes less time than to ask for the order of numbers.
    found = np.sort(hashes(keys) >> bits << bits | rows.astype(np.uint64))
    alike = found[1:] >> bits == found[:-1] >> bits
    if not alike.any():
        return rows, rows
    order = (found & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.intp)
    in_order = keys.take(order, axis=0)
    for one, other in zip(in_order[1:].T, in_order[:-1].T, strict=True):  # "all" along short rows takes much longer
        alike &= one == other
    return order, np.flatnonzero(np.append(True, ~alike))


def _each(keys: _Words, counted: abi.Structured, starts: abi.Structured) -> Entries:
    """One entry for each row.

    Args:
        keys: (n, 5).
        counted: packets, bytes, last_tick and tcp_flags of each row.
        starts: ``abi.CACHE_START`` of each row.
    """
    values = np.zeros(len(keys), abi.FLOW_VALUE)
    for name in _COUNTED:
        values[name] = counted[name]
    _words(values)[:, -_START_WORDS:] = _words(starts)
    return Entries(np.ascontiguousarray(keys).reshape(-1).view(abi.FLOW_KEY), values)


def _united(keys: _Words, counted: abi.Structured, starts: abi.Structured, begins: _Rows) -> Entries:
    """One entry for all rows from each of ``begins``, of which there are some, to the next; else as ``_each``."""
    sizes = np.diff(begins, append=len(keys))
    oldest = _oldest(np.where(counted["packets"] > 0, starts["first_tick"], _NEVER), begins, sizes)
    flows = _each(keys.take(oldest, axis=0), rows_of(counted, oldest), rows_of(starts, oldest))
    for name, together in _COUNTED.items():
        flows.values[name] = together.reduceat(counted[name], begins, dtype=flows.values[name].dtype)
    flows.values["handshake_us"] = np.maximum.reduceat(starts["handshake_us"], begins)
    _observe(flows.values["observed"], starts["observed"], begins, sizes)
    return flows


def _oldest(ticks: _Words, begins: _Rows, sizes: _Rows) -> _Rows:
    """The first row with the least tick, of those from each of ``begins`` to the next."""
    oldest = begins.copy()
    for number in range(1, sizes.max()):
        several = np.flatnonzero(sizes > number)
        other = begins[several] + number
        older = ticks[other] < ticks[oldest[several]]
        oldest[several[older]] = other[older]
    return oldest


def _observe(observed: _Points, points: _Points, begins: _Rows, sizes: _Rows) -> None:
    """Adds the observation points of each row to its entry's, (n, 4), as far as there is room."""
    one, other = points.view(np.uint64).T
    differ = np.append((one[1:] != one[:-1]) | (other[1:] != other[:-1]), False)
    differ[begins[1:] - 1] = False  # from the row before, of the same entry
    entries = np.flatnonzero(np.logical_or.reduceat(differ, begins))
    for number in range(sizes[entries].max(initial=0)):
        entries = entries[sizes[entries] > number]
        for point in points[begins[entries] + number].T:
            there = observed[entries]
            new = (point != 0) & ~(there == point[:, np.newaxis]).any(axis=1) & (there == 0).any(axis=1)
            observed[entries[new], (there[new] == 0).argmax(axis=1)] = point[new]
