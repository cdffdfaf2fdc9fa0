# SPDX-License-Identifier: Apache-2.0
"""The map, on the real store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowgauge.errors import UsageError
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.query.topology import topology
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.filters.tree import OneOf, Or
from flowgauge.schema.flow_query import FlowQuery
from flowgauge.store.store import FlowStore
from store_kit import flows, in_namespace, last, running_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowStore]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        yield process.open()


def either(namespace: str) -> Or:
    return Or((in_namespace(namespace), OneOf(BY_NAME["dst_namespace"], (namespace,))))


def named(batch: FlowBatch, **names: str) -> FlowBatch:
    return batch.with_columns({name: Names.constant(text, len(batch)) for name, text in names.items()})


def conversation(namespace: str, port: int = 40000) -> FlowBatch:
    """Django → postgresql:5432 with 100 bytes, and the answer with 900."""
    there = named(
        flows(namespace, 1, owners=("django",), src_port=port, bytes=100, src_layer=1, dst_layer=1, rtt_avg_us=250),
        dst_namespace=namespace, src_owner_kind="Deployment", dst_owner_kind="Deployment", dst_service="postgresql",
    )  # fmt: skip
    back = named(
        flows(namespace, 1, owners=("postgresql",), src_port=5432, dst_port=port, bytes=900, src_layer=1, dst_layer=1),
        dst_namespace=namespace, dst_owner="django", src_owner_kind="Deployment", dst_owner_kind="Deployment",
        src_service="postgresql",
    )  # fmt: skip
    return FlowBatch.concat([there, back])


def test_both_directions_are_one_edge_towards_the_server(store: FlowStore) -> None:
    store.write(FlowBatch.concat([conversation("demo", 40000 + n) for n in range(3)]), "demo")
    found = topology(store, FlowQuery(last(100), either("demo")))
    assert [node.id for node in found.nodes] == ["demo/Deployment/django", "demo/Deployment/postgresql"]
    server = found.nodes[1]
    assert [(p.port, p.proto, p.service) for p in server.ports] == [(5432, 6, "postgresql")]
    assert (server.kind, server.layer) == ("workload", "app")
    assert found.nodes[0].ports == ()
    (edge,) = found.edges
    assert (edge.src, edge.dst, edge.dst_port, edge.dst_service) == (
        "demo/Deployment/django", "demo/Deployment/postgresql", 5432, "postgresql",
    )  # fmt: skip
    assert (edge.bytes, edge.bytes_to_server, edge.bytes_to_client, edge.flows) == (3000, 300, 2700, 6)
    assert edge.rate_bps == pytest.approx(3000 * 8 / 100)
    assert edge.rtt_avg_ns == 250_000
    assert not edge.approx
    assert edge.error == 0


def test_peers_without_a_workload_go_by_name_subnet_or_nothing(store: FlowStore) -> None:
    plain = named(
        flows("peers", 1, owners=("",), dst_port=80), dst_owner="", dst_namespace="peers", dst_name="web", src_namespace=""
    )
    sources = (named(plain, src_subnet="EXT: client"), named(plain, src_name="node-a", src_kind="Node"), plain)
    store.write(FlowBatch.concat(sources), "peers")
    found = topology(store, FlowQuery(last(), either("peers")))
    assert {(node.id, node.kind) for node in found.nodes} == {
        ("/Subnet/EXT: client", "peer"), ("/Node/node-a", "peer"), ("unknown", "unknown"), ("peers//web", "workload"),
    }  # fmt: skip


def test_echo_replies_belong_to_the_edge_of_the_request(store: FlowStore) -> None:
    request = named(
        flows("ping", 1, owners=("a",), proto=1, src_port=0, dst_port=0, icmp_type=8), dst_namespace="ping", dst_owner="b"
    )
    reply = named(
        flows("ping", 1, owners=("b",), proto=1, src_port=0, dst_port=0, icmp_type=0), dst_namespace="ping", dst_owner="a"
    )
    store.write(FlowBatch.concat([request, reply]), "ping")
    (edge,) = topology(store, FlowQuery(last(), either("ping"))).edges
    assert (edge.src, edge.dst, edge.dst_port, edge.flows) == ("ping//a", "ping//b", None, 2)


def test_edges_beyond_the_limit_are_summed(store: FlowStore) -> None:
    store.write(flows("many", 6, owners=("a", "b", "c"), bytes=[1, 20, 300, 1, 20, 300]), "many")
    found = topology(store, FlowQuery(last(), either("many"), limit=1))
    assert [edge.src for edge in found.edges] == ["many//c"]
    assert found.edge_count == 3
    assert found.others == {"bytes": 42, "packets": 4, "flows": 4}


def test_an_empty_map_and_a_wrong_order(store: FlowStore) -> None:
    found = topology(store, FlowQuery(last(), either("nobody")))
    assert (found.nodes, found.edges, found.others) == ((), (), {"bytes": 0, "packets": 0, "flows": 0})
    with pytest.raises(UsageError, match="ordered by"):
        topology(store, FlowQuery(last(), order_by="time_end_ns"))
