# SPDX-License-Identifier: Apache-2.0
"""What is known of a cluster over time: holders of addresses, Services at ports, owners of pods.

Changes come in through ``put`` and ``remove``. Not thread-safe: ``kubernetes`` holds the lock for both sides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from flowgauge.enrich.backends import Backends, since_ms
from flowgauge.enrich.history import History
from flowgauge.enrich.holders import Holder
from flowgauge.enrich.owners import Workload, workload
from flowgauge.enrich.timeline import Stretch, Tenure
from flowgauge.enrich.touched import Touched
from flowgauge.flow.addresses import packed
from flowgauge.k8s.objects import EndpointSlice, KubernetesObject, Meta, Node, Owner, Plain, Pod, Service

MAX_GONE = 50_000
"""Deleted owners and nodes that are still known by name, for flows of their pods that come late."""

MAX_GONE_PODS = 10_000
"""Deleted pods that are still known by UID, about 1 kB each: what their sockets did is told up to a minute later."""

_FINISH_PRECISION_MS = 1000
"""The API tells the end of a container in whole seconds, rounded down."""

_RANK_INNER, _RANK_CLUSTER_IP, _RANK_OUTER = 2, 1, 0
"""Who an address names when several have it at once: pods and nodes before Services, which borrow nodes' addresses."""

Key = tuple[str, str, str]
"""Kind, namespace and name."""


