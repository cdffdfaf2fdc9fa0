# SPDX-License-Identifier: Apache-2.0
"""API objects as JSON → the few fields of :mod:`flowgauge.k8s.objects`. Before: ``changes``; after: ``enrich``. Pure."""

from __future__ import annotations

from collections.abc import Callable

from flowgauge.k8s import fields
from flowgauge.k8s.fields import Json, MalformedObject
from flowgauge.k8s.objects import (
    Endpoint,
    EndpointSlice,
    KubernetesObject,
    Meta,
    Node,
    Owner,
    Plain,
    Pod,
    Port,
    Service,
)

SERVICE_LABEL = "kubernetes.io/service-name"
"""Label of an EndpointSlice that names its Service (well-known labels of the Kubernetes API)."""

_FINISHED = frozenset({"Succeeded", "Failed"})
_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


def parse(value: object) -> KubernetesObject | None:
    """The object in ``value``; None for a kind that gives flows no names and owns nothing.

    Raises:
        MalformedObject: a field is not what the API has there.
    """
    kind = fields.text(value, "kind")
    if kind in _IGNORED:
        return None
    assert isinstance(value, dict)  # noqa: S101 - `text` found its kind
    meta = _meta(value, kind)
    maker = _MAKERS.get(kind)
    return maker(value, meta) if maker is not None else Plain(meta)


def _meta(value: Json, kind: str) -> Meta:
    name = fields.text(value, "metadata.name")
    namespace = fields.text(value, "metadata.namespace", default="")
    created = fields.at(value, "metadata.creationTimestamp")
    return Meta(
        kind=kind,
        namespace=namespace,
        name=name,
        uid=fields.text(value, "metadata.uid", default="") or f"{kind}/{namespace}/{name}",
        created_ms=fields.time_ms(created, "metadata.creationTimestamp") if created is not None else 0,
        labels=fields.texts(value, "metadata.labels"),
        owner=_owner(value),
    )


def _owner(value: Json) -> Owner | None:
    """The controller among the owners (``controller: true``), else the first owner."""
    owners = fields.items(value, "metadata.ownerReferences")
    controllers = [one for one in owners if fields.at(one, "controller") is True] or owners
    if not controllers:
        return None
    first = controllers[0]
    return Owner(fields.text(first, "kind"), fields.text(first, "name"), fields.text(first, "uid", default=""))


def _node(value: Json, meta: Meta) -> Node:
    listed = fields.items(value, "status.addresses")
    ips = [fields.at(one, "address") for one in listed if fields.at(one, "type") in ("InternalIP", "ExternalIP")]
    blocks = fields.items(value, "spec.podCIDRs") or [fields.at(value, "spec.podCIDR")]
    return Node(
        meta,
        addresses=tuple(fields.address(ip, "status.addresses[].address") for ip in ips),
        pod_cidrs=tuple(fields.block(one, "spec.podCIDRs[]") for one in blocks if one),
    )


def _pod(value: Json, meta: Meta) -> Pod:
    started = fields.at(value, "status.startTime")
    started_ms = fields.time_ms(started, "status.startTime") if started is not None else meta.created_ms
    finished = fields.text(value, "status.phase", default="") in _FINISHED
    return Pod(
        meta,
        addresses=_status_addresses(value, "podIPs", "podIP"),
        node=fields.text(value, "spec.nodeName", default=""),
        host_addresses=_status_addresses(value, "hostIPs", "hostIP"),
        ports=_container_ports(value),
        started_ms=started_ms,
        finished=finished,
        finished_ms=_finished_ms(value) if finished else 0,
        host_network=fields.at(value, "spec.hostNetwork") is True,
    )


