# SPDX-License-Identifier: Apache-2.0
"""Longest-prefix lookup of many addresses at once: prefixes flattened into ranges, found by one binary search. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import AddressColumn, packed

_VOID = np.dtype((np.void, 16))
_LAST = (1 << 128) - 1
NOTHING = -1
"""The value of addresses that are in no prefix."""


class PrefixTable:
    """An immutable table; of equal prefixes the last counts.

    Args:
        values: address or block as text, and its value, 0 or more.
    """

    def __init__(self, values: Iterable[tuple[str, int]]) -> None:
        starts, found = _ranges({_bounds(text): value for text, value in values})
        self._starts = np.frombuffer(b"".join(start.to_bytes(16, "big") for start in starts), _VOID)
        self._values = np.array(found, np.int32)

    def lookup(self, distinct: AddressColumn) -> npt.NDArray[np.int32]:
        """The value of the longest prefix of each address, ``NOTHING`` without one; shape (n,)."""
        if len(self._values) == 1:
            return np.full(len(distinct), NOTHING, np.int32)
        as_void = np.ascontiguousarray(distinct).view(_VOID).reshape(-1)
        found: npt.NDArray[np.int32] = self._values[np.searchsorted(self._starts, as_void, side="right") - 1]
        return found


def _bounds(text: str) -> tuple[int, int]:
    """First and last address of a block, as 128-bit numbers."""
    network = ipaddress.ip_network(text, strict=False)
    first, last = (packed(str(address)) for address in (network.network_address, network.broadcast_address))
    return int.from_bytes(first), int.from_bytes(last)


def _ranges(values: dict[tuple[int, int], int]) -> tuple[list[int], list[int]]:
    """Where a range of one value begins, in order from address 0, and its value."""
    starts, found = [0], [NOTHING]
    around: list[tuple[int, int]] = []

    def begin(start: int, value: int) -> None:
        if starts[-1] == start:
            found[-1] = value
        elif start <= _LAST:
            starts.append(start)
            found.append(value)

    def leave(before: int) -> None:
        while around and around[-1][0] < before:
            last, _ = around.pop()
            begin(last + 1, around[-1][1] if around else NOTHING)

    for first, last in sorted(values, key=lambda one: (one[0], -one[1])):
        leave(first)
        around.append((last, values[first, last]))
        begin(first, values[first, last])
    leave(_LAST + 1)
    return starts, found
