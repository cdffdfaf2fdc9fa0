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
from flowgauge.ebpf.flow_parts import add_slots
from flowgauge.ebpf.map_reader import Room

_SLOT, _START, _SET = abi.CACHE_SLOT.itemsize, abi.CACHE_START.itemsize, abi.CACHE_SET.itemsize
_EPOCH_AT = abi.offset(abi.FLOW_KEY, "epoch")
_PACKETS_AT = abi.offset(abi.CACHE_SLOT, "packets")

_STEP = 8192
"""Sets at a time, of all CPUs together: 1.5 MiB, so that what is copied of them stays in a processor's cache."""


class Cache:
    """The memory of the map behind ``map_fd``, of ``sets`` sets, a power of two for each of ``cpus``."""

    def __init__(self, map_fd: int, sets: int, cpus: int) -> None:
        size = sets * _SET
        shared = mmap.mmap(map_fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        memory = np.frombuffer(shared, np.uint8, size)
        self._numbers = memory.view(np.uint32)
        packets = self._numbers.reshape(sets, -1)[:, _PACKETS_AT // 4 : CACHE_WAYS * _SLOT // 4 : _SLOT // 4]
        self._packets = packets.reshape(cpus, sets // cpus, CACHE_WAYS)
        # A set is a whole number of slots, and of starts: so both are rows of the same memory.
        self._as_slots, self._as_starts = memory.reshape(-1, _SLOT), memory.reshape(-1, _START)
        self._step = min(_power_of_two(_STEP // cpus), sets // cpus)
        ways = np.arange(CACHE_WAYS)
        numbers = (np.arange(cpus)[:, np.newaxis] * (sets // cpus) + np.arange(self._step))[..., np.newaxis]
        self._slot_rows = (numbers * (_SET // _SLOT) + ways).reshape(-1)
        self._start_rows = (numbers * (_SET // _START) + CACHE_WAYS * _SLOT // _START + ways).reshape(-1)

    def take(self, present: int, flows: Room) -> None:
        """Adds to ``flows`` those of the slots in use that are not of the ``present`` epoch, which are freed.

        Their epochs read 0 then. No flow is there twice: on all CPUs it is in sets of one number, which are taken together.
        """
        for first in range(0, self._packets.shape[1], self._step):
            self._take(present, first, flows)

    def _take(self, present: int, first: int, flows: Room) -> None:
        """Of the sets with numbers from ``first``, on all CPUs."""
        used = np.flatnonzero(self._packets[:, first : first + self._step] != 0)  # of a copy: flows begin meanwhile
        rows = self._slot_rows[used] + first * (_SET // _SLOT)
        slots = self._as_slots.take(rows, axis=0)
        over = slots[:, _EPOCH_AT] != present
        if not over.all():
            used, rows, slots = used[over], rows[over], slots[over]
        if not len(used):
            return
        starts = self._as_starts.take(self._start_rows[used] + first * (_SET // _START), axis=0)
        self._numbers[rows * (_SLOT // 4) + _PACKETS_AT // 4] = 0
        slots[:, _EPOCH_AT] = 0
        add_slots(slots.reshape(-1).view(abi.CACHE_SLOT), starts.reshape(-1).view(abi.CACHE_START), flows)


def _power_of_two(number: int) -> int:
    """The largest that is not above ``number``; 1 at least."""
    return 1 << max(number.bit_length() - 1, 0)
