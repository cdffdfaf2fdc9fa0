# SPDX-License-Identifier: Apache-2.0
"""Names follow time: reused addresses, events that come late or never, pods that come and go."""

from __future__ import annotations

import pytest

from enrich_kit import Cluster, Flow, pod, service, texts, with_status
from flowgauge.demo.objects import networking, workloads
from flowgauge.enrich import history, timeline
from flowgauge.enrich.as_of import EARLY_MS, LINGER_MS

A, PEER = "10.244.1.2", "203.0.113.10"


def at(start: int, end: int | None = None) -> Flow:
    return Flow(A, PEER, 40_000, 443, start, start if end is None else end)


def names(cluster: Cluster, *flows: Flow) -> list[tuple[str, str]]:
    """Name and confidence of the sources."""
    found = cluster.enriched(*flows)
    return list(zip(texts(found, "src_name"), texts(found, "src_identity_confidence"), strict=True))


@pytest.fixture
def cluster() -> Cluster:
    """Address A is the first pod's from 300 to 60,000 ms, as events tell it, and the second's from 60,400 ms."""
    found = Cluster()
    owner = found.replica_set("shop", "web")
    first = found.pod(owner, "first", A, 300)
    found.delete(workloads.terminated(first, 0), 60_000)
    found.pod(owner, "second", A, 60_400)
    return found


def test_a_reused_address_belongs_to_whoever_had_it_at_the_time(cluster: Cluster) -> None:
    assert names(cluster, at(300), at(59_000, 60_000), at(60_400), at(70_000, 80_000)) == [
        ("first", "exact"), ("first", "exact"), ("second", "exact"), ("second", "exact"),
    ]  # fmt: skip


def test_a_flow_that_ends_right_at_the_handover_is_its_longer_part(cluster: Cluster) -> None:
    assert names(cluster, at(57_000, 60_405), at(59_990, 62_000)) == [("first", "exact"), ("second", "exact")]


def test_times_without_a_holder_go_to_the_nearest_as_a_guess(cluster: Cluster) -> None:
    assert names(cluster, at(60_100), at(60_390), at(300 - EARLY_MS), at(299 - EARLY_MS)) == [
        ("first", "guess"), ("second", "guess"), ("first", "guess"), ("", ""),
    ]  # fmt: skip


def test_peers_that_still_send_to_a_pod_that_is_gone_are_told_its_name_for_a_while() -> None:
    cluster = Cluster()
    one = cluster.pod(cluster.replica_set("shop", "web"), "web-1", A)
    cluster.delete(one, 5000)
    assert names(cluster, at(5001 + LINGER_MS), at(5002 + LINGER_MS)) == [("web-1", "guess"), ("", "")]


def test_a_pod_may_have_its_address_before_the_api_says_so() -> None:
    cluster = Cluster()
    owner = cluster.replica_set("shop", "web")
    starting = cluster.put(pod(owner, "web-1", "", 1000), 1000)
    cluster.put(with_status(starting, podIP=A, podIPs=[{"ip": A}]), 4000, "MODIFIED")
    assert names(cluster, at(1000), at(3999), at(4000)) == [("web-1", "likely"), ("web-1", "likely"), ("web-1", "exact")]


def test_a_pod_that_ran_when_we_began_had_its_address_since_its_start() -> None:
    cluster = Cluster()
    cluster.put(pod(cluster.replica_set("shop", "web"), "web-1", A, 0), 3_600_000)
    assert names(cluster, at(1800_000), at(3_600_000)) == [("web-1", "likely"), ("web-1", "exact")]


def test_the_possible_time_of_a_holder_does_not_cut_into_the_known_time_of_another() -> None:
    cluster = Cluster()
    owner = cluster.replica_set("shop", "web")
    first = cluster.pod(owner, "first", A)
    second = cluster.put(pod(owner, "second", "", 2000), 2000)
    cluster.delete(first, 8000)
    cluster.put(with_status(second, podIP=A, podIPs=[{"ip": A}]), 9000, "MODIFIED")
    assert names(cluster, at(7000), at(8500), at(9000)) == [("first", "exact"), ("second", "likely"), ("second", "exact")]


