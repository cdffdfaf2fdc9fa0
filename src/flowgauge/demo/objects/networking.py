# SPDX-License-Identifier: Apache-2.0
"""Service, EndpointSlice and Route (v1, discovery.k8s.io/v1, route.openshift.io/v1), and what a database has beside its pod."""

from __future__ import annotations

from collections.abc import Sequence

from flowgauge.demo.objects.meta import Object, made

SERVICE_LABEL = "kubernetes.io/service-name"

Port = tuple[str, int, int, str]
"""Of a Service: its name, the port, the port of the pods behind it, and the protocol."""


def service(space: str, name: str, *, address: str, ports: Sequence[Port], selector: dict[str, str], time_ns: int) -> Object:
    """A ClusterIP Service."""
    spec = {
        "type": "ClusterIP",
        "clusterIP": address,
        "clusterIPs": [address],
        "ipFamilies": ["IPv4"],
        "ports": [
            {"name": port, "port": number, "targetPort": target, "protocol": protocol}
            for port, number, target, protocol in ports
        ],
        "selector": selector,
    }
    return made("v1", "Service", name, namespace=space, time_ns=time_ns, labels=selector, spec=spec,
                status={"loadBalancer": {}})  # fmt: skip


def endpoint_slice(owner: Object, ending: str, pods: Sequence[Object], time_ns: int) -> Object:
    """The endpoints of a Service: one per pod."""
    meta = owner["metadata"]
    return made(
        "discovery.k8s.io/v1", "EndpointSlice", f"{meta['name']}-{ending}", namespace=meta["namespace"], time_ns=time_ns,
        labels={**meta.get("labels", {}), SERVICE_LABEL: meta["name"]}, owner=owner,
        addressType="IPv4",
        endpoints=[_endpoint(pod) for pod in pods],
        ports=[
            {"name": port["name"], "port": port["targetPort"], "protocol": port["protocol"]} for port in owner["spec"]["ports"]
        ],
    )  # fmt: skip


def with_endpoints(slice_: Object, pods: Sequence[Object]) -> Object:
    """The same EndpointSlice with other pods."""
    return {**slice_, "endpoints": [_endpoint(pod) for pod in pods]}


def route(target: Object, host: str, time_ns: int) -> Object:
    """An OpenShift Route to a Service."""
    meta, port = target["metadata"], target["spec"]["ports"][0]
    spec = {
        "host": host,
        "to": {"kind": "Service", "name": meta["name"], "weight": 100},
        "port": {"targetPort": port["name"]},
        "wildcardPolicy": "None",
    }
    admitted = {"host": host, "routerName": "default", "conditions": [{"type": "Admitted", "status": "True"}]}
    return made("route.openshift.io/v1", "Route", meta["name"], namespace=meta["namespace"], time_ns=time_ns,
                labels=meta.get("labels"), spec=spec, status={"ingress": [admitted]})  # fmt: skip


def secret(space: str, name: str, time_ns: int) -> Object:
    """A Secret, without its data: names are all that flows need."""
    return made("v1", "Secret", name, namespace=space, time_ns=time_ns, type="Opaque")


def volume_claim(space: str, name: str, size: str, time_ns: int) -> Object:
    """A bound PersistentVolumeClaim."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "volumeName": f"pv-{name}"}
    return made("v1", "PersistentVolumeClaim", name, namespace=space, time_ns=time_ns, spec=spec,
                status={"phase": "Bound", "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]})  # fmt: skip


def _endpoint(pod: Object) -> Object:
    meta = pod["metadata"]
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]},
    }
