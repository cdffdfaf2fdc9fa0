# SPDX-License-Identifier: Apache-2.0
"""Reads a whole eBPF map in batches straight into numpy memory, and removes entries in batches.

A batch system call moves thousands of entries; one call per entry would be ten times slower. A reader keeps no state between
calls, so any thread may use it.
"""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.bpf_syscall import Batch, Command, batch

BATCH_ENTRIES = 16384
"""Entries per system call: 1.7 MB of keys and values; from 256 to 131 072 the speed hardly changes."""
_TOKEN_BYTES = 64
"""Room for the kernel's bookmark; hash maps use 4 bytes: the number of a bucket."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entries:
    """Keys and values of a map, row by row; the caller owns them."""

    keys: Structured
    values: Structured

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: npt.NDArray[np.bool_]) -> Entries:
        """The rows chosen by a mask."""
        if rows.all():
            return self
        chosen = np.flatnonzero(rows)
        return Entries(rows_of(self.keys, chosen), rows_of(self.values, chosen))


def joined(*parts: Entries) -> Entries:
    """All entries of maps of the same types."""
    return Entries(_together([part.keys for part in parts]), _together([part.values for part in parts]))


def _together(parts: list[Structured]) -> Structured:
    some = [part for part in parts if len(part)]
    if len(some) <= 1:
        return some[0] if some else parts[0]
    return np.concatenate([as_rows(part) for part in parts]).reshape(-1).view(parts[0].dtype)


class MapReader:
    """Reads the map behind ``fd``, whose entries are of these types."""

    def __init__(self, fd: int, key: np.dtype[Any], value: np.dtype[Any]) -> None:
        self._fd, self._key, self._value = fd, key, value

    def read(self) -> Entries:
        """All entries, which stay in the map; OSError when the kernel refuses.

        Each entry that is there all the time is read once; one that comes or goes meanwhile may be.
        """
        found, error = self._batches(Command.MAP_LOOKUP_BATCH, 0)
        if error:
            raise OSError(error, os.strerror(error))
        return found.entries()

    def take(self, expected: int = 0, middle: int = 0) -> Entries:
        """All entries, out of the map, which nobody else may use meanwhile; OSError when the kernel refuses at once.

        When it refuses later, the rest stays in the map.

        Args:
            expected: about how many there are: memory for so many need not be moved when it grows.
            middle: the number of a hash map's bucket amid them, from which on a second thread takes entries at the same time;
                0 does without. Where it is something else, one thread takes more than the other, or all.
        """
        if not middle:
            found, error = self._batches(Command.MAP_LOOKUP_AND_DELETE_BATCH, expected)
        else:
            with ThreadPoolExecutor(1) as pool:
                rest = pool.submit(self._batches, Command.MAP_LOOKUP_AND_DELETE_BATCH, expected // 2, middle)
                found, error = self._batches(Command.MAP_LOOKUP_AND_DELETE_BATCH, expected)
            found.add(rest.result()[0].entries())
        if error and not found.used:
            raise OSError(error, os.strerror(error))
        return found.entries()

    def _batches(self, command: Command, expected: int, first: int = 0) -> tuple[Room, int]:
        """Entries from the ``first`` bucket on, batch by batch, and the errno that ended it, 0 at the map's end."""
        found = Room(self._key, self._value, expected)
        here, there = np.zeros(_TOKEN_BYTES, np.uint8), np.zeros(_TOKEN_BYTES, np.uint8)
        here.view(np.uint32)[0] = first
        ask, start_at, error = BATCH_ENTRIES, here.ctypes.data if first else 0, 0
        while not error:
            room = found.behind(ask)
            memory = Batch(room.keys.ctypes.data, room.values.ctypes.data, start_at, there.ctypes.data)
            error, count = batch(command, self._fd, memory, ask)
            if error == errno.ENOSPC:
                ask, error = 2 * ask, 0  # one bucket of the hash table holds more than was asked for: nothing was read
                continue
            if error in (0, errno.ENOENT):
                found.used += count
            here, there = there, here
            start_at = here.ctypes.data
        return found, 0 if error == errno.ENOENT else error

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


class Room:
    """Memory that is filled with entries one behind the other, so that they need not be joined.

    Attributes:
        used: how many entries there are; whoever writes behind them adds to it.
    """

    def __init__(self, key: np.dtype[Any], value: np.dtype[Any], expected: int) -> None:
        self.used = 0
        # A whole batch must fit behind the last entry.
        self._keys, self._values = (np.empty(expected + 2 * BATCH_ENTRIES, kind) for kind in (key, value))

    def behind(self, entries: int) -> Entries:
        """Memory for so many more, as it happens to be."""
        end = self.used + entries
        if len(self._keys) < end:
            size = max(2 * len(self._keys), end)
            self._keys, self._values = self._grown(self._keys, size), self._grown(self._values, size)
        return Entries(self._keys[self.used : end], self._values[self.used : end])

    def add(self, entries: Entries) -> None:
        """Copies these behind those that are there."""
        room = self.behind(len(entries))
        as_rows(room.keys)[:], as_rows(room.values)[:] = as_rows(entries.keys), as_rows(entries.values)
        self.used += len(entries)

    def entries(self) -> Entries:
        """Those that are there, in this memory."""
        return Entries(self._keys[: self.used], self._values[: self.used])

    def _grown(self, filled: Structured, size: int) -> Structured:
        larger = np.empty(size, filled.dtype)
        as_rows(larger)[: self.used] = as_rows(filled)[: self.used]
        return larger


def as_rows(structured: Structured) -> Bytes:
    """The same memory as bytes, a row each: numpy copies a structured array member by member, which is ten times slower."""
    return structured.view(np.uint8).reshape(len(structured), structured.dtype.itemsize)


def rows_of(structured: Structured, rows: npt.NDArray[np.intp]) -> Structured:
    """Rows by their numbers, copied as bytes for the same reason."""
    chosen: Structured = as_rows(structured).take(rows, axis=0).reshape(-1).view(structured.dtype)
    return chosen
