# SPDX-License-Identifier: Apache-2.0
"""Addresses as columns: uint8 (n, 16) in network order, IPv4 as v4-mapped IPv6 (RFC 4291 §2.5.5.2)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from flowgauge.schema.address import V4_MAPPED_PREFIX, packed

__all__ = [
    "V4_MAPPED_PREFIX", "AddressColumn", "from_ipv4", "from_texts", "on_loopback", "packed", "to_text", "unique", "words",
]  # fmt: skip

AddressColumn = npt.NDArray[np.uint8]
_LOOPBACK_V4 = np.frombuffer(V4_MAPPED_PREFIX + b"\x7f", np.uint8)
_LOOPBACK_V6 = np.frombuffer(bytes(15) + b"\x01", np.uint8)


def from_texts(texts: Iterable[str]) -> AddressColumn:
    """A column from texts; for edges and tests."""
    data = b"".join(map(packed, texts))
    return np.frombuffer(data, np.uint8).reshape(-1, 16)


def from_ipv4(column: npt.NDArray[np.uint8]) -> AddressColumn:
    """Maps IPv4 addresses, uint8 (n, 4), to a column of 16-byte addresses."""
    mapped = np.zeros((len(column), 16), np.uint8)
    mapped[:, 10:12] = 0xFF
    mapped[:, 12:] = column
    return mapped


def to_text(address: bytes) -> str:
    """The text of 16 bytes: IPv4 without ``::ffff:``; empty for the absent (all-zero) address."""
    if address == bytes(16):
        return ""
    if address.startswith(V4_MAPPED_PREFIX):
        return f"{address[12]}.{address[13]}.{address[14]}.{address[15]}"
    return str(ipaddress.IPv6Address(address))


def on_loopback(column: AddressColumn) -> npt.NDArray[np.bool_]:
    """Which of the addresses are those of every machine and pod for itself: 127.0.0.0/8, ::1."""
    of_v4 = (column[:, : len(_LOOPBACK_V4)] == _LOOPBACK_V4).all(axis=1)
    found: npt.NDArray[np.bool_] = of_v4 | (column == _LOOPBACK_V6).all(axis=1)
    return found


def words(column: AddressColumn) -> npt.NDArray[np.uint64]:
    """The column as two native 64-bit words a row, shape (n, 2): equal rows have equal words, for grouping and lookup."""
    return np.ascontiguousarray(column).view(np.uint64).reshape(-1, 2)


def unique(column: AddressColumn) -> tuple[AddressColumn, npt.NDArray[np.intp]]:
    """The distinct addresses, in no particular order, and for each row the index of its address among them.

    Rows are grouped by a hash, five times faster than by comparing 16 bytes; a collision is found and then they are compared.
    """
    pairs = words(column)
    hashes = pairs[:, 0] * _MIX[0] ^ pairs[:, 1] * _MIX[1]
    order = np.argsort(hashes)
    ordered = hashes[order]
    begins = np.ones(len(order), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    inverse = np.empty(len(order), np.intp)
    inverse[order] = np.cumsum(begins) - 1
    distinct = pairs[order[begins]]
    if not np.array_equal(distinct[inverse], pairs):
        return _unique_by_bytes(pairs)
    return distinct.view(np.uint8).reshape(-1, 16), inverse


def _unique_by_bytes(pairs: npt.NDArray[np.uint64]) -> tuple[AddressColumn, npt.NDArray[np.intp]]:
    as_void = pairs.view(np.dtype((np.void, 16))).reshape(-1)
    distinct, inverse = np.unique(as_void, return_inverse=True)
    return distinct.view(np.uint8).reshape(-1, 16), inverse.reshape(-1)


_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9], np.uint64)
"""Odd constants, one for each word of an address."""