def test_a_new_holder_ends_a_tenure_whose_end_nobody_told() -> None:
    cluster = Cluster()
    owner = cluster.replica_set("shop", "web")
    first = cluster.pod(owner, "first", A)
    cluster.pod(owner, "second", A, 5000)
    cluster.put({**first, "metadata": {**first["metadata"], "labels": {"late": "news"}}}, 6000, "MODIFIED")
    assert names(cluster, at(4000), at(7000)) == [("first", "exact"), ("second", "exact")]


def test_a_pod_made_again_under_its_name_is_another_pod() -> None:
    cluster = Cluster()
    owner = cluster.replica_set("shop", "db")
    cluster.pod(owner, "db-0", A)
    cluster.pod(owner, "db-0", "10.244.1.3", 5000)
    found = cluster.enriched(at(4000), at(5001 + LINGER_MS + 1))
    assert texts(found, "src_name") == ["db-0", ""]


def test_a_finished_pod_gave_its_address_back_although_its_status_still_tells_it() -> None:
    cluster = Cluster()
    owner = cluster.replica_set("shop", "job")
    ran = cluster.pod(owner, "job-1", A)
    ends = [{"state": {"terminated": {"finishedAt": "2025-12-18T12:00:05Z"}}}]
    done = with_status(ran, phase="Succeeded", containerStatuses=ends)
    cluster.put(done, 7000, "MODIFIED")
    cluster.pod(owner, "web-1", A, 6500)
    cluster.put({**done, "metadata": {**done["metadata"], "labels": {"late": "news"}}}, 20_000, "MODIFIED")
    cluster.delete(done, 30_000)
    assert names(cluster, at(5500), at(6500), at(25_000)) == [("job-1", "exact"), ("web-1", "exact"), ("web-1", "exact")]


def test_a_pod_that_had_finished_before_we_began_is_known_for_its_time() -> None:
    cluster = Cluster()
    owner = cluster.replica_set("shop", "job")
    ends = [{"state": {"terminated": {"finishedAt": "2025-12-18T12:00:05Z"}}}]
    cluster.put(with_status(pod(owner, "job-1", A), phase="Failed", containerStatuses=ends), 3_600_000)
    cluster.put(pod(owner, "web-1", A, 7000), 3_600_000)
    assert names(cluster, at(3000), at(8000), at(3_600_000)) == [("job-1", "likely"), ("web-1", "likely"), ("web-1", "exact")]


def test_all_that_is_known_of_a_pod_may_be_its_end() -> None:
    cluster = Cluster()
    cluster.delete(pod(cluster.replica_set("shop", "web"), "web-1", A), 60_000)
    assert names(cluster, at(30_000), at(60_000)) == [("web-1", "likely"), ("web-1", "exact")]


def test_endpoints_follow_time_and_a_new_pod_does_not_inherit_the_service() -> None:
    cluster = Cluster()
    owner = cluster.replica_set("shop", "web")
    first = cluster.pod(owner, "first", A)
    one = cluster.service("shop", "web", "10.96.0.9", first)
    cluster.put(networking.with_endpoints(one, []), 9000, "MODIFIED")
    cluster.delete(first, 10_000)
    second = cluster.pod(owner, "second", A, 10_500)
    to = [Flow(PEER, A, 33_000, 8080, start, start) for start in (5000, 9500, 11_000, 40_000)]
    assert texts(cluster.enriched(*to), "dst_service") == ["web", "web", "", ""]  # at 9500 connections to it still drain
    cluster.put(networking.with_endpoints(one, [second]), 30_000, "MODIFIED")
    assert texts(cluster.enriched(*to), "dst_service") == ["web", "web", "", "web"]


