# SPDX-License-Identifier: Apache-2.0
"""Longest-prefix lookup of many addresses at once: prefixes flattened into ranges, found by one binary search. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import V4_MAPPED_PREFIX, AddressColumn, packed

Prefix = tuple[bytes, int]
"""The first address, 16 bytes, and how many of its 128 bits count."""

NOTHING = -1
"""The value of addresses that are in no prefix."""

_VOID = np.dtype((np.void, 16))
_LAST = (1 << 128) - 1
_ALL_IPV4: Prefix = (V4_MAPPED_PREFIX + bytes(4), 96)


def prefix(text: str) -> Prefix:
    """The prefix of an address or block as text; ValueError when it is none."""
    network = ipaddress.ip_network(text, strict=False)
    length = network.prefixlen + (96 if network.version == 4 else 0)
    return packed(str(network.network_address)), length


class PrefixTable:
    """An immutable table; of equal prefixes the last counts. An IPv6 block holds no IPv4 address, ``::/0`` neither.

    Args:
        values: prefixes and their values, 0 or more.
    """

    def __init__(self, values: Iterable[tuple[Prefix, int]]) -> None:
        starts, found = _ranges({_ALL_IPV4: NOTHING, **dict(values)})
        self._starts = np.frombuffer(b"".join(start.to_bytes(16, "big") for start in starts), _VOID)
        self._values = np.array(found, np.int64)

    def lookup(self, distinct: AddressColumn) -> npt.NDArray[np.int64]:
        """The value of the longest prefix of each address, ``NOTHING`` without one; shape (n,)."""
        if (self._values == NOTHING).all():
            return np.full(len(distinct), NOTHING, np.int64)
        as_void = np.ascontiguousarray(distinct).view(_VOID).reshape(-1)
        found: npt.NDArray[np.int64] = self._values[np.searchsorted(self._starts, as_void, side="right") - 1]
        return found


def _bounds(block: Prefix) -> tuple[int, int]:
    """First and last address of a block, as 128-bit numbers."""
    first, length = int.from_bytes(block[0]), block[1]
    hosts = _LAST >> length
    return first & ~hosts, first | hosts


def _ranges(values: dict[Prefix, int]) -> tuple[list[int], list[int]]:
    """Where a range of one value begins, in order from address 0, and its value."""
    bounds = {_bounds(block): value for block, value in values.items()}
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

    for first, last in sorted(bounds, key=lambda one: (one[0], -one[1])):
        leave(first)
        around.append((last, bounds[first, last]))
        begin(first, bounds[first, last])
    leave(_LAST + 1)
    return starts, found
