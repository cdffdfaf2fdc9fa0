# SPDX-License-Identifier: Apache-2.0
"""Ends on loopback, an address that every pod has: they are named by the pod's UID, which agents read from control groups.

A UID is one pod's for ever, so that what it names needs no time. Before: ``numbering``; after: ``ends``. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flowgauge.enrich.as_of import CERTAIN, Ints
from flowgauge.enrich.ends import End
from flowgauge.flow.addresses import AddressColumn, on_loopback
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import IDENTITY_SOURCE, code

_CGROUP = code(IDENTITY_SOURCE, "cgroup")


class WithinPods:
    """One end of the flows of a batch, where it is on loopback and its pod is told.

    Args:
        batch: the flows.
        end: ``src`` or ``dst``.
        distinct: addresses, of which ``keys`` has the position of each row's.

    Attributes:
        uids: of the pods.
    """

    def __init__(self, batch: FlowBatch, end: str, distinct: AddressColumn, keys: Ints) -> None:
        column = f"{end}_pod_uid"
        self._pods = batch.names(column) if column in batch else Names.constant("", len(batch))
        told = self._pods.codes > 0
        self._rows = np.flatnonzero(told & on_loopback(distinct)[keys]) if told.any() else np.empty(0, np.intp)
        self.uids = {self._pods.values[number] for number in np.unique(self._pods.codes[self._rows]).tolist()}

    def named(self, found: End, identities: Mapping[str, int]) -> End:
        """``found`` with the pods that have ``identities``, by UID, at their rows."""
        if not identities or not len(self._rows):
            return found
        of_code = np.array([identities.get(uid, 0) for uid in self._pods.values], np.int32)
        identity = of_code[self._pods.codes[self._rows]]
        rows, identity = self._rows[identity > 0], identity[identity > 0]
        changed = replace(found, identity=found.identity.copy(), source=found.source.copy(), confidence=found.confidence.copy())
        changed.identity[rows], changed.source[rows], changed.confidence[rows] = identity, _CGROUP, CERTAIN
        return changed
