# SPDX-License-Identifier: Apache-2.0
"""The map, on the real store."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flowgauge.errors import UsageError
from flowgauge.flow.addresses import AddressColumn, from_texts, packed
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.mask import mask
from flowgauge.flow.names import Names
from flowgauge.query.topology import topology
from flowgauge.schema import reach
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import BY_NAME, DEFAULT_GROUPS
from flowgauge.schema.filters import bound
from flowgauge.schema.filters.tree import And, OneOf, Or
from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.schema.roles import Side, to_server
from flowgauge.store.answer import Addresses
from flowgauge.store.store import FlowStore
from store_kit import flows, in_namespace, last, named, running_store

CLIENT, SERVER = packed("10.0.0.1"), packed("10.0.0.2")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowStore]:
    with running_store(tmp_path_factory.mktemp("store"), "--groups", ",".join((*DEFAULT_GROUPS, Stored.DNS))) as process:
        yield process.open()


def either(namespace: str) -> Or:
    return Or((in_namespace(namespace), OneOf(BY_NAME["dst_namespace"], (namespace,))))


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


def test_a_conversation_through_a_service_with_another_port_is_one_edge(store: FlowStore) -> None:
    """Requests count as they are sent, to 443; answers as the server's node sees them, from 8443."""
    ports = {"service_port": 443, "target_port": 8443}
    there = named(flows("pay", 1, owners=("shop",), src_port=40_000, dst_port=443, bytes=100, **ports), dst_owner="gateway",
                  dst_namespace="pay", dst_service="payments")  # fmt: skip
    back = named(flows("pay", 1, owners=("gateway",), src_port=8443, dst_port=40_000, bytes=900, **ports), dst_owner="shop",
                 dst_namespace="pay", src_service="payments")  # fmt: skip
    direct = named(flows("pay", 1, owners=("scraper",), src_port=40_001, dst_port=8443, bytes=7, **ports), dst_owner="gateway",
                   dst_namespace="pay", dst_service="payments")  # fmt: skip
    store.write(FlowBatch.concat([there, back, direct]), "pay")
    for text in ("namespace = pay", "namespace = pay and port = 443", "namespace = pay and port = 8443"):
        found = topology(store, FlowQuery(last(), bound(text)))
        through, scraped = found.edges
        assert (through.src, through.dst_port, through.asked_ports, through.dst_service) == (
            "pay//shop",
            8443,
            (443,),
            "payments",
        )
        assert (through.bytes_to_server, through.bytes_to_client, through.flows) == (100, 900, 2)
        assert (scraped.src, scraped.dst_port, scraped.asked_ports, scraped.bytes) == ("pay//scraper", 8443, (), 7)
        (port,) = next(node.ports for node in found.nodes if node.owner == "gateway")
        assert (port.port, port.proto, port.service, port.asked_ports) == (8443, 6, "payments", (443,))
    assert not topology(store, FlowQuery(last(), bound("namespace = pay and port != 443"))).edges


def test_all_ports_of_services_that_lead_to_one_are_told(store: FlowStore) -> None:
    """Two ports of a Service, and one of another, at one port of the pods; one client asks for that itself."""
    asked = {9443: "shop", 80: "shop", 443: "till", 8443: "scraper"}
    talks = [
        named(flows("three", 1, owners=(client,), src_port=40_000, dst_port=port, service_port=port * (port != 8443),
                    target_port=8443 * (port != 8443)), dst_owner="gateway", dst_namespace="three")
        for port, client in asked.items()
    ]  # fmt: skip
    store.write(FlowBatch.concat(talks), "three")
    found = topology(store, FlowQuery(last(), bound("namespace = three")))
    assert {edge.src: (edge.dst_port, edge.asked_ports) for edge in found.edges} == {
        "three//shop": (8443, (80, 9443)), "three//till": (8443, (443,)), "three//scraper": (8443, ()),
    }  # fmt: skip
    (port,) = next(node.ports for node in found.nodes if node.owner == "gateway")
    assert (port.port, port.asked_ports) == (8443, (80, 443, 9443))


