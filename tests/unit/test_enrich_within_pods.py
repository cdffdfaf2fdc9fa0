# SPDX-License-Identifier: Apache-2.0
"""What a socket on a pod's loopback is called: by the pod's UID, since every pod has that address."""

from __future__ import annotations

import pytest

from enrich_kit import Cluster, Flow, batch, texts
from flowgauge.config.model import Enrichment
from flowgauge.enrich import cluster_state
from flowgauge.enrich.stage import Enricher
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names

WEB, DB = "10.244.1.2", "10.244.2.3"
NODE = ("node-a", "192.168.50.11")


@pytest.fixture
def cluster() -> Cluster:
    found = Cluster()
    found.node("node-a", "zone-1", NODE[1], "10.244.1.0/24")
    return found


def _uid(cluster: Cluster, name: str, address: str) -> str:
    pod = cluster.pod(cluster.replica_set("shop", name.partition("-")[0]), name, address, node=NODE)
    uid: str = pod["metadata"]["uid"]
    return uid


def _named(cluster: Cluster, *flows: tuple[Flow, str, str]) -> FlowBatch:
    """Flows with the pod UIDs of their ends."""
    uids = {f"{end}_pod_uid": Names.from_strings(row[at] for row in flows) for at, end in ((1, "src"), (2, "dst"))}
    return Enricher(cluster.index, Enrichment())(batch(*(flow for flow, *_ in flows)).with_columns(uids))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1"])
def test_equal_ends_of_two_pods_have_each_its_own_names(cluster: Cluster, address: str) -> None:
    web, db = _uid(cluster, "web-1", WEB), _uid(cluster, "db-1", DB)
    flow = Flow(address, address, 40_000, 8081)
    found = _named(cluster, (flow, web, web), (flow, db, db))
    for end in ("src", "dst"):
        assert [texts(found, f"{end}_{name}") for name in ("name", "owner", "namespace", "node", "kind")] == [
            ["web-1", "db-1"], ["web", "db"], ["shop"] * 2, ["node-a"] * 2, ["Pod"] * 2,
        ]  # fmt: skip
        assert texts(found, f"{end}_identity_source") == ["cgroup"] * 2
        assert texts(found, f"{end}_identity_confidence") == ["exact"] * 2
        assert texts(found, f"{end}_layer") == ["app"] * 2


def test_an_address_of_its_own_counts_for_more_than_a_uid(cluster: Cluster) -> None:
    web, _ = _uid(cluster, "web-1", WEB), _uid(cluster, "db-1", DB)
    found = _named(cluster, (Flow(DB, WEB, 40_000, 8080), web, web))
    assert (texts(found, "src_name"), texts(found, "src_identity_source")) == (["db-1"], ["watch"])


def test_a_pod_that_nobody_told_of_or_none_at_all_stays_without_name(cluster: Cluster) -> None:
    web = _uid(cluster, "web-1", WEB)
    flow = Flow("127.0.0.1", "127.0.0.1", 40_000, 8081)
    found = _named(cluster, (flow, "0a0a0a0a-0000-4000-8000-000000000000", web), (flow, "", ""))
    assert texts(found, "src_name") == ["", ""]
    assert texts(found, "src_identity_source") == ["none", "none"]
    assert texts(found, "dst_name") == ["web-1", ""]


def test_a_pod_has_its_names_after_its_end_until_others_ended_since(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_state, "MAX_GONE_PODS", 1)
    owner = cluster.replica_set("shop", "web")
    gone = [cluster.pod(owner, f"web-{number}", WEB, at=number, node=NODE) for number in (1, 2)]
    for at, pod in enumerate(gone, start=1_000):
        cluster.delete(pod, at)
    flow = Flow("127.0.0.1", "127.0.0.1", 40_000, 8081, start=500, end=900)
    uids = [pod["metadata"]["uid"] for pod in gone]
    found = _named(cluster, *((flow, uid, uid) for uid in uids))
    assert texts(found, "src_name") == ["", "web-2"]
    assert texts(found, "src_owner") == ["", "web"]
