# SPDX-License-Identifier: Apache-2.0
"""A stage that keeps what it was told about addresses notices each change of them: it names flows as one that asks anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from enrich_kit import Cluster, Flow, batch, pod, service, texts
from flowgauge.config.model import Enrichment
from flowgauge.demo.objects import networking, workloads
from flowgauge.demo.objects.meta import Object
from flowgauge.enrich import numbering, touched
from flowgauge.enrich.cluster_state import ClusterState
from flowgauge.enrich.stage import Enricher
from flowgauge.flow.addresses import packed

A, B, VIP, PEER = "10.244.1.2", "10.244.1.3", "10.96.0.9", "203.0.113.10"
COLUMNS = ("name", "owner", "node", "zone", "application", "service", "identity_source", "identity_confidence")
SETTLED, CHANGED, AFTER = 100_000, 200_000, 400_000


class Scene:
    """A Deployment's pod, with another one behind a Service, and a stage that has named flows of both."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.cluster.node("node-a", "zone-1", "192.168.50.11", "10.244.1.0/24")
        self.owner = self.cluster.replica_set("shop", "web")
        self.pod = self.cluster.pod(self.owner, "web-1", A)
        other = self.cluster.pod(self.owner, "web-0", "10.244.1.9")
        self.slice = self.cluster.service("shop", "front", VIP, self.pod, other)
        self.stage = Enricher(self.cluster.index, Enrichment())
        self.named(self.stage, SETTLED)
        self.named(self.stage, SETTLED)

    def named(self, stage: Enricher, at: int) -> dict[str, list[str]]:
        """All that is said of both ends of some flows at a time."""
        flows = [Flow(A, PEER), Flow(PEER, A, dport=8080), Flow(B, A, dport=8080), Flow(PEER, VIP, dport=80),
                 Flow(PEER, VIP, dport=80, nat_dst=(A, 8080)), Flow("10.244.1.77", B)]  # fmt: skip
        found = stage(batch(*(Flow(**{**one.__dict__, "start": at, "end": at}) for one in flows)))
        return {f"{end}_{name}": texts(found, f"{end}_{name}") for end in ("src", "dst") for name in COLUMNS}

    def agrees(self, at: int) -> bool:
        """Whether the stage says what one does that asks for the first time."""
        return self.named(self.stage, at) == self.named(Enricher(self.cluster.index, Enrichment()), at)


def is_deleted(scene: Scene) -> None:
    scene.cluster.delete(scene.pod, CHANGED)


def is_followed_by_another(scene: Scene) -> None:
    scene.cluster.delete(scene.pod, CHANGED)
    scene.cluster.pod(scene.owner, "web-2", A, CHANGED)


def gets_other_labels(scene: Scene) -> None:
    labels = {"app.kubernetes.io/part-of": "billing", "app": "web"}
    scene.pod["metadata"] = {**scene.pod["metadata"], "labels": labels}
    scene.cluster.put(scene.pod, CHANGED, "MODIFIED")


def moves_to_a_new_address(scene: Scene) -> None:
    scene.cluster.put(pod(scene.owner, "web-1", B, CHANGED), CHANGED, "MODIFIED")


def leaves_its_service(scene: Scene) -> None:
    one = service("shop", "front", VIP)
    scene.cluster.put(networking.endpoint_slice(one, "x", [], CHANGED * 1_000_000), CHANGED, "MODIFIED")


def belongs_to_another_deployment(scene: Scene) -> None:
    other: Object = scene.cluster.put(workloads.deployment("shop", "web", 1, {"app": "other"}, 0), CHANGED)
    other["metadata"]["name"] = "other"
    scene.cluster.put(workloads.replica_set(other, "5d8f", 0), CHANGED)
    scene.owner["metadata"]["ownerReferences"][0]["name"] = "other"
    scene.cluster.put(scene.owner, CHANGED, "MODIFIED")


def is_on_a_node_in_another_zone(scene: Scene) -> None:
    scene.cluster.node("node-a", "zone-2", "192.168.50.11", "10.244.1.0/24", CHANGED)


def loses_its_service(scene: Scene) -> None:
    scene.cluster.delete(scene.slice, CHANGED)
    scene.cluster.delete(service("shop", "front", VIP), CHANGED)


@pytest.mark.parametrize(
    "change",
    [is_deleted, is_followed_by_another, gets_other_labels, moves_to_a_new_address, leaves_its_service,
     belongs_to_another_deployment, is_on_a_node_in_another_zone, loses_its_service],
)  # fmt: skip
def test_a_pod_that(change: Callable[[Scene], None]) -> None:
    scene = Scene()
    before = scene.named(scene.stage, AFTER)
    change(scene)
    assert scene.agrees(AFTER)
    assert scene.agrees(SETTLED), "flows that come late have the names of their time"
    assert scene.agrees(CHANGED + 1_000), "and those just behind a change"
    assert scene.named(scene.stage, AFTER) != before


def test_a_service_is_named_after_pods_of_which_its_slice_told_before_they_did() -> None:
    """Slices and pods come by different watches, so in any order, and a service's flows in between."""
    cluster, address = Cluster(), "10.96.0.10"
    owner = cluster.replica_set("shop", "back")
    late = pod(owner, "back-1", B)
    cluster.service("shop", "api", address, late)
    stage = Enricher(cluster.index, Enrichment())

    def owners() -> list[str]:
        return texts(stage(batch(Flow(PEER, address, dport=80, start=AFTER, end=AFTER))), "dst_owner")

    assert owners() == ["api"]
    cluster.put(late, CHANGED)
    assert owners() == ["back"]
    cluster.delete(late, CHANGED + 1)
    assert owners() == ["api"]


def test_what_is_known_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, asked = Scene(), list[bytes]()
    stretches = ClusterState.stretches
    monkeypatch.setattr(ClusterState, "stretches", lambda self, one: (asked.append(one), stretches(self, one))[1])
    scene.named(scene.stage, SETTLED + 1)
    assert asked == []
    scene.cluster.delete(scene.pod, CHANGED)
    scene.named(scene.stage, AFTER)
    assert sorted(asked) == sorted(map(packed, (A, VIP))), "the pod's, and the Service's, which is named after its pods"


def test_changes_beyond_those_that_are_remembered_forget_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched, "KEPT", 2)
    scene = Scene()
    scene.cluster.delete(scene.pod, CHANGED)
    for number in range(10):
        scene.cluster.pod(scene.owner, f"more-{number}", f"10.244.1.{100 + number}", CHANGED)
    assert scene.agrees(AFTER)


def test_addresses_beyond_those_that_have_numbers_are_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MAX_ADDRESSES", 3)
    scene = Scene()
    assert scene.agrees(SETTLED)
    scene.cluster.delete(scene.pod, CHANGED)
    assert scene.agrees(AFTER)