def _status_addresses(value: Json, many: str, one: str) -> tuple[str, ...]:
    """The addresses in ``status``: the list, or where it is missing (before dual stack) the single one."""
    listed = [fields.at(entry, "ip") for entry in fields.items(value, f"status.{many}")]
    single = fields.at(value, f"status.{one}")
    found = listed or ([single] if single else [])
    return tuple(fields.address(ip, f"status.{many}[].ip") for ip in found)


def _container_ports(value: Json) -> tuple[Port, ...]:
    return tuple(
        Port(fields.text(port, "name"), fields.port(port, "containerPort"), _protocol(port))
        for container in fields.items(value, "spec.containers")
        for port in fields.items(container, "ports")
        if fields.at(port, "name")
    )


def _finished_ms(value: Json) -> int:
    path = "status.containerStatuses[].state.terminated.finishedAt"
    ends = [fields.at(one, "state.terminated.finishedAt") for one in fields.items(value, "status.containerStatuses")]
    return max((fields.time_ms(end, path) for end in ends if end), default=0)


def _service(value: Json, meta: Meta) -> Service:
    cluster = fields.items(value, "spec.clusterIPs") or [fields.at(value, "spec.clusterIP")]
    balancer = [fields.at(one, "ip") for one in fields.items(value, "status.loadBalancer.ingress")]
    outer = [*fields.items(value, "spec.externalIPs"), *balancer]
    return Service(
        meta,
        addresses=tuple(fields.address(ip, "spec.clusterIPs[]") for ip in cluster if ip not in (None, "", "None")),
        outer_addresses=tuple(fields.address(ip, "spec.externalIPs[]") for ip in outer if ip),
        selector=fields.texts(value, "spec.selector"),
        ports=tuple(_service_port(port) for port in fields.items(value, "spec.ports")),
    )


def _service_port(port: Json) -> Port:
    number, target = fields.port(port, "port"), fields.at(port, "targetPort")
    named = isinstance(target, str) and bool(target)
    backend = fields.text(port, "targetPort") if named else fields.port(port, "targetPort") if target else number
    return Port(fields.text(port, "name", default=""), number, _protocol(port), backend)


def _endpoint_slice(value: Json, meta: Meta) -> EndpointSlice:
    owner = meta.owner.name if meta.owner is not None and meta.owner.kind == "Service" else ""
    ports = (port for port in fields.items(value, "ports") if fields.at(port, "port") is not None)
    has_addresses = fields.at(value, "addressType") != "FQDN"
    return EndpointSlice(
        meta,
        service=meta.labels.get(SERVICE_LABEL, owner),
        endpoints=tuple(_endpoint(one) for one in fields.items(value, "endpoints")) if has_addresses else (),
        ports=tuple(Port(fields.text(port, "name", default=""), fields.port(port, "port"), _protocol(port)) for port in ports),
    )


def _endpoint(one: Json) -> Endpoint:
    is_pod = fields.at(one, "targetRef.kind") == "Pod"
    return Endpoint(
        addresses=tuple(fields.address(ip, "endpoints[].addresses[]") for ip in fields.items(one, "addresses")),
        pod_uid=fields.text(one, "targetRef.uid", default="") if is_pod else "",
    )


def _protocol(port: Json) -> int:
    name = fields.text(port, "protocol", default="TCP")
    if name not in _PROTOCOLS:
        raise MalformedObject("protocol", "TCP, UDP or SCTP", name)
    return _PROTOCOLS[name]


_MAKERS: dict[str, Callable[[Json, Meta], KubernetesObject]] = {
    "Node": _node,
    "Pod": _pod,
    "Service": _service,
    "EndpointSlice": _endpoint_slice,
}
_IGNORED = frozenset({
    "ConfigMap", "ControllerRevision", "Endpoints", "Event", "Ingress", "Lease", "NetworkPolicy", "PersistentVolume",
    "PersistentVolumeClaim", "Role", "RoleBinding", "Route", "Secret", "ServiceAccount",
})  # fmt: skip
"""Common kinds that neither have an address nor own a pod; Secrets are not even looked at."""