def test_an_address_of_a_service_follows_time_too() -> None:
    cluster = Cluster()
    old = cluster.put(service("shop", "old", "10.96.0.9"))
    cluster.delete(old, 100_000)
    cluster.put(service("shop", "new", "10.96.0.9", at=200_000), 200_000)
    found = cluster.enriched(*(Flow(PEER, "10.96.0.9", 33_000, 80, start, start) for start in (50_000, 250_000)))
    assert texts(found, "dst_name") == texts(found, "dst_service") == ["old", "new"]


def test_an_end_before_its_beginning_leaves_nothing_behind() -> None:
    cluster = Cluster()
    one = cluster.pod(cluster.replica_set("shop", "web"), "web-1", A, 90_000)
    slice_ = cluster.service("shop", "web", "10.96.0.9", one, at=90_000)
    cluster.delete(slice_, 1000)
    cluster.delete(one, 1000)
    found = cluster.enriched(Flow(PEER, A, 33_000, 8080, 5000, 100_000))
    assert (texts(found, "dst_name"), texts(found, "dst_service")) == ([""], [""])


def test_deleted_owners_and_nodes_still_name_late_flows() -> None:
    cluster = Cluster()
    node = cluster.node("node-a", "zone-1", "192.168.50.11", "10.244.1.0/24")
    owner = cluster.replica_set("shop", "web")
    one = cluster.pod(owner, "web-1", A)
    for thing in (one, owner, node):
        cluster.delete(thing, 9000)
    found = cluster.enriched(at(5000))
    assert [texts(found, f"src_{name}") for name in ("owner", "zone", "node")] == [["web"], ["zone-1"], ["node-a"]]


def test_the_past_of_an_address_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_TENURES", 4)
    cluster = Cluster()
    owner = cluster.replica_set("shop", "web")
    for number in range(10):
        one = cluster.pod(owner, f"web-{number}", A, number * 100_000)
        cluster.delete(one, number * 100_000 + 50_000)
    assert names(cluster, at(10_000), at(910_000)) == [("", ""), ("web-9", "exact")]
    assert {sample.name: sample.value for sample in cluster.index.samples()}["enrich_tenures_forgotten"] == 6


def test_the_past_of_all_addresses_is_bounded_oldest_first() -> None:
    forgotten: list[str] = []
    kept: history.History[str, str] = history.History(lambda _: None, forgotten.append, max_ended=2)
    for number, key in enumerate("abca"):
        kept.end(key, kept.begin(key, timeline.Tenure(f"{key}{number}", 0, number)), 10)
    kept.begin("d", timeline.Tenure("d", 0, 0))
    assert forgotten == ["a", "b"]
    assert kept.dropped == 2
    assert [{one.holder for one in kept.stretches(key)} for key in "abcd"] == [{"a3"}, set(), {"c2"}, {"d"}]


def test_objects_beyond_the_bound_are_refused_and_counted() -> None:
    cluster = Cluster()
    cluster.index._max_objects = 4
    owner = cluster.replica_set("shop", "web")
    one = cluster.pod(owner, "web-1", A)  # with Deployment, ReplicaSet and its node, four
    cluster.pod(owner, "web-2", "10.244.1.9")
    assert cluster.index.refused == 1
    cluster.put(with_status(one, podIP="10.244.1.3", podIPs=[{"ip": "10.244.1.3"}]), 1000, "MODIFIED")
    found = cluster.enriched(Flow("10.244.1.3", "10.244.1.9", start=1000, end=1000))
    assert (texts(found, "src_name"), texts(found, "dst_name")) == (["web-1"], [""])
    cluster.delete(one, 2000)
    cluster.pod(owner, "web-2", "10.244.1.9", 3000)
    assert texts(cluster.enriched(Flow(PEER, "10.244.1.9", start=3000, end=3000)), "dst_name") == ["web-2"]
