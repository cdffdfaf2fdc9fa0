# SPDX-License-Identifier: Apache-2.0
"""Numbers for addresses, kept from batch to batch: a hash table of arrays, so that a known address costs a look and no sort.

Networks talk to the same addresses all the time; sorting the ends of each batch anew was a third of what names cost.
Open addressing with linear probing; the hash has a secret, since whoever sends flows chooses the addresses in them.
Before: ``stage``. Used by one thread at a time.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.flow import addresses
from flowgauge.flow.addresses import AddressColumn

MAX_ADDRESSES = 1 << 18
"""Addresses with a number, about 40 B each; beyond it all are numbered anew."""
MAX_PROBES = 32
"""Places looked at for one address; where it is in none of them, the table is too full."""
_LOAD = 4
"""The table has so many places for each address at least."""
_FIRST_PLACES = 1 << 12

Numbers = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Distinct:
    """The distinct addresses of a column.

    Attributes:
        addresses: (n, 16).
        rows: for each row of the column the index of its address among them.
        numbers: of each of them, -1 where it got none.
    """

    addresses: AddressColumn
    rows: npt.NDArray[np.intp]
    numbers: Numbers


class AddressNumbers:
    """Gives the same number to the same address as long as fewer than ``MAX_ADDRESSES`` are known.

    Attributes:
        epoch: changes when all numbers are given anew.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._secret = _new_secret()
        self._clear()

    @property
    def count(self) -> int:
        """How many numbers, from 0, are given."""
        return self._count

    def distinct(self, column: AddressColumn) -> Distinct:
        """The distinct addresses of (n, 16), in no particular order."""
        numbers = self._numbers(column)
        if numbers is None:
            found, rows = addresses.unique(column)
            return Distinct(found, rows, np.full(len(found), -1, np.int32))
        occurs = np.zeros(self._count, np.bool_)
        occurs[numbers] = True
        kept = np.flatnonzero(occurs)
        positions = np.empty(self._count, np.intp)
        positions[kept] = np.arange(len(kept))
        found = self._known[kept].view(np.uint8).reshape(-1, 16)
        return Distinct(found, positions[numbers], kept.astype(np.int32))

    def find(self, column: AddressColumn) -> Numbers:
        """The numbers of addresses, -1 of those that have none."""
        pairs = addresses.words(column)
        return self._look_up(pairs, self._hashes(pairs))

    def _numbers(self, column: AddressColumn) -> Numbers | None:
        """The number of each address, those included that are new; None when one batch has too many."""
        pairs = addresses.words(column)
        hashes = self._hashes(pairs)
        found = self._look_up(pairs, hashes)
        new = np.flatnonzero(found < 0)
        if not len(new):
            return found
        fresh, inverse = addresses.unique(column[new])
        if self._count + len(fresh) > MAX_ADDRESSES:
            if not self._count or len(fresh) > MAX_ADDRESSES // 2:
                return None
            self._clear()
            return self._numbers(column)
        first = self._count
        self._add(addresses.words(fresh))
        found[new] = (first + inverse).astype(np.int32)
        return found

    def _clear(self) -> None:
        self.epoch += 1
        self._count = 0
        self._known: Words = np.empty((_FIRST_PLACES // _LOAD, 2), np.uint64)
        self._places: Numbers = np.full(_FIRST_PLACES, -1, np.int32)

    def _hashes(self, pairs: Words) -> Words:
        mixed: Words = pairs[:, 0] * self._secret[0] ^ pairs[:, 1] * self._secret[1]
        mixed ^= mixed >> np.uint64(32)
        mixed *= self._secret[0]
        mixed ^= mixed >> np.uint64(29)
        return mixed

    def _look_up(self, pairs: Words, hashes: Words) -> Numbers:
        mask = len(self._places) - 1
        at = (hashes & np.uint64(mask)).astype(np.intp)
        found = self._places[at]
        wrong = np.flatnonzero((found >= 0) & _differ(self._known[found], pairs))
        for _ in range(MAX_PROBES):
            if not len(wrong):
                break
            at[wrong] = (at[wrong] + 1) & mask
            found[wrong] = self._places[at[wrong]]
            held = found[wrong]
            wrong = wrong[(held >= 0) & _differ(self._known[held], pairs[wrong])]
        found[wrong] = -1
        return found

    def _add(self, fresh: Words) -> None:
        """Numbers addresses that are not known, in their order."""
        count = self._count + len(fresh)
        known = np.empty((max(len(self._known), 2 * count), 2), np.uint64) if count > len(self._known) else self._known
        known[: self._count] = self._known[: self._count]
        known[self._count : count] = fresh
        first, self._known, self._count = self._count, known, count
        if count * _LOAD > len(self._places) or not self._place(first):
            self._rebuild()

    def _rebuild(self) -> None:
        size = 2 * len(self._places)
        while size < 2 * _LOAD * self._count:
            size *= 2
        self._places = np.full(size, -1, np.int32)
        self._secret = _new_secret()
        if not self._place(0):
            self._rebuild()

    def _place(self, first: int) -> bool:
        """Puts the numbers from ``first`` on into places; False when one finds none within ``MAX_PROBES``."""
        numbers = np.arange(first, self._count, dtype=np.int32)
        mask = len(self._places) - 1
        at = (self._hashes(self._known[first : self._count]) & np.uint64(mask)).astype(np.intp)
        for _ in range(MAX_PROBES):
            free = self._places[at] < 0
            self._places[at[free]] = numbers[free]  # of several for one place, one wins
            left = self._places[at] != numbers
            if not left.any():
                return True
            numbers, at = numbers[left], (at[left] + 1) & mask
        return False


def _differ(one: Words, other: Words) -> npt.NDArray[np.bool_]:
    """Which addresses are not the same; by halves, for "any" along short rows costs ten times as much."""
    flags: npt.NDArray[np.bool_] = (one[:, 0] != other[:, 0]) | (one[:, 1] != other[:, 1])
    return flags


def _new_secret() -> Words:
    return np.array([secrets.randbits(64) | 1 for _ in range(2)], np.uint64)
