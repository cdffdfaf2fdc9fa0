# SPDX-License-Identifier: Apache-2.0
"""A cluster's objects, made by the demo's builders and put into an index, and flows to look up in it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgauge.config.model import Enrichment
from flowgauge.demo.objects import networking, workloads
from flowgauge.demo.objects.meta import Object
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.stage import Enricher
from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.k8s.changes import Change, ChangeKind
from flowgauge.k8s.parse import parse
from flowgauge.schema.enums import IDENTITY_CONFIDENCE, IDENTITY_SOURCE, LAYER

NOON_MS = 1_766_059_200_000
"""A whole second, as creation times are."""

_ENUMS = {"layer": LAYER, "identity_source": IDENTITY_SOURCE, "identity_confidence": IDENTITY_CONFIDENCE}


@dataclass(frozen=True)
class Flow:
    """A flow as the stage gets it; times in ms after noon, ``nat_`` the address and port after translation."""

    src: str
    dst: str
    sport: int = 0
    dport: int = 0
    start: int = 0
    end: int = 0
    proto: int = 6
    nat_src: tuple[str, int] = ("", 0)
    nat_dst: tuple[str, int] = ("", 0)


def batch(*flows: Flow) -> FlowBatch:
    """The flows as a batch after ``normalise``."""

    def column(values: list[str]) -> addresses.AddressColumn:
        return addresses.from_texts(value or "::" for value in values)

    ends = np.array([NOON_MS + flow.end for flow in flows], np.int64)
    return FlowBatch(
        {
            "time_end_ms": ends,
            "duration_ms": np.array([flow.end - flow.start for flow in flows], np.uint32),
            "src_addr": column([flow.src for flow in flows]),
            "dst_addr": column([flow.dst for flow in flows]),
            "src_port": np.array([flow.sport for flow in flows], np.uint16),
            "dst_port": np.array([flow.dport for flow in flows], np.uint16),
            "proto": np.array([flow.proto for flow in flows], np.uint8),
            "post_nat_src_addr": column([flow.nat_src[0] for flow in flows]),
            "post_nat_src_port": np.array([flow.nat_src[1] for flow in flows], np.uint16),
            "post_nat_dst_addr": column([flow.nat_dst[0] for flow in flows]),
            "post_nat_dst_port": np.array([flow.nat_dst[1] for flow in flows], np.uint16),
        },
        len(flows),
    )


def texts(found: FlowBatch, column: str) -> list[str]:
    """A column of names or of an enumeration, as texts."""
    data = found[column]
    if isinstance(data, Names):
        return data.to_list()
    labels = _ENUMS[column.partition("_")[2]]
    return [labels[code] for code in data.tolist()]


class Cluster:
    """Puts objects into an index at given times, in ms after noon."""

    def __init__(self) -> None:
        self.index = KubernetesIndex()

    def put(self, thing: Object, at: int = 0, kind: str = "ADDED") -> Object:
        """The object is in this state."""
        found = parse(thing)
        assert found is not None
        self.index.apply(Change(ChangeKind(kind), NOON_MS + at, found))
        return thing

    def delete(self, thing: Object, at: int) -> None:
        """The object is gone."""
        self.put(thing, at, "DELETED")

    def node(self, name: str, zone: str, address: str, block: str, at: int = 0) -> Object:
        """A node."""
        return self.put(workloads.node(name, zone, address, block, ns(at)), at)

    def replica_set(self, space: str, name: str, at: int = 0, labels: dict[str, str] | None = None) -> Object:
        """A Deployment and its ReplicaSet, which it gives."""
        owner = self.put(workloads.deployment(space, name, 1, labels or {"app": name}, ns(at)), at)
        return self.put(workloads.replica_set(owner, "5d8f", ns(at)), at)

    def pod(
        self,
        owner: Object,
        name: str,
        address: str,
        at: int = 0,
        node: tuple[str, str] = ("node-a", "192.168.50.11"),
        **spec: Any,
    ) -> Object:
        """A running pod of ``owner``, with an address (and more in its spec)."""
        return self.put(pod(owner, name, address, at, node, **spec), at)

    def service(
        self, space: str, name: str, address: str, *pods: Object, port: tuple[int, int] = (80, 8080), at: int = 0
    ) -> Object:
        """A Service with an EndpointSlice of ``pods``; gives the slice. ``port`` is its own and the pods'."""
        one = service(space, name, address, port, at)
        self.put(one, at)
        return self.put(networking.endpoint_slice(one, "x", pods, ns(at)), at)

    def enriched(self, *flows: Flow, **enrichment: Any) -> FlowBatch:
        """The flows with names, under a document's enrichment section (camel case)."""
        return Enricher(self.index, Enrichment.model_validate(enrichment))(batch(*flows))


def ns(at: int) -> int:
    """Nanoseconds since 1970 of ``at`` ms after noon."""
    return (NOON_MS + at) * 1_000_000


def pod(
    owner: Object, name: str, address: str, at: int = 0, node: tuple[str, str] = ("node-a", "192.168.50.11"), **spec: Any
) -> Object:
    """A pod's object; without an address when that is empty."""
    made = workloads.pod(owner, name, address=address, node=node, ports=[("http", 8080, "TCP")], time_ns=ns(at))
    made["spec"].update(spec)
    if not address:
        for field in ("podIP", "podIPs"):
            del made["status"][field]
    return made


def service(space: str, name: str, address: str, port: tuple[int, int] = (80, 8080), at: int = 0) -> Object:
    """A Service's object that selects pods by label ``app``."""
    return networking.service(
        space, name, address=address, ports=[("http", *port, "TCP")], selector={"app": name}, time_ns=ns(at)
    )


def with_status(thing: Object, **status: Any) -> Object:
    """The same object in another state."""
    return {**copy.deepcopy(thing), "status": {**thing["status"], **status}}
