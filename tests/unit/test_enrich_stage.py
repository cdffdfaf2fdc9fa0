# SPDX-License-Identifier: Apache-2.0
"""What the ends of flows are called: pods, nodes, Services, what is outside; before and behind address translation."""

from __future__ import annotations

import pytest

from enrich_kit import Cluster, Flow, batch, pod, service, texts
from flowgauge.config.model import Enrichment
from flowgauge.demo.objects import networking, workloads
from flowgauge.demo.objects.meta import made
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.stage import Enricher

WEB, DB, WEB_IP, DB_IP = "10.244.1.2", "10.244.2.3", "10.96.80.80", "10.96.54.32"
NODE_A, NODE_B = ("node-a", "192.168.50.11"), ("node-b", "192.168.50.12")
OUTSIDE = "203.0.113.10"
OUTSIDE_LABEL = [{"name": "EXT:clients", "cidrs": ["203.0.113.0/24"]}]


@pytest.fixture
def cluster() -> Cluster:
    """Two nodes in two zones, Django on one and PostgreSQL on the other, each behind a Service."""
    found = Cluster()
    found.node("node-a", "zone-1", NODE_A[1], "10.244.1.0/24")
    found.node("node-b", "zone-2", NODE_B[1], "10.244.2.0/24")
    labels = {"app": "django", "app.kubernetes.io/part-of": "shop"}
    web = found.pod(found.replica_set("flow-demo", "django", labels=labels), "django-5d8f-a", WEB, node=NODE_A)
    database = found.pod(found.replica_set("flow-demo", "postgresql"), "postgresql-5d8f-b", DB, node=NODE_B)
    found.service("flow-demo", "django", WEB_IP, web, port=(8080, 8080))
    found.service("flow-demo", "postgresql", DB_IP, database, port=(5432, 5432))
    return found


def test_a_pod_has_every_name(cluster: Cluster) -> None:
    found = cluster.enriched(Flow(WEB, DB, 40_000, 5432))
    expected = {
        "src_namespace": "flow-demo", "src_name": "django-5d8f-a", "src_kind": "Pod", "src_owner": "django",
        "src_owner_kind": "Deployment", "src_node": "node-a", "src_zone": "zone-1", "src_region": "region-1",
        "src_revision": "5d8f", "src_application": "shop", "src_layer": "app", "src_service": "", "src_subnet": "",
        "src_identity_source": "watch", "src_identity_confidence": "exact",
        "dst_name": "postgresql-5d8f-b", "dst_node": "node-b", "dst_zone": "zone-2", "dst_service": "postgresql",
        "dst_application": "postgresql",
    }  # fmt: skip
    assert {column: texts(found, column)[0] for column in expected} == expected


def test_behind_a_cluster_ip_is_the_pod_and_the_service_is_told(cluster: Cluster) -> None:
    found = cluster.enriched(Flow(WEB, DB_IP, 40_000, 5432, nat_dst=(DB, 5432)))
    assert [texts(found, f"dst_{name}")[0] for name in ("name", "kind", "service", "node", "identity_source")] == [
        "postgresql-5d8f-b", "Pod", "postgresql", "node-b", "nat",
    ]  # fmt: skip


def test_a_reply_has_its_service_at_the_source(cluster: Cluster) -> None:
    found = cluster.enriched(
        Flow(DB, WEB, 5432, 40_000, nat_src=(DB_IP, 5432)),  # at the client's node, which translates back
        Flow(DB, WEB, 5432, 40_000),  # at the server's node
    )
    assert texts(found, "src_service") == ["postgresql"] * 2
    assert texts(found, "src_name") == ["postgresql-5d8f-b"] * 2
    assert texts(found, "src_identity_source") == ["watch"] * 2
    assert texts(found, "dst_service") == [""] * 2


def test_a_service_of_which_nobody_told_the_backend_is_itself_and_its_workload_the_owner(cluster: Cluster) -> None:
    found = cluster.enriched(Flow(WEB, DB_IP, 40_000, 5432), Flow(WEB, DB_IP, proto=1))
    assert [texts(found, f"dst_{name}") for name in ("name", "kind", "owner", "owner_kind", "service", "node")] == [
        ["postgresql"] * 2, ["Service"] * 2, ["postgresql"] * 2, ["Deployment"] * 2, ["postgresql"] * 2, [""] * 2,
    ]  # fmt: skip


