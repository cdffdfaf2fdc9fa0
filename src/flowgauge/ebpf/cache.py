# SPDX-License-Identifier: Apache-2.0
"""The kernel's cache of flows (``programs/cache.h``), seen through shared memory: no system call, no copy but ours.

Only slots of epochs that are over are touched here, and only by whoever holds the program's lock. After:
:mod:`flowgauge.ebpf.flow_parts`, which joins the slots of one flow.
"""

from __future__ import annotations

import mmap

import numpy as np

from flowgauge.ebpf import abi
from flowgauge.ebpf.map_reader import Bytes, Entries, as_rows

_WAYS = abi.CACHE_WAYS
_SLOT, _START, _SET = abi.CACHE_SLOT.itemsize, abi.CACHE_START.itemsize, abi.CACHE_SET.itemsize
_KEY = abi.FLOW_KEY.itemsize
_EPOCH_AT = abi.offset(abi.FLOW_KEY, "epoch")
_PACKETS_AT = abi.offset(abi.CACHE_SLOT, "packets")

_STEP = 8192
"""Sets at a time, so that what is copied of them does not lie in memory twice: 1.5 MiB."""


class Cache:
    """The memory of the map behind ``map_fd``, of ``sets`` sets."""

    def __init__(self, map_fd: int, sets: int) -> None:
        size = sets * _SET
        shared = mmap.mmap(map_fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        memory = np.frombuffer(shared, np.uint8, size)
        self._packets = memory.view(np.uint32).reshape(sets, -1)[:, _PACKETS_AT // 4 : _WAYS * _SLOT // 4 : _SLOT // 4]
        # A set is a whole number of slots, and of starts: so both are rows of the same memory.
        self._as_slots, self._as_starts = memory.reshape(-1, _SLOT), memory.reshape(-1, _START)

    def take(self, present: int) -> list[Entries]:
        """Copies the slots in use that are not of the ``present`` epoch, and frees them; their epochs read 0."""
        return [part for first in range(0, len(self._packets), _STEP) if len(part := self._take(present, first))]

    def _take(self, present: int, first: int) -> Entries:
        """Of ``_STEP`` sets from the ``first`` on."""
        packets = self._packets[first : first + _STEP]
        sets, ways = np.divmod(np.flatnonzero(packets), _WAYS)
        at = (first + sets) * (_SET // _SLOT) + ways
        over = self._as_slots[at, _EPOCH_AT] != present
        sets, ways, at = sets[over], ways[over], at[over]
        slots = self._as_slots.take(at, axis=0)
        starts = self._as_starts.take((first + sets) * (_SET // _START) + _WAYS * _SLOT // _START + ways, axis=0)
        packets[sets, ways] = 0
        slots[:, _EPOCH_AT] = 0
        return _entries(slots, starts)


def _entries(slots: Bytes, starts: Bytes) -> Entries:
    """Slots and what their flows began with, as entries of the flow table."""
    keys = np.ascontiguousarray(slots[:, :_KEY]).reshape(-1).view(abi.FLOW_KEY)
    values, counted = np.zeros(len(slots), abi.FLOW_VALUE), slots.reshape(-1).view(abi.CACHE_SLOT)
    as_rows(values)[:, -_START:] = starts
    for name in ("packets", "bytes", "last_tick", "tcp_flags"):
        values[name] = counted[name]
    return Entries(keys, values)