class ClusterState:
    """Empty at first.

    Attributes:
        backends: Services by address and port.
        touched: addresses about which something changed.
        version: changes with owners and nodes, on which the names of many objects depend.
        nodes_version: changes with nodes.
    """

    def __init__(self) -> None:
        self.touched = Touched()
        self.backends = Backends(self.touched.add)
        self.version = self.nodes_version = 0
        self._addresses: History[bytes, Holder] = History(self.touched.add)
        self._holders: dict[Key, Holder] = {}
        self._pods: dict[str, Holder] = {}
        self._gone_pods: dict[str, Holder] = {}
        self._owners: dict[Key, Meta] = {}
        self._gone: deque[Meta] = deque()

    # Questions

    @property
    def objects(self) -> int:
        """How many objects are held."""
        return len(self._holders) + len(self._owners) + len(self.backends)

    @property
    def addresses(self) -> int:
        """How many addresses have or had a known holder."""
        return len(self._addresses)

    @property
    def forgotten(self) -> int:
        """Tenures of the past that were dropped to stay within bounds."""
        return self._addresses.dropped + self.backends.history.dropped

    def holds(self, thing: KubernetesObject) -> bool:
        """Whether an earlier state of ``thing`` is held."""
        if isinstance(thing, EndpointSlice):
            return self.backends.holds_slice(thing)
        return _key(thing.meta) in (self._owners if isinstance(thing, Plain) else self._holders)

    def stretches(self, address: bytes) -> tuple[Stretch[Holder], ...]:
        """Who had the address when."""
        return self._addresses.stretches(address)

    def undisputed(self, addresses: Sequence[bytes]) -> list[Tenure[Holder] | None]:
        """For each address its holder's tenure if it goes on, nobody else ever had it and no Service stood there; else None."""
        served = self.backends.at
        found = self._addresses.undisputed(addresses)
        return [None if served(address) else tenure for address, tenure in zip(addresses, found, strict=True)]

    def pod(self, uid: str) -> Pod | None:
        """A pod that exists."""
        holder = self._pods.get(uid)
        return holder.thing if holder is not None and isinstance(holder.thing, Pod) else None

    def pod_holder(self, uid: str) -> Holder | None:
        """A pod as the holder of its addresses, also some time after it was deleted: no other ever has its UID."""
        return self._pods.get(uid) or self._gone_pods.get(uid)

    def holders(self) -> Iterator[Holder]:
        """What holds or may hold addresses now."""
        return iter(self._holders.values())

    def node(self, name: str) -> Meta | None:
        """A node's metadata, also some time after it was deleted."""
        holder = self._holders.get(("Node", "", name))
        return holder.thing.meta if holder is not None else self._owners.get(("Node", "", name))

    def nodes(self) -> Iterator[Node]:
        """The nodes that exist."""
        return (holder.thing for holder in self._holders.values() if isinstance(holder.thing, Node))

    def workload(self, pod: Pod) -> Workload:
        """The top controller of a pod."""
        return workload(pod.meta, self._owner)

    def workload_behind(self, service: Service) -> Workload | None:
        """The workload of all pods behind a Service; None when there are none or of several workloads."""
        found: set[Workload] = set()
        for uid in self.backends.pods_of((service.meta.namespace, service.meta.name)):
            pod = self.pod(uid)
            if pod is not None:
                found.add(self.workload(pod))
            if len(found) > 1:
                return None
        return next(iter(found), None)

    def _owner(self, namespace: str, owner: Owner) -> Meta | None:
        return self._owners.get((owner.kind, namespace, owner.name)) or self._owners.get((owner.kind, "", owner.name))

    # Changes

    def put(self, thing: KubernetesObject, time_ms: int) -> None:
        """``thing`` is in this state since ``time_ms``. One object's times must not go back; different objects' may."""
        if isinstance(thing, EndpointSlice):
            self.backends.put_slice(thing, time_ms)
        elif isinstance(thing, Plain):
            self.version += self._owners.get(_key(thing.meta)) != thing.meta
            self._owners[_key(thing.meta)] = thing.meta
        else:
            self._put(thing, time_ms)

    def remove(self, thing: KubernetesObject, time_ms: int) -> None:
        """``thing`` was deleted at ``time_ms``."""
        if isinstance(thing, EndpointSlice):
            self.backends.remove_slice(thing, time_ms)
        elif isinstance(thing, Plain):
            self._keep_gone(thing.meta)
        else:
            self._remove(thing, time_ms)

    def _put(self, thing: Pod | Node | Service, time_ms: int) -> None:
        key = _key(thing.meta)
        holder = self._holders.get(key)
        if holder is not None and holder.thing.meta.uid != thing.meta.uid and not isinstance(thing, Node):
            self._remove(holder.thing, time_ms)  # nobody told that it was deleted
            holder = None
        if holder is not None and holder.thing == thing:
            holder.seen_ms = max(holder.seen_ms, time_ms)
            return
        possible_ms = min(holder.seen_ms, time_ms) if holder is not None else _existed_ms(thing, time_ms)
        if holder is None:
            holder = self._holders[key] = Holder(thing, time_ms)
        holder.thing, holder.seen_ms, holder.generation = thing, time_ms, holder.generation + 1
        self._put_addresses(holder, possible_ms, time_ms)
        self._put_kind(holder, thing, time_ms)
        for address in holder.tenures:  # its names may be others
            self.touched.add(address)

    def _put_kind(self, holder: Holder, thing: Pod | Node | Service, time_ms: int) -> None:
        if isinstance(thing, Pod):
            self._pods[thing.meta.uid] = holder
            self.backends.put_pod(thing, time_ms)
            self._put_node_of(thing, time_ms)
        elif isinstance(thing, Service):
            self.backends.put_service(thing, time_ms)
        else:
            self._nodes_changed()

    def _put_node_of(self, pod: Pod, time_ms: int) -> None:
        """Where nobody told of the node itself, its pods tell its name and addresses."""
        if pod.node and pod.host_addresses and ("Node", "", pod.node) not in self._holders:
            meta = Meta("Node", "", pod.node, f"Node//{pod.node}", created_ms=pod.started_ms)
            self._put(Node(meta, pod.host_addresses), time_ms)

    def _remove(self, thing: Pod | Node | Service, time_ms: int) -> None:
        key = _key(thing.meta)
        holder = self._holders.get(key)
        if holder is None or holder.thing.meta.uid != thing.meta.uid:
            holder = Holder(thing, time_ms)  # all that we ever hear of it is its end
            self._put_addresses(holder, _existed_ms(thing, time_ms), time_ms)
        else:
            del self._holders[key]
        self._end_addresses(holder, set(), time_ms + 1)
        if isinstance(thing, Pod):
            self._pods.pop(thing.meta.uid, None)
            self._keep_gone_pod(holder)
            self.backends.remove_pod(thing, time_ms)
        elif isinstance(thing, Service):
            self.backends.remove_service(thing, time_ms)
        else:
            self._nodes_changed()
            self._owners[key] = thing.meta
            self._keep_gone(thing.meta)

    def _put_addresses(self, holder: Holder, possible_ms: int, time_ms: int) -> None:
        thing = holder.thing
        if isinstance(thing, Pod) and thing.finished:
            self._give_back(holder, thing, possible_ms, time_ms)
            return
        now = {packed(text): rank for text, rank in _addresses(thing)}
        self._end_addresses(holder, set(now), time_ms + 1)
        for address, rank in now.items():
            if address not in holder.tenures:
                tenure = Tenure(holder, possible_ms, time_ms, rank=rank)
                holder.tenures[address] = self._addresses.begin(address, tenure)

    def _give_back(self, holder: Holder, pod: Pod, possible_ms: int, time_ms: int) -> None:
        end_ms = min(pod.finished_ms + _FINISH_PRECISION_MS, time_ms + 1) if pod.finished_ms else time_ms + 1
        if not holder.gave_back and not holder.tenures:  # it came and went before we heard of it
            for text, rank in _addresses(pod):
                tenure = Tenure(holder, possible_ms, end_ms, end_ms, rank)
                self._addresses.begin(packed(text), tenure)
        holder.gave_back = True
        self._end_addresses(holder, set(), end_ms)

    def _end_addresses(self, holder: Holder, kept: set[bytes], end_ms: int) -> None:
        for address in set(holder.tenures) - kept:
            self._addresses.end(address, holder.tenures.pop(address), end_ms)

    def _nodes_changed(self) -> None:
        self.nodes_version += 1
        self.version += 1

    def _keep_gone_pod(self, holder: Holder) -> None:
        self._gone_pods[holder.thing.meta.uid] = holder
        if len(self._gone_pods) > MAX_GONE_PODS:
            del self._gone_pods[next(iter(self._gone_pods))]

    def _keep_gone(self, meta: Meta) -> None:
        self._gone.append(meta)
        if len(self._gone) > MAX_GONE:
            oldest = self._gone.popleft()
            if self._owners.get(_key(oldest)) == oldest:
                del self._owners[_key(oldest)]


def _key(meta: Meta) -> Key:
    return meta.kind, meta.namespace, meta.name


def _existed_ms(thing: Pod | Node | Service, time_ms: int) -> int:
    """Since when an object of which we hear for the first time may have had its addresses."""
    return since_ms(thing.started_ms if isinstance(thing, Pod) else thing.meta.created_ms, time_ms)


def _addresses(thing: Pod | Node | Service) -> Iterator[tuple[str, int]]:
    """The addresses that name the object, with their rank. A pod in its node's network has none: they name the node."""
    if isinstance(thing, Service):
        yield from ((text, _RANK_OUTER) for text in thing.outer_addresses)
        yield from ((text, _RANK_CLUSTER_IP) for text in thing.addresses)
    elif isinstance(thing, Node) or not thing.host_network:
        yield from ((text, _RANK_INNER) for text in thing.addresses)