def test_peers_without_a_workload_go_by_name_dns_subnet_or_nothing(store: FlowStore) -> None:
    plain = named(
        flows("peers", 1, owners=("",), dst_port=80), dst_owner="", dst_namespace="peers", dst_name="web", src_namespace=""
    )
    inside = named(plain, src_subnet="EXT: client")
    asked = {"src_dns_name": "api.example.com"}
    sources = (inside, named(inside, **asked), named(plain, src_name="node-a", src_kind="Node", **asked), plain)
    store.write(FlowBatch.concat(sources), "peers")
    found = topology(store, FlowQuery(last(), either("peers")))
    assert {(node.id, node.kind) for node in found.nodes} == {
        ("/Subnet/EXT: client", "peer"), ("/DNS/api.example.com", "peer"), ("/Node/node-a", "peer"),
        ("unknown/Private", "unknown"), ("peers//web", "workload"),
    }  # fmt: skip


def test_addresses_without_a_name_are_told_apart_and_the_largest_named(store: FlowStore) -> None:
    """Of thousands of visitors there is one end, beside that of the site's own; what is no host's is another."""
    visitors = flows("reach", 200, owners=("",), bytes=10)
    addresses = [f"203.0.{row // 250}.{row % 250 + 1}" for row in range(200)]
    sizes = np.full(200, 10, np.uint64)
    sizes[[70, 8, 150]] = 900, 800, 700
    visitors = visitors.with_columns({"src_addr": from_texts(addresses), "bytes": sizes})
    printer = flows("reach", 1, owners=("",), bytes=7).with_columns({"src_addr": from_texts(["192.168.7.7"])})
    group = flows("reach", 1, owners=("caller",), bytes=3).with_columns({"dst_addr": from_texts(["224.0.0.251"])})
    inside = [named(batch, src_namespace="", dst_owner="web", dst_namespace="reach") for batch in (visitors, printer)]
    store.write(FlowBatch.concat([*inside, named(group, dst_owner="")]), "reach")
    found = topology(store, FlowQuery(last(), either("reach")))
    assert {(edge.src, edge.dst): (edge.src_addrs, edge.dst_addrs) for edge in found.edges} == {
        ("unknown/Public", "reach//web"): (Addresses(("203.0.0.71", "203.0.0.9", "203.0.0.151"), 200), Addresses()),
        ("unknown/Private", "reach//web"): (Addresses(("192.168.7.7",), 1), Addresses()),
        ("reach//caller", "unknown/"): (Addresses(), Addresses(("224.0.0.251",), 1)),
    }
    assert {(node.kind, node.owner_kind) for node in found.nodes if not node.owner} == {
        ("unknown", kind) for kind in ("Public", "Private", "")
    }


def test_the_kinds_of_addresses_are_those_of_filters_at_every_border(store: FlowStore) -> None:
    """The first and last address of each block, and those beside them: of each kind as many as filters find."""
    ends = [int.from_bytes(end) for block in (*reach.PRIVATE, *reach.NO_HOST) for end in block]
    numbers = sorted({number % (1 << 128) for end in ends for number in (end - 1, end, end + 1)})
    batch = FlowBatch({"src_addr": from_texts(str(ipaddress.IPv6Address(number)) for number in numbers)})
    found = {word: int(mask(bound(f"src_addr = {word}"), batch).sum()) for word in ("public", "private")}
    peers = flows("border", len(numbers), owners=("",), bytes=1).with_columns({"src_addr": batch["src_addr"]})
    store.write(named(peers, src_namespace="", dst_owner="web", dst_namespace="border"), "border")
    edges = {edge.src: edge.bytes for edge in topology(store, FlowQuery(last(), either("border"))).edges}
    assert edges == {
        "unknown/Public": found["public"], "unknown/Private": found["private"], "unknown/": len(numbers) - sum(found.values()),
    }  # fmt: skip


