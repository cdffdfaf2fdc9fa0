# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes objects that give flows their names, with only the fields that this takes.

Before: ``parse``, which makes them of the API's JSON; after: ``enrich``. Times are ms since 1970 UTC, addresses texts in
their usual spelling. Two states of an object that name flows alike are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller of an object."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Meta:
    """What every object has. ``uid`` is its own, or made of kind and name where a dump leaves it out."""

    kind: str
    namespace: str
    name: str
    uid: str
    created_ms: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A machine."""

    meta: Meta
    addresses: tuple[str, ...]
    pod_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plain:
    """An object of which only the metadata matter: a Namespace, or a link of an owner chain (ReplicaSet, Job …)."""

    meta: Meta


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a container, a Service or its backends.

    Attributes:
        proto: IANA number.
        target: of a Service: number or name of the backends' port.
    """

    name: str
    number: int
    proto: int
    target: int | str = 0


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod.

    Attributes:
        host_addresses: its node's addresses, as far as the pod's status tells them.
        ports: the containers' named ports, which a Service's target may mean.
        started_ms: ``status.startTime``, else its creation.
        finished: it has ended and gave its addresses back (``status`` may go on telling them).
        finished_ms: when its last container ended, to the second; 0 when that is not known.
        host_network: its addresses are those of its node.
    """

    meta: Meta
    addresses: tuple[str, ...]
    node: str = ""
    host_addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    started_ms: int = 0
    finished: bool = False
    finished_ms: int = 0
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A Service.

    Attributes:
        addresses: its ClusterIPs; none for a headless Service.
        outer_addresses: external IPs and addresses of load balancers, which it may share with nodes and other Services.
    """

    meta: Meta
    addresses: tuple[str, ...]
    outer_addresses: tuple[str, ...]
    selector: Mapping[str, str]
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One backend of a Service; ``pod_uid`` is empty where it is not a pod."""

    addresses: tuple[str, ...]
    pod_uid: str


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """Backends of the Service ``service`` of the same namespace."""

    meta: Meta
    service: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


KubernetesObject = Node | Plain | Pod | Service | EndpointSlice
