# SPDX-License-Identifier: Apache-2.0
"""The index of who had which address when, kept from changes of Kubernetes objects, for any number of threads.

Before: ``objects_source``, which applies changes; after: ``gather``, which reads what one batch needs. One lock, held for
microseconds by a change and for the distinct addresses of a batch by a reader.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from flowgauge.enrich.cluster_state import ClusterState
from flowgauge.k8s.changes import Change, ChangeKind
from flowgauge.runtime.metrics import Sample

MAX_OBJECTS = 1_000_000
"""Objects held at once, about 1 kB each; more are refused and counted. The largest clusters have about 300 000 of ours."""


class KubernetesIndex:
    """Knows nothing at first.

    Attributes:
        refused: states of new objects that were left out because ``max_objects`` are held.
    """

    def __init__(self, *, max_objects: int = MAX_OBJECTS) -> None:
        self.refused = 0
        self._max_objects = max_objects
        self._state = ClusterState()
        self._lock = threading.Lock()

    def apply(self, change: Change) -> None:
        """Takes over one change."""
        with self._lock:
            if change.kind is ChangeKind.DELETED:
                self._state.remove(change.object, change.time_ms)
            elif self._state.objects < self._max_objects or self._state.holds(change.object):
                self._state.put(change.object, change.time_ms)
            else:
                self.refused += 1

    @contextmanager
    def reading(self) -> Iterator[ClusterState]:
        """The state, which does not change within the block and must not be used after it."""
        with self._lock:
            yield self._state

    def samples(self) -> Iterable[Sample]:
        """What ``/metrics`` tells of the index."""
        with self.reading() as state:
            return [
                Sample("enrich_objects", "Kubernetes objects that give names.", state.objects),
                Sample("enrich_addresses", "Addresses of which a holder is or was known.", state.addresses),
                Sample(
                    "enrich_tenures_forgotten", "Past holders forgotten to stay in bounds.", state.forgotten, cumulative=True
                ),
                Sample("enrich_objects_refused", "States of objects beyond the largest number.", self.refused, cumulative=True),
            ]
