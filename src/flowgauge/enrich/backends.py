# SPDX-License-Identifier: Apache-2.0
"""Which Service stands at an address and port, over time: at its own addresses, and at those of its backends.

Backends are what the Service's EndpointSlices list. Where there are none (``kubectl get all`` does not print them), they are
the pods that its selector chooses. Not thread-safe: ``kubernetes`` holds the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from flowgauge.enrich import service_ports
from flowgauge.enrich.history import History
from flowgauge.enrich.service_ports import port_key
from flowgauge.enrich.timeline import Tenure, Timeline
from flowgauge.flow.addresses import packed
from flowgauge.k8s.objects import Endpoint, EndpointSlice, Pod, Service

Name = tuple[str, str]
"""Namespace and name."""
Place = tuple[bytes, int]
"""Address and ``port_key``."""


def pod_key(uid: str) -> int:
    """A number that stands for a pod's uid (64 bits: two pods that share one are a thing of 1 in 2**64)."""
    return hash(uid)


ANY_POD = 0
"""Instead of a ``pod_key``: the port is no pod's, as far as anybody told."""


class Backend(NamedTuple):
    """A Service at an address and port; ``pod`` is the key of the pod whose port that is, or ``ANY_POD``.

    ``port`` is the Service's port there, ``target`` that of the pods behind it; 0 where it is not known.
    """

    service: str
    pod: int
    port: int = 0
    target: int = 0


@dataclass(slots=True)
class _Entry:
    """What is known of one Service: itself, its slices by name, where it stands now, and the uids of the pods behind it."""

    service: Service | None = None
    slices: dict[str, EndpointSlice] = field(default_factory=dict)
    standing: dict[Place, tuple[Backend, Tenure[Backend]]] = field(default_factory=dict)
    pods: set[str] = field(default_factory=set)
    generation: int = 0


