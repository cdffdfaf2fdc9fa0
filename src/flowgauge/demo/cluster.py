# SPDX-License-Identifier: Apache-2.0
"""A scene that is a cluster: each pod's place in the network, its Kubernetes objects and the truth about it, kept in step.

Stands on ``scene`` (network) and ``objects`` (event log); ``flow_demo`` builds the story on it. Used by one thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from flowgauge.demo.objects import networking, workloads
from flowgauge.demo.objects.log import EventLog
from flowgauge.demo.objects.meta import Object, ending
from flowgauge.demo.objects.networking import Port
from flowgauge.demo.scene import cgroups, counters, processes
from flowgauge.demo.scene.counters import Counted
from flowgauge.demo.scene.network import Network
from flowgauge.demo.scene.nodes import Node
from flowgauge.demo.scene.pods import PodPlace, add_pod
from flowgauge.demo.scene.processes import Process, Program
from flowgauge.demo.scene.services import Service, Translation
from flowgauge.demo.truth import Tenure, TruthLog
from flowgauge.runtime.clock import Clock, now_ns

_BETWEEN_TENANTS_S = 0.1
"""Pause before an address gets a new holder, longer than the kernel's coarse clock (4 ms): each packet has one holder."""


@dataclass(slots=True)
class Workload:
    """A Deployment or DaemonSet: ``template_owner`` is what owns its pods (for a Deployment its ReplicaSet)."""

    controller: Object
    template_owner: Object
    ports: list[tuple[str, int, str]]

    @property
    def namespace(self) -> str:
        """Its namespace."""
        space: str = self.controller["metadata"]["namespace"]
        return space

    @property
    def name(self) -> str:
        """Its name."""
        name: str = self.controller["metadata"]["name"]
        return name


@dataclass(slots=True)
class Pod:
    """A pod: where it is, its API object, what it belongs to, and what runs in it."""

    place: PodPlace
    thing: Object
    workload: Workload
    tenure: Tenure
    processes: list[Process] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        return self.place.name

    @property
    def address(self) -> str:
        """Its address."""
        return self.place.address


@dataclass(slots=True)
class _Endpoints:
    services: list[Service]
    slice: Object
    pods: list[Pod]