def test_both_directions_of_a_named_peer_are_one_edge(store: FlowStore) -> None:
    there = named(
        flows("egress", 1, owners=("job",), dst_port=443, src_port=40_000, bytes=10),
        dst_owner="",
        dst_dns_name="api.example.com",
    )
    back = named(
        flows("", 1, owners=("",), dst_port=40_000, src_port=443, bytes=70), src_dns_name="api.example.com", src_namespace="",
        dst_namespace="egress", dst_owner="job",
    )  # fmt: skip
    store.write(FlowBatch.concat([there, back]), "egress")
    (edge,) = topology(store, FlowQuery(last(), either("egress"))).edges
    assert (edge.src, edge.dst, edge.dst_port) == ("egress//job", "/DNS/api.example.com", 443)
    assert (edge.bytes_to_server, edge.bytes_to_client) == (10, 70)


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


CASES = [
    pytest.param(Side(CLIENT, 20_000, ""), Side(SERVER, 60_000, "api"), 6, id="the port of a Service above the client's"),
    pytest.param(Side(CLIENT, 8443, "other"), Side(SERVER, 8080, "web"), 6, id="Services at both ends: the lower port"),
    pytest.param(Side(CLIENT, 10_001), Side(SERVER, 27_017), 6, id="a well-known port, above the client's"),
    pytest.param(Side(CLIENT, 50_000), Side(SERVER, 31_234), 17, id="the lower port"),
    pytest.param(Side(CLIENT, 123), Side(SERVER, 123), 17, id="equal ports: the higher address"),
]


@pytest.mark.parametrize(("client", "server", "proto"), CASES)
def test_both_flows_of_a_conversation_agree_on_its_server(store: FlowStore, client: Side, server: Side, proto: int,
                                                          request: pytest.FixtureRequest) -> None:  # fmt: skip
    assert to_server(client, server, proto)
    assert not to_server(server, client, proto)
    name = request.node.callspec.id.lower()
    there, back = one_way(name, client, server, proto), one_way(name, server, client, proto)
    store.write(FlowBatch.concat([there, back]), f"roles/{server.port}")
    (edge,) = topology(store, FlowQuery(last(), either(name))).edges
    assert (edge.src, edge.dst, edge.dst_port, edge.flows) == (f"{name}//client", f"{name}//server", server.port, 2)


def one_way(namespace: str, src: Side, dst: Side, proto: int, icmp_type: int = -1) -> FlowBatch:
    names = {CLIENT: "client", SERVER: "server"}
    batch = flows(
        namespace, 1, owners=(names[src.addr],), proto=proto, src_port=src.port, dst_port=dst.port, icmp_type=icmp_type
    )
    return named(
        batch, dst_namespace=namespace, dst_owner=names[dst.addr], src_service=src.service, dst_service=dst.service
    ).with_columns({"src_addr": column_of(src.addr), "dst_addr": column_of(dst.addr)})


def column_of(addr: bytes) -> AddressColumn:
    return np.frombuffer(addr, np.uint8).reshape(1, 16)


def test_the_stores_rule_is_that_of_the_schema(store: FlowStore) -> None:
    ports, services = (0, 53, 123, 9999, 27_017, 40_000), ("", "web")
    sides = {addr: [Side(addr, port, name) for port in ports for name in services] for addr in (CLIENT, SERVER)}
    ways = [(src, dst) for src, dst in itertools.product(sides[CLIENT], sides[SERVER])]
    ways += [(dst, src) for src, dst in ways]
    cases = [(src, dst, 17, -1) for src, dst in ways]
    cases += [(*ways[0], proto, kind) for proto in (1, 58) for kind in (-1, 0, 3, 8, 128, 129)]
    batches = [named(one_way("agree", *case), src_name=str(number)) for number, case in enumerate(cases)]
    batches = [batch.with_columns({"bytes": np.array([1 << number % 60], np.uint64)}) for number, batch in enumerate(batches)]
    for start in range(0, len(cases), 60):  # each flow of a part has a bit of its own in the sum
        store.write(FlowBatch.concat(batches[start : start + 60]), f"agree/{start}")
        found = topology(store, FlowQuery(last(), And((either("agree"), in_part(start)))))
        expected = sum(1 << number % 60 for number in range(start, min(start + 60, len(cases))) if to_server(*cases[number]))
        assert sum(edge.bytes_to_server for edge in found.edges) == expected


