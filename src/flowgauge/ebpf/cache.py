# SPDX-License-Identifier: Apache-2.0
"""The kernel's cache of flows (``programs/cache.h``), seen through shared memory: no system call, no copy but ours.

Only slots of epochs that are over are touched here, and only by whoever holds the program's lock. After:
:mod:`flowgauge.ebpf.flow_parts`, which joins what the CPUs have of a flow.
"""

from __future__ import annotations

import mmap

import numpy as np

from flowgauge.ebpf import abi
from flowgauge.ebpf.abi_settings import CACHE_WAYS
from flowgauge.ebpf.flow_parts import of_slots
from flowgauge.ebpf.map_reader import Entries

_WAYS = CACHE_WAYS
_SLOT, _START, _SET = abi.CACHE_SLOT.itemsize, abi.CACHE_START.itemsize, abi.CACHE_SET.itemsize
_EPOCH_AT = abi.offset(abi.FLOW_KEY, "epoch")
_PACKETS_AT = abi.offset(abi.CACHE_SLOT, "packets")

_STEP = 8192
"""Sets at a time, of all CPUs together: 1.5 MiB, so that what is copied of them stays in a processor's cache."""


class Cache:
    """The memory of the map behind ``map_fd``, of ``sets`` sets: as many for each of ``cpus``."""

    def __init__(self, map_fd: int, sets: int, cpus: int) -> None:
        size = sets * _SET
        shared = mmap.mmap(map_fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        memory = np.frombuffer(shared, np.uint8, size)
        packets = memory.view(np.uint32).reshape(sets, -1)[:, _PACKETS_AT // 4 : _WAYS * _SLOT // 4 : _SLOT // 4]
        self._packets = packets.reshape(cpus, sets // cpus, _WAYS)
        # A set is a whole number of slots, and of starts: so both are rows of the same memory.
        self._as_slots, self._as_starts = memory.reshape(-1, _SLOT), memory.reshape(-1, _START)

    def take(self, present: int) -> list[Entries]:
        """The flows of the slots in use that are not of the ``present`` epoch, which are freed; their epochs read 0.

        No flow is there twice: on all CPUs it is in sets of one number, which are taken together.
        """
        cpus, sets, _ = self._packets.shape
        step = max(_STEP // cpus, 1)
        return [part for first in range(0, sets, step) if len(part := self._take(present, first, first + step))]

    def _take(self, present: int, first: int, end: int) -> Entries:
        """Of the sets with these numbers on all CPUs."""
        packets = self._packets[:, first:end]
        cpus, sets, ways = np.nonzero(packets != 0)  # of a copy: flows begin meanwhile
        at = cpus * self._packets.shape[1] + sets + first
        over = self._as_slots[at * (_SET // _SLOT) + ways, _EPOCH_AT] != present
        cpus, sets, ways, at = cpus[over], sets[over], ways[over], at[over]
        slots = self._as_slots.take(at * (_SET // _SLOT) + ways, axis=0)
        starts = self._as_starts.take(at * (_SET // _START) + (_WAYS * _SLOT // _START) + ways, axis=0)
        packets[cpus, sets, ways] = 0
        slots[:, _EPOCH_AT] = 0
        return of_slots(slots.reshape(-1).view(abi.CACHE_SLOT), starts.reshape(-1).view(abi.CACHE_START))
