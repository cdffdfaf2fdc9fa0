# SPDX-License-Identifier: Apache-2.0
"""Objects as the API gives them become the few fields that names need; what is malformed is named by its path."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from flowgauge.demo.objects import networking, workloads
from flowgauge.k8s.fields import MalformedObject
from flowgauge.k8s.objects import EndpointSlice, Node, Plain, Pod, Service
from flowgauge.k8s.parse import parse

NOON_NS = 1_766_059_200_123_456_789

POD = json.loads("""
{
  "apiVersion": "v1",
  "kind": "Pod",
  "metadata": {
    "annotations": {"k8s.v1.cni.cncf.io/network-status": "[]"},
    "creationTimestamp": "2025-12-18T12:00:00Z",
    "generateName": "web-7d9c5b8f4-",
    "labels": {"app": "web", "pod-template-hash": "7d9c5b8f4"},
    "name": "web-7d9c5b8f4-x2k9p",
    "namespace": "shop",
    "ownerReferences": [
      {"apiVersion": "example.org/v1", "kind": "Audit", "name": "audit", "uid": "1"},
      {"apiVersion": "apps/v1", "blockOwnerDeletion": true, "controller": true, "kind": "ReplicaSet",
       "name": "web-7d9c5b8f4", "uid": "5f0e7a34-1111-4a5b-9c7e-000000000001"}
    ],
    "uid": "0c9b3d4e-2222-4a5b-9c7e-000000000002"
  },
  "spec": {
    "containers": [
      {"image": "web", "name": "web",
       "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}, {"containerPort": 9}]},
      {"image": "proxy", "name": "proxy"}
    ],
    "nodeName": "worker-1"
  },
  "status": {
    "hostIP": "192.0.2.7",
    "hostIPs": [{"ip": "192.0.2.7"}, {"ip": "2001:db8:1::7"}],
    "phase": "Running",
    "podIP": "10.128.2.14",
    "podIPs": [{"ip": "10.128.2.14"}, {"ip": "fd01:0:0:3::E"}],
    "startTime": "2025-12-18T12:00:01Z"
  }
}
""")
NOON_MS = 1_766_059_200_000


def changed(thing: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of ``thing`` with another value at the dotted ``path``; None takes it away."""
    found = copy.deepcopy(thing)
    here: Any = found
    *parents, last = path.split(".")
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here.setdefault(key, {})
    if value is None:
        here.pop(last)
    else:
        here[last] = value
    return found


def pod(path: str, value: object) -> Pod:
    found = parse(changed(POD, path, value))
    assert isinstance(found, Pod)
    return found


def test_a_dual_stack_pod_of_kubectl_has_both_addresses_and_its_controller() -> None:
    found = parse(POD)
    assert isinstance(found, Pod)
    assert found.addresses == ("10.128.2.14", "fd01:0:0:3::e")
    assert found.host_addresses == ("192.0.2.7", "2001:db8:1::7")
    assert (found.meta.owner and found.meta.owner.kind, found.meta.owner and found.meta.owner.name) == (
        "ReplicaSet",
        "web-7d9c5b8f4",
    )
    assert (found.node, found.started_ms, found.meta.created_ms) == ("worker-1", NOON_MS + 1000, NOON_MS)
    assert [(port.name, port.number, port.proto) for port in found.ports] == [("http", 8080, 6)]
    assert not found.finished
    assert not found.host_network


def test_a_pod_from_before_dual_stack_has_its_single_address() -> None:
    assert pod("status.podIPs", None).addresses == ("10.128.2.14",)
    assert pod("status", {"phase": "Pending"}).addresses == ()


def test_a_finished_pod_says_when_its_last_container_ended() -> None:
    ends = [{"state": {"terminated": {"finishedAt": f"2025-12-18T12:0{minute}:00Z"}}} for minute in (7, 5)]
    done = pod("status", {**POD["status"], "phase": "Succeeded", "containerStatuses": ends})
    assert done.finished
    assert done.finished_ms == NOON_MS + 7 * 60_000
    evicted = pod("status.phase", "Failed")
    assert evicted.finished
    assert evicted.finished_ms == 0


def test_a_state_that_names_flows_alike_is_equal() -> None:
    ready = changed(changed(POD, "metadata.resourceVersion", "77"), "status.conditions", [{"type": "Ready", "status": "True"}])
    assert parse(ready) == parse(POD)
    assert parse(changed(POD, "metadata.labels.app", "other")) != parse(POD)


def test_services_tell_their_own_addresses_from_those_they_share() -> None:
    plain = networking.service(
        "shop", "web", address="10.96.0.9", ports=[("http", 80, 8080, "TCP")], selector={"app": "web"}, time_ns=NOON_NS
    )
    found = parse(plain)
    assert isinstance(found, Service)
    assert (found.addresses, found.outer_addresses) == (("10.96.0.9",), ())
    assert [(port.number, port.target, port.proto) for port in found.ports] == [(80, 8080, 6)]

    dual = changed(plain, "spec.clusterIPs", ["10.96.0.9", "fd02::9"])
    dual = changed(dual, "spec.externalIPs", ["192.0.2.7"])
    dual = changed(dual, "status", {"loadBalancer": {"ingress": [{"ip": "198.51.100.4"}, {"hostname": "lb.example.org"}]}})
    dual = changed(dual, "spec.ports.0.targetPort", "http")
    found = parse(dual)
    assert isinstance(found, Service)
    assert (found.addresses, found.outer_addresses) == (("10.96.0.9", "fd02::9"), ("192.0.2.7", "198.51.100.4"))
    assert found.ports[0].target == "http"

    headless = parse(changed(changed(plain, "spec.clusterIPs", ["None"]), "spec.clusterIP", "None"))
    assert isinstance(headless, Service)
    assert headless.addresses == ()


def test_endpoint_slices_name_their_service_and_pods() -> None:
    service = networking.service(
        "shop", "web", address="10.96.0.9", ports=[("http", 80, 8080, "TCP")], selector={"app": "web"}, time_ns=NOON_NS
    )
    one = networking.endpoint_slice(service, "abcde", [POD], NOON_NS)
    found = parse(one)
    assert isinstance(found, EndpointSlice)
    assert found.service == "web"
    assert [(endpoint.addresses, endpoint.pod_uid) for endpoint in found.endpoints] == [
        (("10.128.2.14",), POD["metadata"]["uid"])
    ]
    by_owner = parse(changed(one, "metadata.labels", {}))
    assert isinstance(by_owner, EndpointSlice)
    assert by_owner.service == "web"
    named = parse(changed(changed(one, "addressType", "FQDN"), "endpoints", [{"addresses": ["db.example.org"]}]))
    assert isinstance(named, EndpointSlice)
    assert named.endpoints == ()


def test_nodes_have_addresses_and_pod_blocks() -> None:
    found = parse(workloads.node("node-a", "zone-1", "192.168.50.11", "10.244.1.0/24", NOON_NS))
    assert isinstance(found, Node)
    assert (found.addresses, found.pod_cidrs) == (("192.168.50.11",), ("10.244.1.0/24",))
    assert found.meta.labels["topology.kubernetes.io/zone"] == "zone-1"


def test_kinds_we_do_not_know_may_own_pods_and_secrets_are_not_looked_at() -> None:
    assert isinstance(parse({"kind": "Rollout", "metadata": {"name": "web", "namespace": "shop"}}), Plain)
    assert parse({"kind": "Secret", "metadata": "not even looked at"}) is None


@pytest.mark.parametrize(
    ("path", "value", "where", "expected"),
    [
        ("metadata.name", None, "metadata.name", "a text"),
        ("metadata.name", 5, "metadata.name", "a text"),
        ("metadata.labels", ["a"], "metadata.labels", "a mapping of texts"),
        ("metadata.creationTimestamp", "yesterday", "metadata.creationTimestamp", "an RFC 3339 time"),
        ("metadata.creationTimestamp", "2025-12-18T12:00:00", "metadata.creationTimestamp", "an RFC 3339 time with a zone"),
        ("status.podIPs", [{"ip": "10.128.2"}], "status.podIPs[].ip", "an IP address"),
        ("status.podIPs", "10.128.2.14", "status.podIPs", "a list"),
        ("status", "Running", "status", "a mapping"),
        ("spec.containers.0.ports.0.containerPort", 70_000, "containerPort", "a port number"),
        ("spec.containers.0.ports.0.protocol", "ICMP", "protocol", "TCP, UDP or SCTP"),
    ],
)
def test_what_is_malformed_is_named_by_its_path(path: str, value: object, where: str, expected: str) -> None:
    with pytest.raises(MalformedObject) as caught:
        parse(changed(POD, path, value))
    assert (caught.value.path, caught.value.expected) == (where, expected)
    assert str(caught.value.below("items[3].")).startswith(f"items[3].{where}: expected {expected}, found ")


def test_half_a_character_does_not_reach_the_store() -> None:
    assert pod("metadata.name", "web-\ud800").meta.name == "web-?"
    assert pod("metadata.labels", {"app": "\udfff"}).meta.labels == {"app": "?"}
