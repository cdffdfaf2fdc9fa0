# SPDX-License-Identifier: Apache-2.0
"""Reads a whole eBPF map in batches straight into numpy memory, and removes entries in batches.

A batch system call moves thousands of entries; one call per entry would be ten times slower. A reader keeps no state between
calls, so any thread may use it.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.bpf_syscall import Batch, Command, batch

BATCH_ENTRIES = 16384
"""Entries per system call: 1.7 MB of keys and values; from 256 to 131 072 the speed hardly changes."""
_TOKEN_BYTES = 64
"""Room for the kernel's bookmark; hash maps use 4 bytes."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entries:
    """Keys and values of a map, row by row; the caller owns them."""

    keys: Structured
    values: Structured

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: npt.NDArray[np.bool_]) -> Entries:
        """The rows chosen by a mask.

        Copied as bytes: numpy copies a structured array member by member, which is ten times slower.
        """
        if rows.all():
            return self
        return Entries(*(_rows(part)[rows].reshape(-1).view(part.dtype) for part in (self.keys, self.values)))


def joined(*parts: Entries) -> Entries:
    """All entries of maps of the same types."""
    return Entries(np.concatenate([part.keys for part in parts]), np.concatenate([part.values for part in parts]))


class MapReader:
    """Reads the map behind ``fd``, whose entries are of these types."""

    def __init__(self, fd: int, key: np.dtype[Any], value: np.dtype[Any]) -> None:
        self._fd, self._key, self._value = fd, key, value

    def read(self) -> Entries:
        """All entries, which stay in the map; OSError when the kernel refuses.

        Each entry that is there all the time is read once; one that comes or goes meanwhile may be.
        """
        room = BATCH_ENTRIES
        keys, values = self._buffers(room)
        here, there = np.zeros(_TOKEN_BYTES, np.uint8), np.zeros(_TOKEN_BYTES, np.uint8)
        key_parts: list[Bytes] = []
        value_parts: list[Bytes] = []
        start_at = 0
        while True:
            memory = Batch(keys.ctypes.data, values.ctypes.data, start_at, there.ctypes.data)
            error, count = batch(Command.MAP_LOOKUP_BATCH, self._fd, memory, room)
            if error == errno.ENOSPC:
                # One bucket of the hash table holds more than the room: nothing was read.
                room *= 2
                keys, values = self._buffers(room)
                continue
            if error not in (0, errno.ENOENT):
                raise OSError(error, os.strerror(error))
            key_parts.append(keys[:count].copy())
            value_parts.append(values[:count].copy())
            if error == errno.ENOENT:
                return Entries(_joined(key_parts, self._key), _joined(value_parts, self._value))
            here, there = there, here
            start_at = here.ctypes.data

    def remove(self, keys: Structured) -> int:
        """Takes entries out of the map, in order; how many, fewer than asked for when the kernel refuses one."""
        rows = np.ascontiguousarray(keys)
        at = 0
        while at < len(rows):
            error, done = batch(Command.MAP_DELETE_BATCH, self._fd, Batch(rows[at:].ctypes.data), len(rows) - at)
            at += done
            if error:
                break
        return at

    def _buffers(self, room: int) -> tuple[Bytes, Bytes]:
        return np.empty((room, self._key.itemsize), np.uint8), np.empty((room, self._value.itemsize), np.uint8)


def _rows(structured: Structured) -> Bytes:
    return structured.view(np.uint8).reshape(len(structured), -1)


def _joined(parts: list[Bytes], dtype: np.dtype[Any]) -> Structured:
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return whole.reshape(-1).view(dtype)