def test_only_the_end_that_serves_has_a_service(cluster: Cluster) -> None:
    found = cluster.enriched(
        Flow(OUTSIDE, WEB, 33_000, 8080),
        Flow(WEB, OUTSIDE, 8080, 33_000),
        Flow(WEB, OUTSIDE, 41_000, 443),
        Flow(OUTSIDE, WEB, 33_000, 9100),
    )
    assert texts(found, "src_service") == ["", "django", "", ""]
    assert texts(found, "dst_service") == ["django", "", "", ""]


def test_protocols_have_ports_of_their_own(cluster: Cluster) -> None:
    found = cluster.enriched(Flow(WEB, DB, 40_000, 5432, proto=17))
    assert texts(found, "dst_service") == [""]


def test_what_is_outside_has_a_label(cluster: Cluster) -> None:
    found = cluster.enriched(
        Flow(OUTSIDE, WEB, 33_000, 8080),
        Flow("8.8.8.8", "192.168.7.7"),
        Flow("2606:4700::1111", "fd00::1"),
        Flow(WEB, "224.0.0.251"),
        subnetLabels=OUTSIDE_LABEL,
    )
    assert texts(found, "src_subnet") == ["EXT:clients", "EXT:internet", "EXT:internet", ""]
    assert texts(found, "dst_subnet") == ["", "", "", ""]
    assert texts(found, "src_identity_source") == ["subnet", "subnet", "subnet", "watch"]
    assert texts(found, "dst_identity_source") == ["watch", "none", "none", "none"]
    assert texts(found, "src_layer") == ["", "", "", "app"]


def test_the_longest_label_wins_and_the_internets_can_be_switched_off(cluster: Cluster) -> None:
    labels = [{"name": "pods", "cidrs": ["10.244.0.0/16"]}, {"name": "pods of b", "cidrs": ["10.244.2.0/24"]}]
    found = cluster.enriched(Flow(WEB, DB), Flow("8.8.8.8", WEB), subnetLabels=labels, externalLabel="")
    assert texts(found, "src_subnet") == ["pods", ""]
    assert texts(found, "dst_subnet") == ["pods of b", "pods"]
    assert texts(found, "src_identity_source") == ["watch", "none"]


def test_a_public_address_of_the_cluster_is_not_the_internet() -> None:
    cluster = Cluster()
    cluster.node("node-a", "zone-1", "198.41.0.4", "199.7.83.0/24")
    found = cluster.enriched(Flow("198.41.0.4", "199.7.83.42"))
    assert texts(found, "src_subnet") == texts(found, "dst_subnet") == [""]


def test_fixed_names_stand_behind_kubernetes(cluster: Cluster) -> None:
    names = [
        {"name": "mainframe", "addresses": ["192.168.7.7"], "kind": "Host"},
        {"name": "office", "addresses": ["192.168.0.0/16", "10.244.0.0/16"]},
    ]
    found = cluster.enriched(Flow("192.168.7.7", WEB), Flow("192.168.7.8", NODE_A[1]), names=names)
    assert texts(found, "src_name") == ["mainframe", "office"]
    assert texts(found, "src_kind") == ["Host", "External"]
    assert texts(found, "src_owner") == ["mainframe", "office"]
    assert texts(found, "src_identity_source") == ["subnet", "subnet"]
    assert texts(found, "dst_name") == ["django-5d8f-a", "node-a"]


def test_an_address_of_a_pod_block_has_its_node_until_the_pod_is_known(cluster: Cluster) -> None:
    found = cluster.enriched(Flow("10.244.2.99", WEB, 40_000, 8080))
    assert [texts(found, f"src_{name}")[0] for name in ("name", "node", "zone", "identity_source", "identity_confidence")] == [
        "", "node-b", "zone-2", "subnet", "likely",
    ]  # fmt: skip


def test_pods_in_the_nodes_network_are_the_node_and_may_serve(cluster: Cluster) -> None:
    router = cluster.put(workloads.daemon_set("openshift-ingress", "router", 1, {"app": "router"}, 0))
    own = cluster.pod(router, "router-x", NODE_A[1], hostNetwork=True)
    cluster.service("openshift-ingress", "router", "10.96.1.1", own, port=(443, 8443))
    found = cluster.enriched(Flow(OUTSIDE, NODE_A[1], 33_000, 8443), Flow(NODE_A[1], WEB, 50_000, 8080))
    assert texts(found, "dst_name")[0] == texts(found, "src_name")[1] == "node-a"
    assert texts(found, "dst_kind")[0] == "Node"
    assert texts(found, "dst_service") == ["router", "django"]
    assert texts(found, "src_service") == ["", ""]
    assert texts(found, "dst_layer") == ["infra", "app"]


