# SPDX-License-Identifier: Apache-2.0
"""What the index said of addresses, kept from batch to batch, so that only what is new or has changed is asked again.

An answer holds for flows that began at ``since`` or later: from then on one holder has the address, or has had nobody for long
enough, and the same is true of every Service at its ports. Flows that began before are asked about one by one. An answer is
forgotten when something about its address changes (``touched``), all are when names change that many objects have.

Before: ``numbering``, which gives the numbers that answers are kept by; after: ``gather``. Used under the index's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.as_of import CERTAIN, Bytes, Ints, Times
from flowgauge.enrich.cluster_state import ClusterState
from flowgauge.enrich.identity_table import IdentityTable
from flowgauge.enrich.numbering import AddressNumbers

NEVER = np.iinfo(np.int64).max
"""``since`` of what is not known."""

_PORT_BITS = 24


class Place(NamedTuple):
    """A Service at a port key."""

    port: int
    service: int
    pod: int


class Answer(NamedTuple):
    """About one address, for flows that begin at ``since_ms`` or later.

    ``number``: of the address, -1 where it has none; ``held``: whether anybody ever had it; ``places``: of Services.
    """

    number: int
    since_ms: int
    identity: int
    confidence: int
    held: bool
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is known of the addresses of a batch, by their position there.

    Attributes:
        identity, confidence, held: see :class:`Answer`; 0 and False where it has to be asked.
        asked: the positions where it has.
        places: position << 24 | port key of each Service, in their order.
        services, pods: of each place.
    """

    identity: Ints
    confidence: Bytes
    held: npt.NDArray[np.bool_]
    asked: npt.NDArray[np.intp]
    places: Times
    services: Ints
    pods: Times


class Known:
    """Knows nothing at first."""

    def __init__(self, numbers: AddressNumbers, table: IdentityTable) -> None:
        self._numbers, self._table = numbers, table
        self._valid = (-1, -1, -1)
        self._read = 0
        self._clear()

    def _clear(self) -> None:
        self._since: Times = np.full(1, NEVER, np.int64)
        self._identity: Ints = np.zeros(1, np.int32)
        self._confidence: Bytes = np.zeros(1, np.uint8)
        self._held = np.zeros(1, np.bool_)
        self._places: Times = np.zeros(0, np.int64)
        self._services: Ints = np.zeros(0, np.int32)
        self._pods: Times = np.zeros(0, np.int64)

    def begin(self, state: ClusterState) -> None:
        """A batch begins, its addresses have numbers: what no longer holds is forgotten."""
        touched, self._read = state.touched.since(self._read)
        valid = (self._numbers.epoch, state.version, self._table.epoch)
        if touched is None or valid != self._valid:
            self._valid = valid
            self._clear()
        elif touched:
            at = self._numbers.find(np.frombuffer(b"".join(touched), np.uint8).reshape(-1, 16))
            self._since[at[(at >= 0) & (at < len(self._since))]] = NEVER
        self._make_room()

    def _make_room(self) -> None:
        missing = self._numbers.count + 1 - len(self._since)  # the last one is never used: it stands for no number, -1
        if missing > 0:
            missing += len(self._since)
            self._since = np.concatenate((self._since, np.full(missing, NEVER, np.int64)))
            self._identity, self._confidence, self._held = (
                np.concatenate((column, np.zeros(missing, column.dtype)))
                for column in (self._identity, self._confidence, self._held)
            )

    def recall(self, numbers: Ints, from_ms: int) -> Recalled:
        """What is known of the addresses with these numbers (-1: it has none) for flows that began at ``from_ms`` or later."""
        settled = self._since[numbers] <= from_ms
        position = np.full(len(self._since), -1, np.int64)
        position[numbers[settled]] = np.flatnonzero(settled)
        of_place = position[self._places >> _PORT_BITS]
        rows = np.flatnonzero(of_place >= 0)
        return Recalled(
            np.where(settled, self._identity[numbers], 0).astype(np.int32),
            np.where(settled, self._confidence[numbers], 0).astype(np.uint8),
            self._held[numbers] & settled,
            np.flatnonzero(~settled),
            of_place[rows] << _PORT_BITS | self._places[rows] & (1 << _PORT_BITS) - 1,
            self._services[rows],
            self._pods[rows],
        )

    def keep(self, answers: Sequence[Answer]) -> None:
        """Takes in what was asked; about addresses without a number nothing is kept."""
        numbered = [one for one in answers if one.number >= 0]
        if not numbered:
            return
        numbers, since, identity, confidence, held, _ = zip(*numbered, strict=True)
        at = np.array(numbers, np.intp)
        self._since[at], self._identity[at] = since, identity
        self._confidence[at], self._held[at] = confidence, held
        self._replace_places(at, [(one.number << _PORT_BITS | port, *rest) for one in numbered for port, *rest in one.places])

    def keep_plain(self, numbers: Ints, since_ms: Times, identity: Times) -> None:
        """Takes in addresses that surely have one holder, and at which no Service stands, as ``keep``."""
        numbered = numbers >= 0
        at = numbers[numbered].astype(np.intp)
        self._since[at], self._identity[at] = since_ms[numbered], identity[numbered]
        self._confidence[at], self._held[at] = CERTAIN, True
        self._replace_places(at, ())

    def _replace_places(self, numbers: npt.NDArray[np.intp], places: Sequence[tuple[int, ...]]) -> None:
        """These are the places of these addresses from now on."""
        if len(self._places):
            answered = np.zeros(len(self._since), np.bool_)
            answered[numbers] = True
            stays = ~answered[self._places >> _PORT_BITS]
            self._places, self._services, self._pods = self._places[stays], self._services[stays], self._pods[stays]
        if places:
            place, service, pod = np.array(places, np.int64).T
            self._places = np.concatenate((self._places, place))
            self._services = np.concatenate((self._services, service.astype(np.int32)))
            self._pods = np.concatenate((self._pods, pod))
