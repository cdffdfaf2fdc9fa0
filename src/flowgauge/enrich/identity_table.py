# SPDX-License-Identifier: Apache-2.0
"""Identities and Services by number, kept between batches as codes, so that the columns of a batch are made of arrays alone.

Before: ``identities``, which makes them; after: ``gather``, which takes numbers, and ``stage``, which takes columns.
Used by one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.as_of import Ints
from flowgauge.enrich.backends import ANY_POD, pod_key
from flowgauge.enrich.cluster_state import ClusterState
from flowgauge.enrich.holders import Holder
from flowgauge.enrich.identities import NOBODY, Identities, Identity
from flowgauge.enrich.service_table import ServiceTable
from flowgauge.enrich.texts import Texts, used
from flowgauge.flow.batch import ColumnData
from flowgauge.flow.names import Names
from flowgauge.k8s.objects import Pod, Service

NAMED = tuple(name for name in Identity._fields if name != "layer")
"""Attributes of an identity that become columns of names, in their order; the layer comes behind them."""

_ALIKE = ("name", "owner", "application")
"""They share their texts, and where all of a batch agree, their columns: what nobody owns is its own owner, and an application
has its owner's name unless labels say more."""

MAX_ROWS = 200_000
"""Identities that are kept, about 500 B each; beyond it all are made anew."""


_code: Callable[[Texts, Any], int] = getitem


class IdentityTable:
    """Numbers from 1; 0 is nobody, or no Service. A number holds as long as ``epoch`` does not change.

    Attributes:
        epoch: changes when all numbers are given anew.
        services: the Services.
    """

    def __init__(self, identities: Identities) -> None:
        self.epoch = 0
        self._identities = identities
        self._clear()

    def _clear(self) -> None:
        self.epoch += 1
        self._numbers: dict[Holder, int] = {}
        self._of_version = -1
        self._generations: list[int] = []
        self._new: list[tuple[int, ...]] = []
        """Rows of the last numbers that are in no array yet: codes, layer, pod, Service."""
        shared = Texts()
        self._texts = [shared if name in _ALIKE else Texts() for name in NAMED]
        self.services = ServiceTable()
        self._codes = np.zeros((1024, len(NAMED)), np.int32)
        self._layers = np.zeros(1024, np.uint8)
        self._pods = np.zeros(1024, np.int64)
        self._own_services = np.zeros(1024, np.int32)
        self.put(NOBODY)

    def begin(self, state: ClusterState) -> None:
        """A batch begins: what no longer holds is forgotten."""
        if max(len(self._generations), len(self.services)) > MAX_ROWS:
            self._clear()
        if state.version != self._of_version:
            self._numbers, self._of_version = {}, state.version

    def number(self, holder: Holder, state: ClusterState) -> int:
        """The number of a holder's identity, as things are now."""
        found = self._numbers.get(holder)
        thing = holder.thing
        is_service = isinstance(thing, Service)  # its names depend on the workload behind it
        generation = state.backends.generation((thing.meta.namespace, thing.meta.name)) if is_service else holder.generation
        if found is None or self._generations[found] != generation:
            pod = pod_key(thing.meta.uid) if isinstance(thing, Pod) else ANY_POD
            service = thing.meta.name if is_service else ""
            identity = self._identities.of(thing, state)
            found = self._numbers[holder] = self.put(identity, pod=pod, service=service, generation=generation)
        return found

    def put(self, identity: Identity, *, pod: int = ANY_POD, service: str = "", generation: int = 0) -> int:
        """Adds an identity: of the pod with this key, of the Service of this name, or of anything else; gives its number."""
        number = len(self._generations)
        self._generations.append(generation)
        self._new.append((*map(_code, self._texts, identity), identity.layer, pod, self.services.number(service)))
        return number

    def _take_in(self) -> None:
        """Brings into the arrays what is new: all of a batch at once, which takes a tenth of the time."""
        if not self._new:
            return
        stop = len(self._generations)
        while len(self._codes) < stop:
            self._grow()
        rows = np.array(self._new, np.int64)
        new = slice(stop - len(rows), stop)
        self._codes[new] = rows[:, : len(NAMED)]
        self._layers[new], self._pods[new], self._own_services[new] = rows[:, len(NAMED) :].T
        self._new.clear()

    def _grow(self) -> None:
        self._codes = np.concatenate([self._codes, np.zeros_like(self._codes)])
        self._layers, self._pods, self._own_services = (
            np.concatenate([column, np.zeros_like(column)]) for column in (self._layers, self._pods, self._own_services)
        )

    def pods(self, numbers: Ints) -> npt.NDArray[np.int64]:
        """The key of the pod that each identity is, ``ANY_POD`` for one that is none."""
        self._take_in()
        return self._pods[numbers]

    def own_services(self, numbers: Ints) -> Ints:
        """The Service that each identity is, 0 for one that is none."""
        self._take_in()
        return self._own_services[numbers]

    def identity_columns(self, src: Ints, dst: Ints) -> dict[str, ColumnData]:
        """The columns of ``NAMED`` and the layer, for both ends, from the numbers of their identities."""
        self._take_in()
        numbers, rows = used(len(self._generations), src, dst)
        columns: dict[str, ColumnData] = {}
        alike: list[tuple[Ints, list[Names]]] = []
        for position, (attribute, texts) in enumerate(zip(NAMED, self._texts, strict=True)):
            codes = self._codes[numbers, position]
            ends = next((found for same, found in alike if np.array_equal(same, codes)), None) if attribute in _ALIKE else None
            if ends is None:
                ends = texts.columns(codes, *rows)
            if attribute in _ALIKE:
                alike.append((codes, ends))
            columns[f"src_{attribute}"], columns[f"dst_{attribute}"] = ends
        columns["src_layer"], columns["dst_layer"] = self._layers[src], self._layers[dst]
        return columns
