# SPDX-License-Identifier: Apache-2.0
"""Everything that one batch needs of the index, copied out in one go: the only part of a lookup that holds the lock.

Costs a few microseconds for a distinct address that is new, or about which something changed, next to nothing for the others
and nothing for a row. Before: ``kubernetes``, ``known``; after: ``ends``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.as_of import ALWAYS, AsOf, Found, FrozenAsOf, Ints, Times, certainty, settled_since
from flowgauge.enrich.backends import ANY_POD, Backend
from flowgauge.enrich.cluster_state import ClusterState
from flowgauge.enrich.holders import Holder
from flowgauge.enrich.identity_table import IdentityTable
from flowgauge.enrich.known import Answer, Known, Place, Recalled
from flowgauge.enrich.numbering import Distinct
from flowgauge.enrich.timeline import Stretch, Timeline
from flowgauge.flow.addresses import AddressColumn


class Plain(NamedTuple):
    """An address that one holder has had since before the batch, and at which no Service stands: the common case."""

    key: int
    since_ms: int
    identity: int


class Gathered:
    """What the index says of the distinct addresses of a batch.

    Args:
        distinct: they and their numbers. A *key* below is a position in it; -1, an address that a row does not have, is
            nobody's.
        span: when the first of the batch's flows began and the last ended, ms.
        known: what was asked before; takes in what is asked now.
        uids: of pods that are asked for by these.

    Attributes:
        has_holder: which addresses have or had a holder.
        pods: the identities of the pods that are known by their UID.
    """

    def __init__(self, distinct: Distinct, span: tuple[int, int], state: ClusterState, table: IdentityTable,
                 known: Known, *, uids: Collection[str] = ()) -> None:  # fmt: skip
        self._table = table
        recalled = known.recall(distinct.numbers, span[0])
        self.has_holder = recalled.held
        holders = AsOf(np.append(recalled.identity, np.int32(0)), np.append(recalled.confidence, np.uint8(0)), *span)
        standing = _Standing(recalled, table)
        answers: list[Answer] = []

        def number(holder: Holder) -> int:
            return table.number(holder, state)

        self.pods = {uid: number(holder) for uid in uids if (holder := state.pod_holder(uid)) is not None}
        asked, packed = recalled.asked.tolist(), _packed(distinct.addresses[recalled.asked])
        plain: list[Plain] = []
        for key, address, tenure in zip(asked, packed, state.undisputed(packed), strict=True):
            if tenure is not None and tenure.from_ms <= span[0]:
                plain.append(Plain(key, tenure.from_ms, number(tenure.holder)))
                continue
            stretches = state.stretches(address)
            holders.add(key, stretches, number)
            self.has_holder[key] = bool(stretches)
            since_ms, last = settled_since(stretches)
            ports_since_ms, places = standing.add(key, state.backends.at(address) or {})
            identity = 0 if last is None else number(last.holder)
            answers.append(
                Answer(
                    int(distinct.numbers[key]),
                    max(since_ms, ports_since_ms),
                    identity,
                    certainty(last),
                    bool(stretches),
                    places,
                )
            )
        known.keep(answers)
        if plain:
            keys, since_ms, identity = np.array(plain, np.int64).T
            holders.settle(keys, identity)
            self.has_holder[keys] = True
            known.keep_plain(distinct.numbers[keys], since_ms, identity)
        self._holders = holders.freeze()
        self._take_standing(standing, span)

    def who(self, keys: Ints, start_ms: Times, end_ms: Times) -> Found:
        """The identity of whoever had the address of each row while its flow lasted."""
        return self._holders.at(keys, start_ms, end_ms)

    def service(self, keys: Ints, ports: Ints, who: Ints, start_ms: Times, end_ms: Times) -> Ints:
        """The Service that stood at each row's address and port key, and that its holder ``who`` belonged to; 0 for none.

        A pod does not inherit a Service from one that had its address before. Any other holder takes whatever is listed there:
        a node stands for its pods, and outside the cluster nobody is known.
        """
        found = np.zeros(len(keys), np.int32)
        rows = np.flatnonzero(self._is_served[ports & 0xFFFF] & (keys >= 0))
        if not len(rows):
            return found
        places = keys[rows].astype(np.int64) << 24 | ports[rows]
        at = np.minimum(np.searchsorted(self._places, places), len(self._places) - 1)
        hit = self._places[at] == places
        rows, at = rows[hit], at[hit]
        backend = self._backends.at(self._order[at], start_ms[rows], end_ms[rows]).value
        needed, pod = self._pods[backend], self._table.pods(who[rows])
        fits = (needed == ANY_POD) | (pod == ANY_POD) | (needed == pod)
        found[rows[fits]] = self._services[backend[fits]]
        return found

    def own_service(self, who: Ints) -> Ints:
        """The Service that an identity is itself; 0 for other kinds."""
        return self._table.own_services(who)

    def _take_standing(self, standing: _Standing, span: tuple[int, int]) -> None:
        """Where Services stand: numbers of address and port key in their order, and which entry each is of ``_backends``."""
        places = standing.places()
        self._order = np.argsort(places, kind="stable")
        self._places = places[self._order]
        self._backends, self._services, self._pods = standing.freeze(span)
        self._is_served = np.zeros(1 << 16, np.bool_)
        self._is_served[self._places & 0xFFFF] = True


class _Standing:
    """Services at addresses and ports: those that are known, and those that were asked for, behind them."""

    def __init__(self, recalled: Recalled, table: IdentityTable) -> None:
        self._recalled, self._table = recalled, table
        self._asked: list[tuple[int, Sequence[Stretch[Backend]]]] = []

    def add(self, key: int, ports: Mapping[int, Timeline[Backend]]) -> tuple[int, list[Place]]:
        """What stood at the ports of an address; (since when that is settled, what stands there then)."""
        settled_ms = ALWAYS
        places: list[Place] = []
        for port, timeline in ports.items():
            stretches = timeline.stretches()
            self._asked.append((key << 24 | port, stretches))
            since_ms, last = settled_since(stretches)
            settled_ms = max(settled_ms, since_ms)
            if last is not None:
                places.append(Place(port, self._table.services.number(*_served(last.holder)), last.holder.pod))
        return settled_ms, places

    def places(self) -> Times:
        """Number of address and port key of each."""
        return np.concatenate((self._recalled.places, np.array([place for place, _ in self._asked], np.int64)))

    def freeze(self, span: tuple[int, int]) -> tuple[FrozenAsOf, Ints, Times]:
        """(which backend stood at each place when; of each backend, from 1, the Service; and the pod)."""
        count = len(self._recalled.places)
        services, pods = [0], [ANY_POD]

        def number(backend: Backend) -> int:
            services.append(self._table.services.number(*_served(backend)))
            pods.append(backend.pod)
            return count + len(pods) - 1

        settled = np.zeros(count + len(self._asked), np.int32)
        settled[:count] = np.arange(1, count + 1)
        backends = AsOf(settled, np.zeros(len(settled), np.uint8), *span)
        for position, (_, stretches) in enumerate(self._asked, start=count):
            backends.add(position, stretches, number)
        return (
            backends.freeze(),
            _inserted(np.array(services, np.int32), self._recalled.services),
            _inserted(np.array(pods, np.int64), self._recalled.pods),
        )


def _served(backend: Backend) -> tuple[str, int, int]:
    return backend.service, backend.port, backend.target


def _inserted(own: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``others`` behind the first of ``own``."""
    return np.concatenate((own[:1], others, own[1:]))


def _packed(column: AddressColumn) -> list[bytes]:
    whole: npt.NDArray[Any] = column.view(np.dtype((np.void, 16))).reshape(-1)
    return list(map(bytes, whole.tolist()))
