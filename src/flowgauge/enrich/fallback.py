# SPDX-License-Identifier: Apache-2.0
"""What is said of addresses that nothing in Kubernetes holds: a fixed name, or at least the node in whose pod block they are.

The latter is what a pod is called until its watch event has come. Used under the index's lock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.enrich.as_of import Bytes, Ints
from flowgauge.enrich.blocks import Blocks
from flowgauge.enrich.cluster_state import ClusterState
from flowgauge.enrich.identities import Identities, fixed
from flowgauge.enrich.identity_table import IdentityTable
from flowgauge.flow.addresses import AddressColumn
from flowgauge.flow.prefixes import PrefixTable, prefix
from flowgauge.schema.enums import IDENTITY_CONFIDENCE, code

_EXACT, _LIKELY = code(IDENTITY_CONFIDENCE, "exact"), code(IDENTITY_CONFIDENCE, "likely")


@dataclass(frozen=True, slots=True)
class Said:
    """For each distinct address the number of an identity, 0 for none, and the code of ``enums.IDENTITY_CONFIDENCE``."""

    identity: Ints
    confidence: Bytes


class Fallback:
    """The fixed names of a document and the pod blocks of the present nodes."""

    def __init__(self, blocks: Blocks, identities: Identities, table: IdentityTable) -> None:
        self._blocks, self._identities, self._table = blocks, identities, table
        self._valid = (-1, -1)
        self._names = self._nodes = np.zeros(1, np.int32)
        self._node_of = PrefixTable(())

    def refresh(self, state: ClusterState) -> None:
        """Takes over the nodes there are."""
        valid = (state.nodes_version, self._table.epoch)
        if valid == self._valid:
            return
        names = [self._table.put(fixed(name, kind)) for name, kind in self._blocks.names]
        nodes = list(state.nodes())
        on_nodes = [self._table.put(self._identities.on_node(node.meta)) for node in nodes]
        # The last entry is that of NOTHING, -1.
        self._names, self._nodes = np.array([*names, 0], np.int32), np.array([*on_nodes, 0], np.int32)
        self._node_of = PrefixTable((prefix(block), number) for number, node in enumerate(nodes) for block in node.pod_cidrs)
        self._valid = valid

    def say(self, distinct: AddressColumn) -> Said:
        """What is said of each address."""
        name = self._names[self._blocks.name(distinct)]
        node = self._nodes[self._node_of.lookup(distinct)]
        identity = np.where(name > 0, name, node).astype(np.int32)
        confidence = np.where(name > 0, _EXACT, np.where(node > 0, _LIKELY, 0))
        return Said(identity, confidence.astype(np.uint8))
