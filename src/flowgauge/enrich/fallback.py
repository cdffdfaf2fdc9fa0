# SPDX-License-Identifier: Apache-2.0
"""What is said of addresses that nothing in Kubernetes holds: a fixed name, or at least the node in whose pod block they are.

The latter is what a pod is called until its watch event has come. Used under the index's lock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.as_of import Bytes, Ints
from flowgauge.enrich.blocks import Blocks
from flowgauge.enrich.cluster_state import ClusterState
from flowgauge.enrich.identities import NOBODY, Identities, Identity, fixed
from flowgauge.enrich.prefixes import PrefixTable
from flowgauge.flow.addresses import AddressColumn
from flowgauge.schema.enums import IDENTITY_CONFIDENCE, code

_EXACT, _LIKELY = code(IDENTITY_CONFIDENCE, "exact"), code(IDENTITY_CONFIDENCE, "likely")


@dataclass(frozen=True, slots=True)
class Said:
    """For each distinct address the number of the identity in :attr:`Fallback.identities`, 0 for none, and the confidence."""

    identity: Ints
    confidence: Bytes


class Fallback:
    """The fixed names of a document and the pod blocks of the present nodes."""

    def __init__(self, blocks: Blocks, identities: Identities) -> None:
        self.identities: list[Identity] = []
        self._blocks, self._identities = blocks, identities
        self._fixed = [NOBODY, *(fixed(name, kind) for name, kind in blocks.names)]
        self._of_version = -1
        self._node_of = PrefixTable(())

    def refresh(self, state: ClusterState) -> None:
        """Takes over the nodes there are."""
        if state.nodes_version == self._of_version:
            return
        self._of_version, self.identities = state.nodes_version, list(self._fixed)
        numbered: list[tuple[str, int]] = []
        for node in state.nodes():
            numbered += [(block, len(self.identities)) for block in node.pod_cidrs]
            self.identities.append(self._identities.on_node(node.meta))
        self._node_of = PrefixTable(numbered)

    def say(self, distinct: AddressColumn) -> Said:
        """What is said of each address."""
        names, nodes = self._blocks.name(distinct), self._node_of.lookup(distinct)
        identity: Ints = np.where(names >= 0, names + 1, np.maximum(nodes, 0)).astype(np.int32)
        confidence = np.where(names >= 0, _EXACT, np.where(nodes >= 0, _LIKELY, 0))
        return Said(identity, confidence.astype(np.uint8))


def in_place_of_nobody(
    found: npt.NDArray[np.int32], confidence: Bytes, keys: Ints, said: Said
) -> tuple[npt.NDArray[np.int32], Bytes]:
    """Identities and confidences of rows, with what is said of the addresses ``keys`` where nobody was found."""
    nobody = found == 0
    return (
        np.where(nobody, said.identity[keys], found).astype(np.int32),
        np.where(nobody, said.confidence[keys], confidence).astype(np.uint8),
    )