def in_part(start: int) -> OneOf:
    return OneOf(BY_NAME["src_name"], tuple(str(number) for number in range(start, start + 60)))


def test_a_store_without_icmp_types_and_dns_draws_the_map_all_the_same(tmp_path: Path) -> None:
    with running_store(tmp_path, "--groups", "seen") as process:
        store = process.open()
        store.write(one_way("bare", Side(CLIENT), Side(SERVER), 1, 8), "bare")
        (edge,) = topology(store, FlowQuery(last(), either("bare"))).edges
    assert (edge.src, edge.dst) == ("bare//client", "bare//server")


def test_edges_beyond_the_limit_are_summed(store: FlowStore) -> None:
    store.write(flows("many", 6, owners=("a", "b", "c"), bytes=[1, 20, 300, 1, 20, 300]), "many")
    found = topology(store, FlowQuery(last(), either("many"), limit=1))
    assert [edge.src for edge in found.edges] == ["many//c"]
    assert found.edge_count == 3
    assert found.others == {"bytes": 42, "packets": 4, "flows": 4}


def test_an_observation_that_does_not_count_adds_only_its_drops(store: FlowStore) -> None:
    counted = named(flows("twice", 1, owners=("a",), bytes=100, retransmits=3, rtt_avg_us=1_000), dst_namespace="twice")
    again = named(
        flows("twice", 1, owners=("a",), bytes=100, retransmits=3, rtt_avg_us=9_000, drop_packets=2, duplicate_of=1),
        dst_namespace="twice",
    )
    store.write(FlowBatch.concat([counted, again]), "twice")
    (edge,) = topology(store, FlowQuery(last(), either("twice"))).edges
    assert (edge.bytes, edge.packets, edge.flows, edge.retransmits, edge.drop_packets) == (100, 1, 1, 3, 2)
    assert edge.rtt_avg_ns == 1_000_000


def test_an_empty_map_and_a_wrong_order(store: FlowStore) -> None:
    found = topology(store, FlowQuery(last(), either("nobody")))
    assert (found.nodes, found.edges, found.others) == ((), (), {"bytes": 0, "packets": 0, "flows": 0})
    with pytest.raises(UsageError, match="ordered by"):
        topology(store, FlowQuery(last(), order_by="time_end_ns"))


def test_sums_by_workload_call_peers_as_the_map_does(store: FlowStore) -> None:
    batch = flows("sums", 4, owners=("", "", "", "web"), src_subnet=("EXT:net", "EXT:net", "", "Pods"))
    batch = batch.with_columns(
        {"src_dns_name": Names.from_strings(["api.example.com", "", "api.example.com", "old.example.com"])}
    )
    store.write(batch, "sums")
    query = FlowQuery(last(), in_namespace("sums"), group_by=("src_owner",), by_peer=True)
    found = {tuple(group.key.values()): group.values[Measure.FLOWS] for group in store.query(query).groups}
    assert found == {(None, "api.example.com", None): 2, (None, None, "EXT:net"): 1, ("web", None, None): 1}
    by_namespace = FlowQuery(last(), in_namespace("sums"), group_by=("src_namespace",), by_peer=True)
    assert list(store.query(by_namespace).groups[0].key) == ["src_namespace", "src_subnet"]
