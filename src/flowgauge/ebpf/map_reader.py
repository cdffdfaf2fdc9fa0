# SPDX-License-Identifier: Apache-2.0
"""Reads a whole eBPF map, or drains it, in batches straight into numpy memory.

A batch system call moves thousands of entries; one call per entry would be ten times slower. A reader keeps no state between
calls, so any thread may read; draining from two threads at once shares the entries out between them.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.bpf_syscall import Batch, Command, read_batch

BATCH_ENTRIES = 16384
"""Entries per system call: 1.5 MB of keys and values; from 256 to 131 072 the speed hardly changes."""
_TOKEN_BYTES = 64
"""Room for the kernel's bookmark; hash maps use 4 bytes."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entries:
    """Keys and values of a map, row by row; the caller owns them.

    Attributes:
        lost: entries the kernel removed but could not hand over, at most; 0 unless a batch failed.
    """

    keys: Structured
    values: Structured
    lost: int = 0


class MapReader:
    """Reads the map behind ``fd``, whose entries are of these types."""

    def __init__(self, fd: int, key: np.dtype[Any], value: np.dtype[Any]) -> None:
        self._fd, self._key, self._value = fd, key, value

    def read(self) -> Entries:
        """All entries, which stay in the map; OSError when the kernel refuses."""
        return self._all(Command.MAP_LOOKUP_BATCH)

    def drain(self) -> Entries:
        """All entries, taken out of the map; what is added meanwhile may be left for the next time."""
        return self._all(Command.MAP_LOOKUP_AND_DELETE_BATCH)

    def _all(self, command: Command) -> Entries:
        room, lost = BATCH_ENTRIES, 0
        keys, values = self._buffers(room)
        here, there = np.zeros(_TOKEN_BYTES, np.uint8), np.zeros(_TOKEN_BYTES, np.uint8)
        key_parts: list[Bytes] = []
        value_parts: list[Bytes] = []
        start_at = 0
        while True:
            batch = Batch(start_at, there.ctypes.data, keys.ctypes.data, values.ctypes.data, room)
            error, count = read_batch(command, self._fd, batch)
            if error == errno.ENOSPC:
                # One bucket of the hash table holds more than the room: nothing was read.
                room *= 2
                keys, values = self._buffers(room)
                continue
            if error not in (0, errno.ENOENT):
                # A fault while copying: a batch that drains has already removed its entries.
                lost = room if command is Command.MAP_LOOKUP_AND_DELETE_BATCH else 0
                break
            key_parts.append(keys[:count].copy())
            value_parts.append(values[:count].copy())
            if error == errno.ENOENT:
                break
            here, there = there, here
            start_at = here.ctypes.data
        return Entries(_joined(key_parts, self._key), _joined(value_parts, self._value), lost)

    def _buffers(self, room: int) -> tuple[Bytes, Bytes]:
        return np.empty((room, self._key.itemsize), np.uint8), np.empty((room, self._value.itemsize), np.uint8)


def _joined(parts: list[Bytes], dtype: np.dtype[Any]) -> Structured:
    """Joins as bytes and views at the end: numpy copies a structured array member by member, which is 10 times slower."""
    if not parts:
        return np.empty(0, dtype)
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return whole.reshape(-1).view(dtype)
