# SPDX-License-Identifier: Apache-2.0
"""Addresses as columns: uint8 (n, 16) in network order, IPv4 as v4-mapped IPv6 (RFC 4291 §2.5.5.2)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

AddressColumn = npt.NDArray[np.uint8]
V4_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


def packed(text: str) -> bytes:
    """The 16 bytes of an address given as text; ValueError when it is none."""
    address = ipaddress.ip_address(text)
    return V4_MAPPED_PREFIX + address.packed if address.version == 4 else address.packed


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
        return ".".join(map(str, address[12:]))
    return str(ipaddress.IPv6Address(address))


def words(column: AddressColumn) -> npt.NDArray[np.uint64]:
    """The column as two native 64-bit words a row, shape (n, 2): equal rows have equal words, for grouping and lookup."""
    return np.ascontiguousarray(column).view(np.uint64).reshape(-1, 2)


def unique(column: AddressColumn) -> tuple[AddressColumn, npt.NDArray[np.intp]]:
    """The distinct addresses and, for each row, the index of its address among them."""
    pairs = words(column)
    as_void = pairs.view(np.dtype((np.void, 16))).reshape(-1)
    distinct, inverse = np.unique(as_void, return_inverse=True)
    return distinct.view(np.uint8).reshape(-1, 16), inverse.reshape(-1)
