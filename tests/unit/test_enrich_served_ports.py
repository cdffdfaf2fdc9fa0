# SPDX-License-Identifier: Apache-2.0
"""A port whose number changes on the way to the server: both numbers, in both directions, whoever saw the packets."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from enrich_kit import Cluster, Flow, batch, service, texts
from flowgauge.config.model import Enrichment
from flowgauge.demo.objects import networking
from flowgauge.demo.objects.meta import Object
from flowgauge.enrich.stage import Enricher
from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.roles import to_server
from flowgauge.schema import roles
from flowgauge.schema.roles import Side

SHOP, PAY, PAY_IP, NODE = "10.244.1.2", "10.244.2.3", "10.96.0.9", "192.168.50.11"
SHOP6, PAY6, PAY_IP6 = "fd00:1::2", "fd00:2::3", "fd00:96::9"
CLIENT = 40_000


def ports(found: FlowBatch) -> list[tuple[int, int]]:
    return list(zip(found.array("service_port").tolist(), found.array("target_port").tolist(), strict=True))


def gateway(cluster: Cluster, name: str = "payments-5d8f-a", address: str = PAY, port: int = 8443, **spec: Any) -> Object:
    """A pod whose port ``https`` is ``port``."""
    container = {"name": "app", "ports": [{"name": "https", "containerPort": port, "protocol": "TCP"}]}
    return cluster.pod(cluster.replica_set("shop", "payments"), name, address, containers=[container], **spec)


@pytest.fixture
def cluster() -> Cluster:
    """The Service payments, 443, before a pod that listens on 8443; and the pod of its client."""
    found = Cluster()
    found.pod(found.replica_set("shop", "checkout"), "checkout-5d8f-a", SHOP)
    found.service("shop", "payments", PAY_IP, gateway(found), port=(443, 8443))
    return found


EITHER_WAY = [
    pytest.param(Flow(SHOP, PAY_IP, CLIENT, 443, nat_dst=(PAY, 8443)), id="request, translated by the client's node"),
    pytest.param(Flow(SHOP, PAY_IP, CLIENT, 443), id="request, of which nobody told the backend"),
    pytest.param(Flow(SHOP, PAY, CLIENT, 8443), id="request at the server's node"),
    pytest.param(Flow(PAY, SHOP, 8443, CLIENT), id="answer at the server's node"),
    pytest.param(Flow(PAY, SHOP, 8443, CLIENT, nat_src=(PAY_IP, 443)), id="answer, translated by the client's node"),
    pytest.param(Flow(PAY_IP, SHOP, 443, CLIENT), id="answer, of which nobody told the backend"),
    pytest.param(Flow("203.0.113.9", NODE, 50_000, 30_443, nat_dst=(PAY, 8443)), id="request to a node port"),
    pytest.param(Flow(SHOP, PAY_IP, 8443, 443, nat_dst=(PAY, 8443)), id="request from a low port"),
]


@pytest.mark.parametrize("flow", EITHER_WAY)
def test_both_numbers_are_known_wherever_packets_were_seen(cluster: Cluster, flow: Flow) -> None:
    found = cluster.enriched(flow)
    assert ports(found) == [(443, 8443)]
    assert "payments" in texts(found, "src_service") + texts(found, "dst_service")


def test_ipv6_too() -> None:
    cluster = Cluster()
    cluster.service("shop", "payments", PAY_IP6, gateway(cluster, address=PAY6), port=(443, 8443))
    found = cluster.enriched(
        Flow(SHOP6, PAY_IP6, CLIENT, 443, nat_dst=(PAY6, 8443)),
        Flow(PAY6, SHOP6, 8443, CLIENT),
        Flow(SHOP6, PAY_IP6, CLIENT, 443),
    )
    assert ports(found) == [(443, 8443)] * 3


def test_one_number_is_told_by_the_flow_itself(cluster: Cluster) -> None:
    web = gateway(cluster, "web-5d8f-a", "10.244.2.4", 8080)
    cluster.service("shop", "web", "10.96.0.10", web, port=(8080, 8080))
    cluster.service("shop", "headless", "None", web, port=(81, 8081))
    found = cluster.enriched(
        Flow(SHOP, "10.96.0.10", CLIENT, 8080, nat_dst=("10.244.2.4", 8080)),
        Flow("10.244.2.4", SHOP, 8080, CLIENT),
        Flow(SHOP, "10.244.2.4", CLIENT, 8081),  # clients of a headless Service know the pods' port
        Flow(SHOP, PAY, CLIENT, 9000),  # at a port of no Service
        Flow(SHOP, PAY_IP, CLIENT, 443, proto=17),  # nor of this protocol
        Flow(SHOP, "203.0.113.9", CLIENT, 443, nat_src=(NODE, 31_000)),
        Flow("203.0.113.9", NODE, 443, 31_000, nat_dst=(SHOP, CLIENT)),  # which is the client's
    )
    assert ports(found) == [(0, 0)] * 7


def test_a_forwarded_port_needs_no_service() -> None:
    found = Cluster().enriched(
        Flow("203.0.113.9", NODE, CLIENT, 8080, nat_dst=("172.17.0.2", 80)),
        Flow("172.17.0.2", "203.0.113.9", 80, CLIENT, nat_src=(NODE, 8080)),
        Flow("172.17.0.2", "203.0.113.9", 80, CLIENT, nat_src=(NODE, 80)),
        Flow("172.17.0.2", "203.0.113.9", CLIENT, 80, nat_src=(NODE, 31_000)),  # which is the client
    )
    assert ports(found) == [(8080, 80), (8080, 80), (0, 0), (0, 0)]


def test_an_answer_that_another_machine_translates_tells_the_number_behind() -> None:
    found = Cluster().enriched(
        Flow("203.0.113.9", NODE, CLIENT, 8080, nat_dst=("172.17.0.2", 80)), Flow("172.17.0.2", "203.0.113.9", 80, CLIENT)
    )
    assert ports(found) == [(8080, 80), (0, 0)]  # of the answer 80 is all that there is to know


def test_of_two_ports_that_lead_to_one_an_answer_does_not_tell_which_was_asked(cluster: Cluster) -> None:
    both = networking.service("shop", "api", address="10.96.0.11", selector={"app": "api"}, time_ns=0,
                              ports=[("http", 80, 8080, "TCP"), ("alt", 81, 8080, "TCP")])  # fmt: skip
    cluster.put(both)
    cluster.put(networking.endpoint_slice(both, "x", [gateway(cluster, "api-5d8f-a", "10.244.2.5", 8080)], 0))
    found = cluster.enriched(
        Flow(SHOP, "10.96.0.11", CLIENT, 80),
        Flow(SHOP, "10.96.0.11", CLIENT, 81, nat_dst=("10.244.2.5", 8080)),
        Flow("10.244.2.5", SHOP, 8080, CLIENT),
    )
    assert ports(found) == [(80, 8080), (81, 8080), (0, 0)]
    assert texts(found, "src_service")[2] == "api"


def test_where_pods_differ_only_the_kernel_knows(cluster: Cluster) -> None:
    made = networking.service("shop", "mixed", address="10.96.0.12", selector={"app": "payments"}, time_ns=0,
                              ports=[("https", 443, "https", "TCP")])  # fmt: skip
    cluster.put(made)
    gateway(cluster, "payments-5d8f-b", "10.244.2.6", 9443)
    found = cluster.enriched(
        Flow(SHOP, "10.96.0.12", CLIENT, 443), Flow(SHOP, "10.96.0.12", CLIENT, 443, nat_dst=("10.244.2.6", 9443)),
        Flow("10.244.2.6", SHOP, 9443, CLIENT),
    )  # fmt: skip
    assert ports(found) == [(0, 0), (443, 9443), (443, 9443)]


def test_the_selector_chooses_where_no_slices_are_known() -> None:
    cluster = Cluster()
    one = gateway(cluster)
    cluster.put(networking.service("shop", "payments", address=PAY_IP, selector={"app": "payments"}, time_ns=0,
                                   ports=[("https", 443, "https", "TCP")]))  # fmt: skip
    flows = (Flow(SHOP, PAY_IP, CLIENT, 443), Flow(PAY, SHOP, 8443, CLIENT))
    assert ports(cluster.enriched(*flows)) == [(443, 8443)] * 2
    cluster.delete(one, 10)
    assert ports(cluster.enriched(Flow(SHOP, PAY_IP, CLIENT, 443, 20, 30))) == [(0, 0)]


def test_a_service_that_is_told_after_its_slices_says_its_port_all_the_same() -> None:
    cluster = Cluster()
    one = service("shop", "payments", PAY_IP, (443, 8443))
    cluster.put(networking.endpoint_slice(one, "x", [gateway(cluster)], 0))
    stage = Enricher(cluster.index, Enrichment())
    assert ports(stage(batch(Flow(PAY, SHOP, 8443, CLIENT)))) == [(0, 0)]
    cluster.put(one, 10)
    assert (
        ports(stage(batch(Flow(PAY, SHOP, 8443, CLIENT, 20, 30), Flow(SHOP, PAY_IP, CLIENT, 443, 20, 30)))) == [(443, 8443)] * 2
    )


def test_ports_are_those_of_the_flows_own_time() -> None:
    cluster = Cluster()
    server = gateway(cluster)
    cluster.service("shop", "payments", PAY_IP, server, port=(443, 8443))
    later = service("shop", "payments", PAY_IP, (443, 9443))
    for thing in (later, networking.endpoint_slice(later, "x", [server], 0)):
        cluster.put(thing, 1000, "MODIFIED")
    found = cluster.enriched(Flow(SHOP, PAY_IP, CLIENT, 443, 100, 200), Flow(SHOP, PAY_IP, CLIENT, 443, 2000, 2100),
                             Flow(PAY, SHOP, 8443, CLIENT, 100, 200), Flow(PAY, SHOP, 9443, CLIENT, 2000, 2100))  # fmt: skip
    assert ports(found) == [(443, 8443), (443, 9443), (443, 8443), (443, 9443)]


def test_what_the_kernel_did_counts_for_more_than_what_objects_say(cluster: Cluster) -> None:
    found = cluster.enriched(
        Flow(SHOP, PAY_IP, CLIENT, 443, nat_dst=(PAY, 9443)), Flow(SHOP, PAY_IP, CLIENT, 443, nat_dst=(PAY, 443))
    )
    assert ports(found) == [(443, 9443), (0, 0)]


def test_what_a_record_tells_stands_where_nothing_else_is_known(cluster: Cluster) -> None:
    """Flows that another store exported come with both numbers, and names (``given``)."""
    told = {name: np.array([port] * 2, np.uint16) for name, port in (("service_port", 81), ("target_port", 9443))}
    flows = batch(Flow("172.17.0.2", "203.0.113.9", 9443, CLIENT), Flow(PAY, SHOP, 8443, CLIENT)).with_columns(told)
    assert ports(Enricher(cluster.index, Enrichment())(flows)) == [(81, 9443), (443, 8443)]
    assert flows.array("service_port").tolist() == [81, 81]


def test_the_rule_of_columns_is_that_of_the_schema() -> None:
    sides = [Side(addresses.packed(text), port, name) for text in ("10.0.0.1", "10.0.0.2", "fd00::1")
             for port in (53, 123, 443, 9999, 27_017, 40_000) for name in ("", "web")]  # fmt: skip
    pairs = list(itertools.product(sides, sides))
    ends = [
        (
            np.frombuffer(b"".join(pair[end].addr for pair in pairs), np.uint8).reshape(-1, 16),
            np.array([pair[end].port for pair in pairs], np.uint16),
            np.array([bool(pair[end].service) for pair in pairs]),
        )
        for end in (0, 1)
    ]
    assert to_server(ends[0], ends[1]).tolist() == [roles.to_server(src, dst, 6) for src, dst in pairs]
