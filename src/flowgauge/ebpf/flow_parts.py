# SPDX-License-Identifier: Apache-2.0
"""Joins what each CPU's slots and the flow table have of a flow: one entry a flow, of those that counted a packet.

Pure functions of arrays. Before: :mod:`flowgauge.ebpf.cache` and the flow tables, whose entries without packets are notes
about a flow (``programs/notes.h``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf import abi
from flowgauge.ebpf.map_reader import Entries, as_rows, joined
from flowgauge.ebpf.translations import hashes, words

_Rows = npt.NDArray[np.intp]
_AGE_BITS = np.uint64(36)
"""Of ticks: years; the other bits are for 268 million flows."""
_NEVER = np.uint64(2**36 - 1)


def whole_flows(*parts: Entries) -> Entries:
    """The flows of all ``parts`` (``abi.FLOW_KEY``, ``abi.FLOW_VALUE``).

    Packets and bytes add up; the times are the first and the last; what began first says the rest. Two flows of one hash (a
    chance of 2**-64 a pair) may stay in parts.
    """
    entries = joined(*parts)
    rows, rank = _several(entries)
    first = rows[np.arange(len(rank)) - rank]
    for number in range(1, int(rank.max(initial=0)) + 1):
        these = rank == number
        _add(entries.values, first[these], rows[these])
    kept = entries.values["packets"] > 0
    kept[rows[rank > 0]] = False
    return entries.take(kept)


def _several(entries: Entries) -> tuple[_Rows, _Rows]:
    """The rows of keys that are there several times, key by key; of each its number among those, the first to count as 0."""
    by = hashes(entries.keys)
    order = np.argsort(by)
    begins = _begins(by[order][:, np.newaxis])
    several = ~begins
    several[:-1] |= several[1:]
    rows, hash_number = order[several], np.cumsum(begins)[several].astype(np.uint64)
    rows = rows[np.argsort(hash_number << _AGE_BITS | _age(entries.values, rows))]
    begins, places = _begins(words(entries.keys)[rows]), np.arange(len(rows))
    return rows, places - np.maximum.accumulate(np.where(begins, places, 0))


def _begins(rows: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which rows, (n, m), differ from the one before."""
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return begins


def _age(values: abi.Structured, rows: _Rows) -> npt.NDArray[np.uint64]:
    """When the rows began, in ``_AGE_BITS``; of notes: last."""
    ticks = values["first_tick"][rows]
    age: npt.NDArray[np.uint64] = np.minimum(ticks - ticks.min(initial=np.iinfo(np.uint64).max), _NEVER)
    age[values["packets"][rows] == 0] = _NEVER
    return age


def _add(values: abi.Structured, to: _Rows, more: _Rows) -> None:
    """Adds the rows ``more`` to other ones, no two to the same."""
    memory = as_rows(values)
    mine, other = (memory.take(rows, axis=0).reshape(-1).view(values.dtype) for rows in (to, more))
    for name in ("packets", "bytes"):
        mine[name] += other[name]
    for name in ("last_tick", "handshake_us"):
        np.maximum(mine[name], other[name], out=mine[name])
    mine["tcp_flags"] |= other["tcp_flags"]
    _observe(mine["observed"], other["observed"])
    memory[to] = as_rows(mine)


def _observe(mine: npt.NDArray[np.uint32], other: npt.NDArray[np.uint32]) -> None:
    """Adds observation points, (n, 4), to those of the same row as far as there is room."""
    differ = np.flatnonzero((mine != other).any(axis=1))
    for points in other[differ].T:
        there = mine[differ]
        new = (points != 0) & ~(there == points[:, np.newaxis]).any(axis=1) & (there == 0).any(axis=1)
        mine[differ[new], (there[new] == 0).argmax(axis=1)] = points[new]
