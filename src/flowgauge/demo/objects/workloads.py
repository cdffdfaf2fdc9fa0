# SPDX-License-Identifier: Apache-2.0
"""Nodes, namespaces and what runs in them: Deployment → ReplicaSet → Pod, DaemonSet → Pod (API groups v1 and apps/v1)."""

from __future__ import annotations

from flowgauge.demo.objects.meta import Object, made, rfc3339, seconds_only

ZONE_LABEL = "topology.kubernetes.io/zone"
REGION_LABEL = "topology.kubernetes.io/region"
HASH_LABEL = "pod-template-hash"


def node(name: str, zone: str, address: str, pod_block: str, time_ns: int) -> Object:
    """A worker that is ready."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/worker": "",
        ZONE_LABEL: zone,
        REGION_LABEL: "region-1",
    }
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    return made(
        "v1", "Node", name, time_ns=time_ns, labels=labels,
        spec={"podCIDR": pod_block, "podCIDRs": [pod_block]},
        status={"addresses": addresses, "conditions": [_condition("Ready", time_ns)]},
    )  # fmt: skip


def namespace(name: str, time_ns: int) -> Object:
    """A namespace."""
    labels = {"kubernetes.io/metadata.name": name}
    return made("v1", "Namespace", name, time_ns=time_ns, labels=labels, spec={"finalizers": ["kubernetes"]},
                status={"phase": "Active"})  # fmt: skip


def deployment(space: str, name: str, replicas: int, labels: dict[str, str], time_ns: int) -> Object:
    """A Deployment whose pods carry ``labels``."""
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"name": name}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name}]}},
        "strategy": {"type": "RollingUpdate"},
    }
    return made("apps/v1", "Deployment", name, namespace=space, time_ns=time_ns, labels=labels, spec=spec,
                status=_replica_status(replicas))  # fmt: skip


def replica_set(owner: Object, template_hash: str, time_ns: int) -> Object:
    """The ReplicaSet of a Deployment's present template."""
    meta, spec = owner["metadata"], owner["spec"]
    labels = {**meta["labels"], HASH_LABEL: template_hash}
    return made(
        "apps/v1", "ReplicaSet", f"{meta['name']}-{template_hash}", namespace=meta["namespace"], time_ns=time_ns,
        labels=labels, owner=owner,
        spec={"replicas": spec["replicas"], "selector": {"matchLabels": labels}, "template": spec["template"]},
        status={"replicas": spec["replicas"], "readyReplicas": spec["replicas"], "availableReplicas": spec["replicas"]},
    )  # fmt: skip


def daemon_set(space: str, name: str, nodes: int, labels: dict[str, str], time_ns: int) -> Object:
    """A DaemonSet with one pod on each of ``nodes`` nodes."""
    spec = {
        "selector": {"matchLabels": {"name": name}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name}]}},
    }
    counts = ("currentNumberScheduled", "desiredNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled")
    return made("apps/v1", "DaemonSet", name, namespace=space, time_ns=time_ns, labels=labels, spec=spec,
                status={**dict.fromkeys(counts, nodes), "numberMisscheduled": 0})  # fmt: skip


def pod(
    owner: Object, name: str, *, address: str, node: tuple[str, str], ports: list[tuple[str, int, str]], time_ns: int
) -> Object:
    """A running pod of ``owner`` (ReplicaSet or DaemonSet): ``node`` is (name, address), a port (name, number, protocol)."""
    node_name, node_address = node
    labels = owner["metadata"]["labels"]
    container = {
        "name": owner["spec"]["template"]["spec"]["containers"][0]["name"],
        "ports": [{"name": port, "containerPort": number, "protocol": protocol} for port, number, protocol in ports],
    }
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": node_address,
        "hostIPs": [{"ip": node_address}],
        "startTime": seconds_only(time_ns),
        "conditions": [_condition(kind, time_ns) for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
        "containerStatuses": [{"name": container["name"], "ready": True, "restartCount": 0, "started": True}],
    }
    spec = {"nodeName": node_name, "containers": [container], "hostNetwork": False, "restartPolicy": "Always"}
    return made("v1", "Pod", name, namespace=owner["metadata"]["namespace"], time_ns=time_ns, labels=labels, owner=owner,
                spec=spec, status=status)  # fmt: skip


def terminated(running: Object, time_ns: int) -> Object:
    """The last state of a pod that was deleted."""
    metadata = {**running["metadata"], "deletionTimestamp": seconds_only(time_ns), "deletionGracePeriodSeconds": 0}
    return {**running, "metadata": metadata, "status": {**running["status"], "phase": "Succeeded"}}


def _replica_status(replicas: int) -> Object:
    counts = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
    return dict.fromkeys(counts, replicas)


def _condition(kind: str, time_ns: int) -> Object:
    return {"type": kind, "status": "True", "lastTransitionTime": rfc3339(time_ns).partition(".")[0] + "Z"}