class Cluster:
    """Builds a cluster on ``network``.

    Args:
        network: already up.
        events: where watch events are written.
        truth: where tenures are written.
        log_dir: folder for what the pods' programs print.
        clock: wall time.
    """

    def __init__(self, network: Network, events: EventLog, truth: TruthLog, log_dir: Path, clock: Clock = now_ns) -> None:
        self.network, self.truth, self.log_dir = network, truth, log_dir
        self.resolv_conf: Path | None = None
        self.pods: list[Pod] = []
        self._counted = Counted()
        self._events, self._clock = events, clock
        self._cluster_ips = Translation.cluster_ips(network)
        self._routes = Translation.routes(network)
        self._endpoints: dict[str, _Endpoints] = {}
        self._routed: dict[str, tuple[str, int]] = {}
        for node in network.nodes.values():
            self._node(node)

    def namespace(self, name: str) -> None:
        """Makes a namespace."""
        now = self._clock()
        self._events.added(workloads.namespace(name, now), now)

    def put(self, thing: Object) -> None:
        """Makes any other object."""
        self._events.added(thing, self._clock())

    def deployment(
        self, space: str, name: str, ports: list[tuple[str, int, str]], *, replicas: int = 1, part_of: str = ""
    ) -> Workload:
        """A Deployment and its ReplicaSet; pods are added by ``pod``."""
        now, template_hash = self._clock(), ending(10)
        controller = workloads.deployment(space, name, replicas, _labels(name, part_of), now)
        self._events.added(controller, now)
        replica_set = self._events.added(workloads.replica_set(controller, template_hash, now), now)
        return Workload(controller, replica_set, ports)

    def daemon_set(self, space: str, name: str, ports: list[tuple[str, int, str]]) -> Workload:
        """A DaemonSet; pods are added by ``pod``."""
        now = self._clock()
        controller = workloads.daemon_set(space, name, len(self.network.nodes), _labels(name, ""), now)
        return Workload(controller, self._events.added(controller, now), ports)

    def pod(self, workload: Workload, node: str, *, address: str = "") -> Pod:
        """A running pod without a program yet; its address is known to the API from now on."""
        name = f"{workload.template_owner['metadata']['name']}-{ending(5)}"
        place = add_pod(self.network, self.network.nodes[node], name, address=address)
        now = self._clock()
        thing = workloads.pod(
            workload.template_owner,
            name,
            address=place.address,
            node=(node, place.node.address),
            ports=workload.ports,
            time_ns=now,
        )
        kind = workload.controller["kind"]
        space, owner = workload.namespace, workload.name
        tenure = Tenure(place.address, "Pod", space, name, owner, kind, now, node=node, zone=place.node.zone, mac=place.mac())
        pod = Pod(place, self._events.added(thing, now), workload, self.truth.begin(tenure))
        self.pods.append(pod)
        return pod

    def run(self, pod: Pod, program: Program) -> Process:
        """Starts a program in a pod; only from the thread that lives as long as the scene (its end ends the program)."""
        place = pod.place
        uid: str = pod.thing["metadata"]["uid"]
        process = processes.start(
            self.network.journal,
            program,
            self.log_dir / f"{pod.name}.log",
            netns=place.netns,
            cgroup=cgroups.container(place.cgroup, uid) if place.cgroup is not None else None,
            resolv_conf=self.resolv_conf,
        )
        pod.processes.append(process)
        return process

    def remove(self, pod: Pod) -> None:
        """Stops a pod's programs and removes its link; its address is free afterwards."""
        for process in pod.processes:
            process.stop()
        self._counted = self._counted.plus(counters.counted(pod.place.netns))
        pod.place.remove()
        now = self._clock()
        pod.tenure.to_ns = now
        self._events.deleted(workloads.terminated(pod.thing, now), now)
        self.pods.remove(pod)
        time.sleep(_BETWEEN_TENANTS_S)

    def counted(self) -> Counted:
        """What the kernels of its pods counted until now, those of pods that are gone, too."""
        present = (counters.counted(pod.place.netns) for pod in self.pods)
        return reduce(Counted.plus, present, self._counted)

    def service(self, workload: Workload, pods: list[Pod], *, address: str, ports: Sequence[Port]) -> Object:
        """A ClusterIP Service of ``workload`` with an EndpointSlice."""
        now, name = self._clock(), workload.name
        thing = networking.service(
            workload.namespace, name, address=address, ports=ports, selector={"name": workload.name}, time_ns=now
        )
        self._events.added(thing, now)
        slice_ = self._events.added(networking.endpoint_slice(thing, ending(5), [pod.thing for pod in pods], now), now)
        virtual = [
            Service(f"{name}/{port}", address, number, target, protocol.lower(), [pod.address for pod in pods])
            for port, number, target, protocol in ports
        ]
        self._endpoints[name] = _Endpoints(virtual, slice_, list(pods))
        self._cluster_ips.put(*virtual)
        self.truth.begin(Tenure(address, "Service", workload.namespace, name, workload.name, workload.controller["kind"], now))
        return thing

    def route(self, service: Object, host: str, address: str, port: int) -> None:
        """A Route: the outside reaches the pods of ``service`` at ``address``:``port``."""
        self.put(networking.route(service, host, self._clock()))
        name = service["metadata"]["name"]
        self._routed[name] = (address, port)
        self._put_route(name)

    def outside(self, address: str, label: str) -> None:
        """An outside client whose subnet has this label; without a label nothing is known of it."""
        if not label:
            return
        self.truth.begin(Tenure(address, "Subnet", "", label, "", "", self._clock()))

    def endpoints(self, service: str, pods: list[Pod]) -> None:
        """Gives a Service, and the Route to it, other pods; connections that exist stay where they are."""
        entry, now = self._endpoints[service], self._clock()
        entry.slice = self._events.modified(networking.with_endpoints(entry.slice, [pod.thing for pod in pods]), now)
        entry.pods = list(pods)
        for virtual in entry.services:
            virtual.endpoints = [pod.address for pod in pods]
        self._cluster_ips.put(*entry.services)
        if service in self._routed:
            self._put_route(service)

    def _put_route(self, service: str) -> None:
        (address, port), behind = self._routed[service], self._endpoints[service].services[0]
        self._routes.put(Service(service, address, port, behind.target_port, behind.proto, behind.endpoints))

    def _node(self, node: Node) -> None:
        now = self._clock()
        self._events.added(workloads.node(node.name, node.zone, node.address, node.pod_block, now), now)
        self.truth.begin(Tenure(node.address, "Node", "", node.name, node.name, "Node", now, node=node.name, zone=node.zone))


def _labels(name: str, part_of: str) -> dict[str, str]:
    labels = {"name": name, "app": name}
    return {**labels, "app.kubernetes.io/part-of": part_of} if part_of else labels
