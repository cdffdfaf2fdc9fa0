# SPDX-License-Identifier: Apache-2.0
"""From a pod to its workload: ReplicaSet → Deployment, Job → CronJob, and whatever else controls it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from flowgauge.k8s.objects import Meta, Owner

HASH_LABEL = "pod-template-hash"
"""Label that a Deployment's ReplicaSet puts on its pods; the end of the ReplicaSet's name."""

REVISION_LABELS = (HASH_LABEL, "rollouts-pod-template-hash", "controller-revision-hash")
APPLICATION_LABELS = ("app.kubernetes.io/part-of", "app.kubernetes.io/name", "app")

_MAX_LINKS = 8
"""Longest chain that is followed; real ones have two links, and a wrong one may be a circle."""

_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "CronJob", "DeploymentConfig", "Rollout"})
"""Where a chain ends although it may go on: what an operator made of its own resource is still called by this name."""


class Workload(NamedTuple):
    """A top controller."""

    name: str
    kind: str


def workload(pod: Meta, find: Callable[[str, Owner], Meta | None]) -> Workload:
    """The top controller of a pod; a pod without one is its own.

    Args:
        pod: the pod's metadata.
        find: gives the owner's own metadata by namespace and reference, None where it is not known.
    """
    found, here = Workload(pod.name, pod.kind), pod
    if pod.owner is None:
        return found
    for _ in range(_MAX_LINKS):
        owner = here.owner
        if owner is None or owner.kind == "Node":  # a static pod: the kubelet's mirror of it names the node
            return found
        found = Workload(owner.name, owner.kind)
        above = find(pod.namespace, owner)
        if owner.kind in _WORKLOADS:
            return found
        if above is None:
            return _without_objects(found, pod.labels)
        here = above
    return found


def _without_objects(last: Workload, labels: Mapping[str, str]) -> Workload:
    """The Deployment of a ReplicaSet that is not there: its name is that of the Deployment and the hash in the labels."""
    suffix = f"-{labels.get(HASH_LABEL, '')}"
    if last.kind == "ReplicaSet" and suffix != "-" and last.name.endswith(suffix):
        return Workload(last.name.removesuffix(suffix), "Deployment")
    return last


def revision(labels: Mapping[str, str]) -> str:
    """The hash of the pod's template; empty without one."""
    return _first(labels, REVISION_LABELS) if labels else ""


def application(labels: Mapping[str, str], otherwise: str) -> str:
    """The application by the usual labels, else ``otherwise``."""
    return _first(labels, APPLICATION_LABELS) or otherwise


def _first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str:
    """The first of these labels that says something."""
    for key in keys if labels else ():
        if value := labels.get(key):
            return value
    return ""
