# SPDX-License-Identifier: Apache-2.0
"""Reads an eBPF ring buffer of records of one size through shared memory: no system call, no call a record.

The kernel maps the data twice in a row, so that what wraps around reads as one piece (Documentation/bpf/ringbuf.rst). One
reader at a time.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from flowgauge.ebpf.abi import Structured

_HEADER = 8
"""Before each record: 32 bits of length and flags, 32 of an offset of the kernel's own."""
_BUSY, _DISCARDED = np.uint32(1 << 31), np.uint32(1 << 30)


class Ring:
    """The ring buffer behind ``map_fd``, of ``size`` bytes, whose records are ``record``."""

    def __init__(self, map_fd: int, size: int, record: np.dtype[Any]) -> None:
        self._record, self._size = record, size
        self._step = _HEADER + -(-record.itemsize // 8) * 8
        read_at = mmap.mmap(map_fd, mmap.PAGESIZE)
        written = mmap.mmap(map_fd, mmap.PAGESIZE + 2 * size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        self._read_at = np.frombuffer(read_at, np.uint64, 1)
        self._written_to = np.frombuffer(written, np.uint64, 1)
        self._data = np.frombuffer(written, np.uint8, 2 * size, mmap.PAGESIZE)

    def take(self) -> Structured:
        """The records that are complete, in order, which are gone from the buffer then."""
        at = int(self._read_at[0])
        count = (int(self._written_to[0]) - at) // self._step
        begin = at % self._size
        rows = self._data[begin : begin + count * self._step].reshape(count, self._step)
        flags = rows[:, :4].copy().view(np.uint32).reshape(-1)
        busy = np.flatnonzero(flags & _BUSY)
        complete = int(busy[0]) if len(busy) else count
        kept = np.flatnonzero((flags[:complete] & _DISCARDED) == 0)
        records: Structured = rows[kept, _HEADER : _HEADER + self._record.itemsize].reshape(-1).view(self._record)
        self._read_at[0] = at + complete * self._step
        return records
