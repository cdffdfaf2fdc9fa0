# SPDX-License-Identifier: Apache-2.0
"""The kernel's cache of busy flows (``programs/cache.h``), seen through shared memory: no system call, no copy but ours.

Only slots of epochs that are over are touched here, and only by whoever holds the program's lock.
"""

from __future__ import annotations

import mmap

import numpy as np

from flowgauge.ebpf import abi
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.translations import match

_SLOT = abi.CACHE_SLOT.itemsize
_EPOCH_AT = abi.offset(abi.FLOW_KEY, "epoch")
_PACKETS_AT = abi.offset(abi.CACHE_SLOT, "packets")


class Cache:
    """The memory of the map behind ``map_fd``, of ``sets`` sets."""

    def __init__(self, map_fd: int, sets: int) -> None:
        size = sets * abi.CACHE_WAYS * _SLOT
        shared = mmap.mmap(map_fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._slots = np.frombuffer(shared, np.uint8, size).reshape(-1, _SLOT)
        self._packets = np.frombuffer(shared, np.uint32, size // 4).reshape(-1, _SLOT // 4)[:, _PACKETS_AT // 4]

    def take(self, present: int) -> abi.Structured:
        """Copies the slots in use that are not of the ``present`` epoch, and frees them; their epochs read 0."""
        used = np.flatnonzero(self._packets)
        over = used[self._slots[used, _EPOCH_AT] != present]
        taken = self._slots[over]
        self._packets[over] = 0
        taken[:, _EPOCH_AT] = 0
        slots: abi.Structured = taken.reshape(-1).view(abi.CACHE_SLOT)
        return slots


def merged(flows: Entries, slots: abi.Structured) -> Entries:
    """The table's flows with what the CPUs' slots add to them; a slot whose flow is not in the table is a flow of its own."""
    if not len(slots):
        return flows
    keys, values = np.ascontiguousarray(slots["key"]), flows.values
    rows = match(keys, flows.keys)
    there = rows >= 0
    known, found = slots[there], rows[there]
    np.add.at(values["packets"], found, known["packets"])
    np.add.at(values["bytes"], found, known["bytes"])
    np.maximum.at(values["last_tick"], found, known["last_tick"])
    np.bitwise_or.at(values["tcp_flags"], found, known["tcp_flags"])
    if there.all():
        return flows
    alone = slots[~there]
    extra = np.zeros(len(alone), abi.FLOW_VALUE)
    for name in ("packets", "bytes", "last_tick", "tcp_flags"):
        extra[name] = alone[name]
    extra["first_tick"] = alone["last_tick"]
    return Entries(np.concatenate([flows.keys, keys[~there]]), np.concatenate([values, extra]))
