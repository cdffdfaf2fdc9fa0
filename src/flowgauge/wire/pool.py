# SPDX-License-Identifier: Apache-2.0
"""Memory for columns, used again as soon as nobody holds the columns that lay in it.

A batch of columns is a few MiB. Asked of the kernel each time they cost a page fault every 4 KiB, more than filling them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from flowgauge.flow.batch import Array, definition, dtype_of, shape_of
from flowgauge.wire.scratch import fresh
from flowgauge.wire.views import Octets

MAX_BUFFERS = 8
"""Batches on their way through the pipeline at once, of which memory is kept; more take memory of their own."""
MAX_BUFFER_BYTES = 16 << 20
"""Larger batches (of jumbo datagrams) take memory of their own."""
_ALIGN = 64


class Pool:
    """Buffers of one decoder. A column that lies in one refers to it (numpy's ``base``), which is how its use is seen."""

    __slots__ = ("_buffers", "_unused")

    def __init__(self) -> None:
        self._buffers: list[Octets] = [np.empty(0, np.uint8)]
        self._unused = self._references(0)  # what the count is when nobody else has it: depends on the Python version
        self._buffers.clear()

    def space(self, size: int) -> Space:
        """Space for columns of ``size`` bytes in all (see ``bytes_for``)."""
        return Space(self._buffer(size) if size <= MAX_BUFFER_BYTES else np.empty(size, np.uint8))

    def _references(self, number: int) -> int:
        return sys.getrefcount(self._buffers[number])

    def _buffer(self, size: int) -> Octets:
        for number in range(len(self._buffers)):
            if self._references(number) == self._unused:
                if len(self._buffers[number]) < size:
                    self._buffers[number] = fresh(size)
                return self._buffers[number]
        further = fresh(size)
        if len(self._buffers) < MAX_BUFFERS:
            self._buffers.append(further)
        return further


class Space:
    """One buffer, handed out column by column."""

    __slots__ = ("_at", "_buffer")

    def __init__(self, buffer: Octets) -> None:
        self._buffer, self._at = buffer, 0

    def column(self, name: str, length: int) -> Array:
        """The column of this name, of ``length`` rows with any content."""
        kind, width = _form(name)
        size = kind.itemsize * width * length
        part = self._buffer[self._at : self._at + size].view(kind)
        self._at += -(-size // _ALIGN) * _ALIGN
        return part if width == 1 else part.reshape(length, width)


def bytes_for(names: Sequence[str], length: int) -> int:
    """What a space for the columns of these names needs."""
    return sum(-(-kind.itemsize * width * length // _ALIGN) * _ALIGN for kind, width in map(_form, names))


@cache
def _form(name: str) -> tuple[np.dtype[Any], int]:
    """The type of a column's elements, and how many of them a row has."""
    column = definition(name)
    return dtype_of(column, name), math.prod(shape_of(column, 1))
