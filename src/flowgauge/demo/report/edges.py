# SPDX-License-Identifier: Apache-2.0
"""Who talked to whom, from the store; and the conversations that the story is known to have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flowgauge.demo import flow_demo
from flowgauge.demo.acts import payments
from flowgauge.demo.containers import DNS_PORT, GATEWAY_PORT, WEB_PORT
from flowgauge.demo.database import PORT as DATABASE_PORT
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store.answer import Edge
from flowgauge.store.store import FlowStore

_MANY = 1000
"""More edges than the scene can have."""
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP"}


@dataclass(frozen=True, slots=True)
class Known:
    """A conversation of the story: client and server as (namespace, workload); an empty client namespace is outside."""

    words: str
    client: tuple[str, str]
    server: tuple[str, str]
    port: int
    service: str = ""
    asked_ports: tuple[int, ...] = ()
    crosses_nodes: bool = True

    def is_in(self, edges: Iterable[Edge]) -> bool:
        """Whether an edge with both names, the ports and the service is among ``edges``."""
        return any(
            (edge.client.namespace, edge.client.name) == self.client
            and (edge.server.namespace, edge.server.name) == self.server
            and (edge.port, edge.asked_ports) == (self.port, self.asked_ports)
            and (not self.service or edge.service == self.service)
            for edge in edges
        )


_WEB, _DATABASE = (flow_demo.SPACE, flow_demo.WEB), (flow_demo.SPACE, flow_demo.DATABASE)

STORY: tuple[Known, ...] = (
    Known("Django → postgresql:5432", _WEB, _DATABASE, DATABASE_PORT, flow_demo.DATABASE),
    Known("Django → DNS", _WEB, ("openshift-dns", flow_demo.DNS), DNS_PORT, flow_demo.DNS),
    Known("the unexpected neighbour → postgresql:5432", ("other-team", "stock-report"), _DATABASE, DATABASE_PORT,
          flow_demo.DATABASE, crosses_nodes=False),
    Known("the health probes of node-a → Django", ("", "node-a"), _WEB, WEB_PORT, crosses_nodes=False),
)  # fmt: skip
DATABASE_EDGE = STORY[0]
PAYMENTS_EDGE = Known(
    f"checkout → payment-gateway:{payments.PORT}, {GATEWAY_PORT} at its pods", (payments.SPACE, payments.CHECKOUT),
    (payments.SPACE, payments.GATEWAY), GATEWAY_PORT, payments.GATEWAY, asked_ports=(payments.PORT,),
)  # fmt: skip
"""Where payments were made: they begin later than the rest."""


def outside_edge(label: str) -> Known:
    """The outside client, which has only a subnet label, through the Route."""
    return Known("the outside world → Django over HTTP", ("", label), _WEB, WEB_PORT, flow_demo.WEB)


def edges(store: FlowStore, window: Window) -> tuple[Edge, ...]:
    """All edges of the window; raises what the store raises."""
    return store.edges(FlowQuery(window=window, limit=_MANY)).edges


def rows(found: Sequence[Edge]) -> list[dict[str, object]]:
    """One JSON object an edge: the client is the source, both directions together."""
    return [
        {
            "src_namespace": edge.client.namespace,
            "src_owner": edge.client.name,
            "dst_namespace": edge.server.namespace,
            "dst_owner": edge.server.name,
            "dst_service": edge.service,
            "dst_port": edge.port,
            "asked_ports": edge.asked_ports,
            "proto": _PROTOCOLS.get(edge.proto, str(edge.proto)),
            "flows": edge.flows,
            "bytes": edge.bytes,
            "packets": edge.packets,
        }
        for edge in found
    ]
