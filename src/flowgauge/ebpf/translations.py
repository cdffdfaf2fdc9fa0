# SPDX-License-Identifier: Apache-2.0
"""Joins flows with what this node's address translation made of them.

The kernel keeps ``translations`` by the flow's key, of epoch 0; here they become columns beside the flows, zero where an end
was not translated. Pure functions of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf.abi import FLOW_KEY, Structured

_KEY_WORDS = FLOW_KEY.itemsize // 8
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F], np.uint64)
"""Odd 64-bit constants, one for each word of a key."""


@dataclass(frozen=True, slots=True)
class Translations:
    """The tuple after this node's translation, row by row with the flows asked for.

    Attributes:
        found: (n,) bool: the flow was translated.
        src_addr, dst_addr: (n, 16) uint8, all zero where that address stayed as in the key.
        src_port, dst_port: (n,) uint16, 0 where that end's address and port stayed; when either changed, both are given.
    """

    found: npt.NDArray[np.bool_]
    src_addr: npt.NDArray[np.uint8]
    dst_addr: npt.NDArray[np.uint8]
    src_port: npt.NDArray[np.uint16]
    dst_port: npt.NDArray[np.uint16]


def join(flow_keys: Structured, known_keys: Structured, known: Structured) -> Translations:
    """The translation of each of ``flow_keys`` among ``known_keys``, whose values are ``known`` (FLOW_KEY, TRANSLATION)."""
    count = len(flow_keys)
    found = np.zeros(count, np.bool_)
    source, destination = _End(count), _End(count)
    if count and len(known_keys):
        rows = match(flow_keys, known_keys)
        found = rows >= 0
        after = known[rows[found]]
        source.fill(found, flow_keys, after, "src")
        destination.fill(found, flow_keys, after, "dst")
        found &= source.changed | destination.changed
    return Translations(found, source.address, destination.address, source.port, destination.port)


def before(keys: Structured, flow_keys: Structured | Index, known_keys: Structured, known: Structured) -> Structured:
    """The flows to which ``keys`` belong that were seen anywhere on the node, perhaps behind its translation.

    A key that is a flow's own stays; one that translation made of a flow becomes that flow's; any other stays.
    """
    if not len(known_keys):
        return keys
    after = known_keys.copy()
    for name in ("src_addr", "dst_addr", "src_port", "dst_port"):
        after[name] = known[name]
    rows = match(keys, after)
    rows[match(keys, flow_keys) >= 0] = -1
    found = keys.copy()
    found[rows >= 0] = known_keys[rows[rows >= 0]]
    return found


class _End:
    """Columns of one end; stay zero where it did not change."""

    def __init__(self, count: int) -> None:
        self.address = np.zeros((count, 16), np.uint8)
        self.port = np.zeros(count, np.uint16)
        self.changed = np.zeros(count, np.bool_)

    def fill(self, found: npt.NDArray[np.bool_], flow_keys: Structured, after: Structured, end: str) -> None:
        before = flow_keys[found]
        address, port = f"{end}_addr", f"{end}_port"
        differs = (before[address] != after[address]).any(axis=1) | (before[port] != after[port])
        rows = np.flatnonzero(found)[differs]
        self.address[rows] = after[address][differs]
        self.port[rows] = after[port][differs]
        self.changed[rows] = True


def words(keys: Structured) -> npt.NDArray[np.uint64]:
    """Flow keys as numbers, (n, 5)."""
    return np.ascontiguousarray(keys).view(np.uint64).reshape(-1, _KEY_WORDS)


def hashes(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Of flow keys as numbers, (n,): equal keys have equal ones, others differ."""
    return keys @ _MIX


class Index:
    """Keys among which several times others are looked up: they are sorted once, by hash, when first asked."""

    def __init__(self, keys: Structured) -> None:
        self._keys = keys

    @cached_property
    def _sorted(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.intp]]:
        """The keys' words; their hashes in order, and the rows of those."""
        by = hashes(words(self._keys))
        order = np.argsort(by)
        return words(self._keys), by[order], order

    @cached_property
    def _marks(self) -> tuple[npt.NDArray[np.bool_], np.uint64]:
        """How hashes of the keys begin, some sixteen places a key; and by how many bits to shift one to find its place."""
        bits = len(self._keys).bit_length() + 4
        shift, marks = np.uint64(64 - bits), np.zeros(1 << bits, np.bool_)
        marks[self._sorted[1] >> shift] = True
        return marks, shift

    def rows(self, wanted: Structured) -> npt.NDArray[np.intp]:
        """As ``match``."""
        found = np.full(len(wanted), -1, np.intp)
        if not len(self._keys) or not len(wanted):
            return found
        known_words, known_hashes, order = self._sorted
        marks, shift = self._marks
        wanted_words = words(wanted)
        wanted_hashes = hashes(wanted_words)
        perhaps = np.flatnonzero(marks[wanted_hashes >> shift])
        at = np.minimum(np.searchsorted(known_hashes, wanted_hashes[perhaps]), len(order) - 1)
        same = (known_words[order[at]] == wanted_words[perhaps]).all(axis=1)
        found[perhaps[same]] = order[at[same]]
        return found


def match(wanted: Structured, known: Structured | Index) -> npt.NDArray[np.intp]:
    """For each wanted key the row of the same key in ``known``, -1 without: by hash, then compared in full.

    Two known keys of one hash (a chance of 2**-64 a pair) would hide one of them, which reads as not translated.
    """
    return (known if isinstance(known, Index) else Index(known)).rows(wanted)
