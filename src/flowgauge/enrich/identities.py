# SPDX-License-Identifier: Apache-2.0
"""The names of one end of a flow, and how they follow from what holds its address."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import NamedTuple

from flowgauge.config.model import Enrichment
from flowgauge.enrich.cluster_state import ClusterState
from flowgauge.enrich.owners import Workload, application, revision
from flowgauge.k8s.objects import Meta, Node, Pod, Service
from flowgauge.schema.enums import LAYER, code

REGION_LABEL = "topology.kubernetes.io/region"

_NAMESPACES = 4096
"""Of so many it is remembered whose they are."""
_APP, _INFRA = code(LAYER, "app"), code(LAYER, "infra")


class Identity(NamedTuple):
    """The names of one end; attributes are the columns without ``src_`` and ``dst_``, ``layer`` is a code.

    A tuple, since one is made of each pod: a frozen dataclass takes five times as long.
    """

    namespace: str = ""
    name: str = ""
    kind: str = ""
    owner: str = ""
    owner_kind: str = ""
    revision: str = ""
    node: str = ""
    zone: str = ""
    region: str = ""
    application: str = ""
    layer: int = 0


NOBODY = Identity()


class Identities:
    """Makes identities by the document's rules. Used under the index's lock."""

    def __init__(self, enrichment: Enrichment) -> None:
        self._zone_key = enrichment.zone_key
        self.layer_of = lru_cache(_NAMESPACES)(self._layer_of)
        """Code of ``enums.LAYER`` of what is in a namespace."""
        self._is_infra = re.compile("|".join(map(fnmatch.translate, enrichment.infra_namespaces)) or r"(?!)").match

    def of(self, thing: Pod | Node | Service, state: ClusterState) -> Identity:
        """The identity of whatever holds an address."""
        if isinstance(thing, Pod):
            return self._pod(thing, state)
        return self._node(thing.meta) if isinstance(thing, Node) else self._service(thing, state)

    def on_node(self, node: Meta) -> Identity:
        """What is known of an address that is in a node's pod block and of which nothing else is."""
        return Identity(node=node.name, zone=node.labels.get(self._zone_key, ""), region=node.labels.get(REGION_LABEL, ""))

    def _pod(self, pod: Pod, state: ClusterState) -> Identity:
        meta, node = pod.meta, state.node(pod.node)
        labels, of_node = meta.labels, node.labels if node is not None else {}
        owner, owner_kind = state.workload(pod)
        return Identity(  # by position, which takes half the time
            meta.namespace,
            meta.name,
            "Pod",
            owner,
            owner_kind,
            revision(labels),
            pod.node,
            of_node.get(self._zone_key, ""),
            of_node.get(REGION_LABEL, ""),
            application(labels, owner),
            self.layer_of(meta.namespace),
        )

    def _node(self, meta: Meta) -> Identity:
        return Identity(
            name=meta.name,
            kind="Node",
            owner=meta.name,
            owner_kind="Node",
            node=meta.name,
            zone=meta.labels.get(self._zone_key, ""),
            region=meta.labels.get(REGION_LABEL, ""),
            layer=_INFRA,
        )

    def _service(self, service: Service, state: ClusterState) -> Identity:
        """A Service itself: a flow to it of which nobody told the backend. All backends of one workload make it the owner."""
        meta = service.meta
        behind = state.workload_behind(service) or Workload(meta.name, "Service")
        return Identity(
            namespace=meta.namespace,
            name=meta.name,
            kind="Service",
            owner=behind.name,
            owner_kind=behind.kind,
            application=application(meta.labels, behind.name),
            layer=self.layer_of(meta.namespace),
        )

    def _layer_of(self, namespace: str) -> int:
        return _INFRA if self._is_infra(namespace) else _APP


def fixed(name: str, kind: str) -> Identity:
    """The identity of a fixed name."""
    return Identity(name=name, kind=kind, owner=name, owner_kind=kind)
