# SPDX-License-Identifier: Apache-2.0
"""Groups rows by several 64-bit keys, exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Index = npt.NDArray[np.intp]

_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F], np.uint64)
"""Odd constants, one a key; a batch has few distinct keys, and collisions are found."""


def group(keys: Keys) -> tuple[Index, Index]:
    """Groups of equal rows.

    Args:
        keys: uint64 (n, k), k ≤ 5.

    Returns:
        The first row of each group, and for each row the number of its group.
    """
    if not len(keys):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    hashed = keys[:, 0] * _MIX[0]
    for column in range(1, keys.shape[1]):
        hashed ^= keys[:, column] * _MIX[column]
    begins = np.ones(len(hashed), np.bool_)
    np.not_equal(hashed[1:], hashed[:-1], out=begins[1:])
    runs = begins.nonzero()[0]  # senders' rows mostly come in runs
    order = hashed[runs].argsort(kind="stable")
    ordered = hashed[runs][order]
    fresh = np.ones(len(order), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    number = np.empty(len(order), np.intp)
    number[order] = np.cumsum(fresh) - 1
    first, inverse = runs[order[fresh]], number[np.cumsum(begins) - 1]
    if not (keys[first[inverse]] == keys).all():  # a collision, by chance or on purpose: compare in full
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)