def test_a_node_of_which_only_pods_tell_is_still_named() -> None:
    cluster = Cluster()
    cluster.pod(cluster.replica_set("shop", "web"), "web-1", WEB)
    found = cluster.enriched(Flow(NODE_A[1], WEB))
    assert (texts(found, "src_name"), texts(found, "src_kind")) == (["node-a"], ["Node"])
    cluster.node("node-a", "zone-9", NODE_A[1], "10.244.1.0/24", at=5000)
    found = cluster.enriched(Flow(NODE_A[1], WEB, start=6000, end=6000))
    assert texts(found, "src_zone") == texts(found, "dst_zone") == ["zone-9"]


@pytest.mark.parametrize(
    ("space", "layer"), [("kube-system", "infra"), ("openshift-dns", "infra"), ("openshift", "infra"), ("openshiftish", "app")]
)
def test_layers_follow_the_namespace(space: str, layer: str) -> None:
    cluster = Cluster()
    cluster.pod(cluster.replica_set(space, "dns"), "dns-1", WEB)
    assert texts(cluster.enriched(Flow(WEB, DB)), "src_layer") == [layer]


def test_dual_stack_pods_are_named_by_both_addresses(cluster: Cluster) -> None:
    one = pod(cluster.replica_set("shop", "dual"), "dual-1", "10.244.1.9")
    one["status"]["podIPs"] = [{"ip": "10.244.1.9"}, {"ip": "fd00:10:244:1::9"}]
    cluster.put(one)
    found = cluster.enriched(Flow("10.244.1.9", "fd00:10:244:1::9"))
    assert texts(found, "src_name") == texts(found, "dst_name") == ["dual-1"]


def test_owners_are_followed_to_the_top(cluster: Cluster) -> None:
    cron = cluster.put(made("batch/v1", "CronJob", "report", namespace="shop", time_ns=0))
    job = cluster.put(made("batch/v1", "Job", "report-28", namespace="shop", time_ns=0, owner=cron, labels={}))
    job["spec"] = {"template": {"spec": {"containers": [{"name": "c"}]}}}
    job["metadata"]["labels"] = {}
    cluster.pod(job, "report-28-x", "10.244.1.20")
    operator = cluster.put(made("example.org/v1", "Database", "big", namespace="shop", time_ns=0))
    stateful = cluster.put(made("apps/v1", "StatefulSet", "big-db", namespace="shop", time_ns=0, owner=operator, labels={}))
    stateful["spec"] = job["spec"]
    stateful["metadata"]["labels"] = {"controller-revision-hash": "big-db-77"}
    cluster.pod(stateful, "big-db-0", "10.244.1.21")
    bare = pod(job, "bare", "10.244.1.22")
    del bare["metadata"]["ownerReferences"]
    cluster.put(bare)
    found = cluster.enriched(Flow("10.244.1.20", "10.244.1.21"), Flow("10.244.1.22", "10.244.1.21"))
    assert texts(found, "src_owner") == ["report", "bare"]
    assert texts(found, "src_owner_kind") == ["CronJob", "Pod"]
    assert (texts(found, "dst_owner")[0], texts(found, "dst_owner_kind")[0]) == ("big-db", "StatefulSet")
    assert texts(found, "dst_revision")[0] == "big-db-77"


def test_an_owner_learned_later_counts_for_earlier_flows() -> None:
    cluster = Cluster()
    owner = workloads.deployment("shop", "web", 1, {"app": "web"}, 0)
    replica_set = workloads.replica_set(owner, "5d8f", 0)
    replica_set["metadata"]["labels"] = {"app": "web"}  # no hash: its name alone does not say of which Deployment it is
    cluster.pod(replica_set, "web-1", WEB)
    assert texts(cluster.enriched(Flow(WEB, DB)), "src_owner") == ["web-5d8f"]
    cluster.put(replica_set, at=3000)
    cluster.put(owner, at=3000)
    assert texts(cluster.enriched(Flow(WEB, DB)), "src_owner") == ["web"]


def test_without_its_replica_set_a_pods_hash_tells_the_deployment() -> None:
    cluster = Cluster()
    owner = workloads.replica_set(workloads.deployment("shop", "web-shop", 1, {"app": "web"}, 0), "5d8f", 0)
    cluster.pod(owner, "web-shop-5d8f-1", WEB)
    found = cluster.enriched(Flow(WEB, DB))
    assert (texts(found, "src_owner"), texts(found, "src_owner_kind")) == (["web-shop"], ["Deployment"])


