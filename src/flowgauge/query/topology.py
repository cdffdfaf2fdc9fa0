# SPDX-License-Identifier: Apache-2.0
"""The map: workloads and outside peers as nodes, who talks to whom as edges. Before: the store's edges; after: the console."""

from __future__ import annotations

from dataclasses import dataclass

from flowgauge.query import crossing
from flowgauge.query.crossing import Crossing
from flowgauge.query.troubles import Trouble, rank
from flowgauge.query.unseen import unseen
from flowgauge.query.worst import together
from flowgauge.schema.flow_query import FlowQuery, Measure, Window
from flowgauge.store.answer import Addresses, Edge, End
from flowgauge.store.store import FlowStore


@dataclass(frozen=True, slots=True)
class Port:
    """A port on which a node was reached; ``asked_ports`` is what clients ask for where that is another one."""

    port: int
    proto: int
    service: str
    asked_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TopologyNode:
    """A node of the map.

    ``owner`` and ``owner_kind`` name the workload, or the peer (kind Node, DNS, Subnet …) that is none; ``kind`` is
    ``workload``, ``peer``, or ``unknown`` for all addresses without any name, of which ``owner_kind`` says Public, Private or
    nothing. ``layer`` is ``app``, ``infra`` or empty.
    """

    id: str
    namespace: str
    owner: str
    owner_kind: str
    kind: str
    layer: str
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class TopologyEdge:
    """From client ``src`` to server ``dst`` (node ids), both directions together.

    ``dst_port`` is where the server listens, ``asked_ports`` what clients were seen to ask for where that is another one.
    ``bytes`` = to the server + to the client; ``rate_bps`` is bits per second over the window; ``error`` the
    relative 95 % error of ``bytes`` under sampling, 0 when exact, None when it cannot be given; ``troubles`` what goes wrong;
    ``crossing`` whether it goes between namespaces; ``src_addrs`` and ``dst_addrs`` the addresses of ends without a name.
    """

    src: str
    dst: str
    dst_port: int | None
    asked_ports: tuple[int, ...]
    dst_service: str
    proto: int
    bytes: int
    packets: int
    flows: int
    rate_bps: float
    bytes_to_server: int
    bytes_to_client: int
    retransmits: int
    drop_packets: int
    rtt_avg_ns: float | None
    approx: bool
    error: float | None
    troubles: tuple[Trouble, ...]
    crossing: Crossing
    src_addrs: Addresses
    dst_addrs: Addresses


@dataclass(frozen=True, slots=True)
class Topology:
    """The map, with what the further edges hold together (``others``) and how many there are in all (``edge_count``).

    ``troubled`` are the numbers of the edges that have troubles, the gravest first; ``crossing`` says what goes on between
    namespaces, ``unseen`` why no trouble can be seen, where that is so.
    """

    nodes: tuple[TopologyNode, ...]
    edges: tuple[TopologyEdge, ...]
    edge_count: int
    others: dict[str, int]
    troubled: tuple[int, ...]
    crossing: str
    unseen: str


def topology(store: FlowStore, query: FlowQuery) -> Topology:
    """The map of the ``query.limit`` largest edges in its window under its filter; raises what the store raises."""
    answer = store.edges(query)
    ends: dict[str, End] = {}
    ports: dict[str, dict[tuple[int, int], Port]] = {}
    for edge in answer.edges:
        for end in (edge.client, edge.server):
            ends.setdefault(node_id(end), end)
        if edge.port is not None:
            of_server = ports.setdefault(node_id(edge.server), {})
            of_server[edge.port, edge.proto] = _port(edge, edge.port, of_server.get((edge.port, edge.proto)))
    nodes = tuple(_node(name, end, tuple(ports.get(name, {}).values())) for name, end in ends.items())
    found = together(answer.edges, query.window)
    edges = tuple(_edge(edge, of_edge, query.window) for edge, of_edge in zip(answer.edges, found, strict=True))
    others = {measure.value: count for measure, count in answer.others.items()}
    return Topology(
        nodes, edges, answer.edge_count, others, _troubled(edges), crossing.words(answer.edges), unseen(answer.edges)
    )


def _troubled(edges: tuple[TopologyEdge, ...]) -> tuple[int, ...]:
    """Each edge counts as its gravest trouble, which is its first."""
    found = [(rank(edge.troubles[0]), number) for number, edge in enumerate(edges) if edge.troubles]
    return tuple(number for _, number in sorted(found))


def node_id(end: End) -> str:
    """Stable over time: ``namespace/kind/name``; ``unknown/kind`` for addresses without any name."""
    return f"{end.namespace}/{end.kind}/{end.name}" if end.name else f"unknown/{end.kind}"


def _port(edge: Edge, port: int, before: Port | None) -> Port:
    """The service is the one of the largest edge that tells one; not all of a server's clients need come through it."""
    known = before or Port(port, edge.proto, "")
    asked = tuple(sorted({*known.asked_ports, *edge.asked_ports}))
    return Port(port, edge.proto, known.service or edge.service, asked)


def _node(name: str, end: End, ports: tuple[Port, ...]) -> TopologyNode:
    kind = "unknown" if not end.name else "workload" if end.namespace else "peer"
    return TopologyNode(name, end.namespace, end.name, end.kind, kind, end.layer, ports)


def _edge(edge: Edge, found: tuple[Trouble, ...], window: Window) -> TopologyEdge:
    seconds = window.seconds
    return TopologyEdge(
        src=node_id(edge.client),
        dst=node_id(edge.server),
        dst_port=edge.port,
        asked_ports=edge.asked_ports,
        dst_service=edge.service,
        proto=edge.proto,
        bytes=edge.bytes,
        packets=edge.packets,
        flows=edge.flows,
        rate_bps=edge.bytes * 8 / seconds if seconds > 0 else 0.0,
        bytes_to_server=edge.bytes_to_server,
        bytes_to_client=edge.bytes - edge.bytes_to_server,
        retransmits=edge.retransmits,
        drop_packets=edge.drop_packets,
        rtt_avg_ns=edge.rtt_avg_ns,
        approx=edge.sampling.approx,
        error=edge.sampling.error(Measure.BYTES, edge.bytes),
        troubles=found,
        crossing=crossing.crossing(edge),
        src_addrs=edge.client_addrs,
        dst_addrs=edge.server_addrs,
    )