class Backends:
    """All Services; ``history`` is what stood where.

    Args:
        touched: told each address about which something changes.
    """

    def __init__(self, touched: Callable[[bytes], None]) -> None:
        self._touched = touched
        self.history: History[Place, Backend] = History(lambda place: touched(place[0]), self._forget)
        self._entries: dict[Name, _Entry] = {}
        self._ports: dict[bytes, dict[int, Timeline[Backend]]] = {}
        self._pods: dict[str, dict[str, Pod]] = {}
        self._by_selector: dict[str, set[str]] = {}
        self._behind: dict[str, set[Name]] = {}
        self._slices = self._updates = 0

    def __len__(self) -> int:
        return len(self._entries) + self._slices

    def at(self, address: bytes) -> Mapping[int, Timeline[Backend]] | None:
        """The timelines of the port keys at which a Service stood at the address; None where none ever did."""
        return self._ports.get(address)

    def holds_slice(self, one: EndpointSlice) -> bool:
        """Whether an earlier state of the slice is held."""
        entry = self._entries.get((one.meta.namespace, one.service))
        return entry is not None and one.meta.name in entry.slices

    def pods_of(self, name: Name) -> Iterator[str]:
        """Uids of the pods behind a Service now."""
        entry = self._entries.get(name)
        return iter(entry.pods if entry else ())

    def generation(self, name: Name) -> int:
        """Changes with a Service and with what stands behind it."""
        entry = self._entries.get(name)
        return entry.generation if entry else 0

    def put_service(self, service: Service, time_ms: int) -> None:
        """A Service is in this state."""
        name = (service.meta.namespace, service.meta.name)
        entry = self._entries.setdefault(name, _Entry())
        possible_ms = since_ms(service.meta.created_ms, time_ms) if entry.service is None else time_ms
        entry.service = service
        if service.selector:
            self._by_selector.setdefault(service.meta.namespace, set()).add(service.meta.name)
        self._update(name, time_ms, possible_ms)

    def remove_service(self, service: Service, time_ms: int) -> None:
        """A Service is gone; its slices are deleted on their own."""
        name = (service.meta.namespace, service.meta.name)
        self._by_selector.get(name[0], set()).discard(name[1])
        if name in self._entries:
            self._entries[name].service = None
            self._update(name, time_ms, time_ms)

    def put_slice(self, one: EndpointSlice, time_ms: int) -> None:
        """An EndpointSlice is in this state."""
        name = (one.meta.namespace, one.service)
        entry = self._entries.setdefault(name, _Entry())
        before = entry.slices.get(one.meta.name)
        if before == one:
            return
        self._slices += before is None
        entry.slices[one.meta.name] = one
        self._update(name, time_ms, since_ms(one.meta.created_ms, time_ms) if before is None else time_ms)

    def remove_slice(self, one: EndpointSlice, time_ms: int) -> None:
        """An EndpointSlice is gone."""
        name = (one.meta.namespace, one.service)
        if self.holds_slice(one):
            del self._entries[name].slices[one.meta.name]
            self._slices -= 1
            self._update(name, time_ms, time_ms)

    def put_pod(self, pod: Pod, time_ms: int) -> None:
        """A pod is in this state; one that has finished is no backend."""
        pods = self._pods.setdefault(pod.meta.namespace, {})
        before = pods.pop(pod.meta.uid, None)
        if not pod.finished:
            pods[pod.meta.uid] = pod
        self._choose_again(pod.meta.namespace, [one for one in (before, pod) if one], time_ms)
        self._rename(pod)

    def remove_pod(self, pod: Pod, time_ms: int) -> None:
        """A pod is gone."""
        pods = self._pods.get(pod.meta.namespace, {})
        if pods.pop(pod.meta.uid, None):
            self._choose_again(pod.meta.namespace, [pod], time_ms)
        if not pods:
            self._pods.pop(pod.meta.namespace, None)
        self._rename(pod)

    def _choose_again(self, namespace: str, pods: list[Pod], time_ms: int) -> None:
        for service_name in self._by_selector.get(namespace, ()):
            entry = self._entries[namespace, service_name]
            service = entry.service
            if service and not entry.slices and any(_selects(service, pod) for pod in pods):
                self._update((namespace, service_name), time_ms, time_ms)

    def _update(self, name: Name, time_ms: int, possible_ms: int) -> None:
        """Ends and begins tenures, so that the Service stands where its objects say."""
        entry = self._entries[name]
        self._renamed(entry)
        before, entry.pods = entry.pods, set()
        wanted = dict(self._wanted(name, entry))
        self._note_pods(name, before, entry.pods)
        # At one address and port, a Service that has an address of its own is what clients mean.
        rank = 1 if entry.service and entry.service.addresses else 0
        for place, (backend, tenure) in list(entry.standing.items()):
            if wanted.get(place) != backend:
                self.history.end(place, tenure, time_ms + 1)
                del entry.standing[place]
            elif tenure.rank != rank:
                self.history.rerank(place, tenure, rank)
        for place, backend in wanted.items():
            if place not in entry.standing:
                tenure = self.history.begin(place, Tenure(backend, possible_ms, time_ms, rank=rank))
                self._ports.setdefault(place[0], {})[place[1]] = self.history.timeline(place)
                entry.standing[place] = backend, tenure
        if entry.service is None and not entry.slices:
            del self._entries[name]

    def _rename(self, pod: Pod) -> None:
        """A pod is another one, or new, as it is to slices that came before it."""
        for name in self._behind.get(pod.meta.uid, ()):
            self._renamed(self._entries[name])

    def _renamed(self, entry: _Entry) -> None:
        """The Service's name, which is that of the workload behind it, may be another."""
        self._updates += 1
        entry.generation = self._updates
        for own in _own_addresses(entry.service):
            self._touched(own)

    def _note_pods(self, name: Name, before: set[str], now: set[str]) -> None:
        for uid in before - now:
            self._behind[uid].discard(name)
            if not self._behind[uid]:
                del self._behind[uid]
        for uid in now - before:
            self._behind.setdefault(uid, set()).add(name)

    def _wanted(self, name: Name, entry: _Entry) -> Iterator[tuple[Place, Backend]]:
        service = entry.service
        pods = self._chosen(service) if service is not None and service.selector and not entry.slices else []
        if service is not None:
            own = _own_addresses(service)
            for port in service.ports if own else ():
                backend = Backend(name[1], ANY_POD, port.number, service_ports.target(port, entry.slices.values(), pods))
                yield from (((address, port_key(port.proto, port.number)), backend) for address in own)
            for pod in pods:
                entry.pods.add(pod.meta.uid)
                yield from _places(pod.addresses, service_ports.by_pod(service, pod), name[1], pod_key(pod.meta.uid))
        for one in entry.slices.values():
            asked = service_ports.by_slice(service, one)
            for endpoint in one.endpoints:
                yield from _places(endpoint.addresses, asked, name[1], _pod_of(endpoint, entry))

    def _chosen(self, service: Service) -> list[Pod]:
        return [pod for pod in self._pods.get(service.meta.namespace, {}).values() if _selects(service, pod)]

    def _forget(self, place: Place) -> None:
        ports = self._ports.get(place[0], {})
        ports.pop(place[1], None)
        if not ports:
            self._ports.pop(place[0], None)


def _own_addresses(service: Service | None) -> list[bytes]:
    return [] if service is None else [packed(text) for text in (*service.addresses, *service.outer_addresses)]


def _pod_of(endpoint: Endpoint, entry: _Entry) -> int:
    if not endpoint.pod_uid:
        return ANY_POD
    entry.pods.add(endpoint.pod_uid)
    return pod_key(endpoint.pod_uid)


def _selects(service: Service, pod: Pod) -> bool:
    return bool(service.selector) and service.selector.items() <= pod.meta.labels.items()


def _places(addresses: Iterable[str], asked: Mapping[int, int], service: str, pod: int) -> Iterator[tuple[Place, Backend]]:
    """Where a backend stands; ``asked`` is its port keys → the Service's port that leads there."""
    for own in map(packed, addresses):
        for key, port in asked.items():
            yield (own, key), Backend(service, pod, port, key & 0xFFFF)


def since_ms(created_ms: int, time_ms: int) -> int:
    """Since when an object that is new to us may have been as it is: creation times are whole seconds, rounded down."""
    return created_ms if created_ms and time_ms - created_ms >= 1000 else time_ms