def test_without_endpoint_slices_the_selector_chooses_the_backends() -> None:
    cluster = Cluster()
    cluster.pod(cluster.replica_set("shop", "web"), "web-1", WEB)
    by_name = service("shop", "web", WEB_IP)
    by_name["spec"]["ports"][0]["targetPort"] = "http"
    cluster.put(by_name)
    cluster.pod(cluster.replica_set("shop", "web"), "web-2", DB, at=2000)
    cluster.pod(cluster.replica_set("other", "web"), "web-3", "10.244.2.77", at=2000)
    found = cluster.enriched(*(Flow(OUTSIDE, address, 33_000, 8080, 3000, 3000) for address in (WEB, DB, "10.244.2.77")))
    assert texts(found, "dst_service") == ["web", "web", ""]


def test_of_two_services_at_one_port_the_one_with_an_address_is_meant(cluster: Cluster) -> None:
    database = pod(cluster.replica_set("shop", "db"), "db-0", "10.244.2.8")
    cluster.put(database)
    cluster.service("shop", "a-headless", "None", database, port=(5432, 5432))
    cluster.service("shop", "db", "10.96.9.9", database, port=(5432, 5432))
    cluster.service("shop", "z-headless", "None", database, port=(5432, 5432))
    assert texts(cluster.enriched(Flow(WEB, "10.244.2.8", 40_000, 5432)), "dst_service") == ["db"]


def test_a_service_that_is_told_after_its_slices_is_preferred_all_the_same() -> None:
    cluster = Cluster()
    database = pod(cluster.replica_set("shop", "db"), "db-0", DB)
    cluster.put(database)
    for name, address in (("db", "10.96.9.9"), ("z-headless", "None")):
        cluster.put(networking.endpoint_slice(service("shop", name, address, (5432, 5432)), "x", [database], 0))
    for name, address in (("db", "10.96.9.9"), ("z-headless", "None")):
        cluster.put(service("shop", name, address, (5432, 5432)))
    assert texts(cluster.enriched(Flow(WEB, DB, 40_000, 5432)), "dst_service") == ["db"]


def test_a_load_balancer_on_a_nodes_address_leaves_the_node_its_name(cluster: Cluster) -> None:
    balanced = service("shop", "edge", "10.96.7.7", (443, 8443))
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": NODE_A[1]}, {"ip": "198.51.100.200"}]}}
    cluster.put(balanced)
    found = cluster.enriched(Flow(OUTSIDE, NODE_A[1], 33_000, 443), Flow(OUTSIDE, "198.51.100.200", 33_000, 443))
    assert texts(found, "dst_name") == ["node-a", "edge"]
    assert texts(found, "dst_service") == ["edge", "edge"]


def test_a_masqueraded_client_stays_itself_and_its_reply_finds_it(cluster: Cluster) -> None:
    found = cluster.enriched(
        Flow(WEB, OUTSIDE, 40_000, 443, nat_src=(NODE_A[1], 40_000)),
        Flow(OUTSIDE, NODE_A[1], 443, 40_000, nat_dst=(WEB, 40_000)),
    )
    assert (texts(found, "src_name")[0], texts(found, "dst_name")[1]) == ("django-5d8f-a", "django-5d8f-a")
    assert texts(found, "dst_identity_source")[1] == "nat"
    assert texts(found, "dst_service") == texts(found, "src_service") == ["", ""]


def test_an_empty_batch_and_an_empty_index_are_fine() -> None:
    empty = Enricher(KubernetesIndex(), Enrichment())
    found = empty(batch())
    assert len(found) == 0
    assert texts(found, "src_name") == []
    found = empty(batch(Flow(WEB, DB)))
    assert texts(found, "src_identity_source") == ["none"]


def test_every_end_is_counted_by_how_it_is_known(cluster: Cluster) -> None:
    stage = Enricher(cluster.index, Enrichment())
    stage(batch(Flow(WEB, DB_IP, 40_000, 5432, nat_dst=(DB, 5432)), Flow("8.8.8.8", "192.168.7.7")))
    assert {sample.labels["identity_source"]: sample.value for sample in stage.samples()} == {
        "watch": 1, "nat": 1, "subnet": 1, "none": 1,
    }  # fmt: skip
