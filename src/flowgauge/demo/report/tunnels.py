# SPDX-License-Identifier: Apache-2.0
"""Flows within tunnels against what the tunnels' devices counted, on both nodes; and that no packet counts outside, too.

Each node tells of the packets between the two pods once, whether it met them at the pod's link or in a tunnel at its uplink,
and of the tunnel beside the flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from flowgauge.demo.acts.tunnels import Tunnel, Tunnelled
from flowgauge.demo.cluster import Pod
from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.report.tenants import Mask, has_text, is_address
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.enums import TUNNEL_KIND

INSIDE = "packets within tunnels"
LINKS = "tunnels of the flows within"
TWICE = "packets in tunnels that are counted outside, too"
_OUTER_PORTS = {"vxlan": 4789, "geneve": 6081}
_OUTER_PROTOCOLS = {"gre": 47, "ipip": 4}
_UDP = 17

_Link = tuple[str, int, str, str]
"""Kind, identifier, and the ends of a tunnel."""


@dataclass(slots=True)
class InTunnels:
    """Reads batches; ``scores`` afterwards."""

    truth: Tunnelled
    _inside: dict[tuple[str, str], int] = field(default_factory=dict)
    _links: dict[tuple[str, str, str], set[_Link]] = field(default_factory=dict)
    _outside: int = 0

    def add(self, batch: FlowBatch) -> None:
        """Takes the flows within each tunnel, and those between the nodes that would be the tunnels themselves."""
        client, server = self.truth.client, self.truth.server
        for tunnel in self.truth.tunnels:
            for sender, receiver, port in ((client, server, "dst_port"), (server, client, "src_port")):
                mine = _between(batch, sender.address, receiver.address)
                mine &= (batch.array("proto") == _UDP) & (batch.array(port) == tunnel.port)
                self._take(tunnel, sender, batch.take(mine))
            self._outside += self._around(batch, tunnel)

    def scores(self) -> list[Score]:
        """All of them name the kinds of tunnel that this kernel does not have."""
        kinds = ", ".join(tunnel.kind for tunnel in self.truth.tunnels) or "no tunnel"
        missing = f"; this kernel has no {', '.join(self.truth.missing)}" if self.truth.missing else ""
        carried = {(tunnel.kind, node): one.packets for tunnel in self.truth.tunnels for node, one in tunnel.carried.items()}
        off = sum(abs(self._inside.get(place, 0) - packets) for place, packets in carried.items())
        expected = dict(self._expected())
        right = sum(self._links.get(place) == {link} for place, link in expected.items())
        devices = f"the devices of {kinds}{missing}"
        return [
            judged(INSIDE, sum(self._inside.values()), sum(carried.values()), off, 0, source=f"rx and tx of {devices}"),
            judged(LINKS, right, len(expected), len(expected) - right, 0, source=f"how the act made {devices}"),
            judged(TWICE, self._outside, 0, self._outside, 0, source=f"the links of {kinds}{missing}"),
        ]

    def _take(self, tunnel: Tunnel, sender: Pod, rows: FlowBatch) -> None:
        for node in tunnel.carried:
            told = rows.take(has_text(rows, "node_reporter", node))
            place = tunnel.kind, node
            self._inside[place] = self._inside.get(place, 0) + int(told.array("packets").astype(np.int64).sum())
            self._links.setdefault((*place, sender.name), set()).update(_links(told))

    def _expected(self) -> Iterator[tuple[tuple[str, str, str], _Link]]:
        """The tunnel of each direction, as each node must tell it."""
        client, server = self.truth.client, self.truth.server
        for tunnel in self.truth.tunnels:
            for sender, receiver in ((client, server), (server, client)):
                link = tunnel.kind, tunnel.id, sender.place.node.address, receiver.place.node.address
                for node in tunnel.carried:
                    yield (tunnel.kind, node, sender.name), link

    def _around(self, batch: FlowBatch, tunnel: Tunnel) -> int:
        """Packets of flows between the nodes that are this tunnel."""
        one, other = (pod.place.node.address for pod in (self.truth.client, self.truth.server))
        mine = _between(batch, one, other) | _between(batch, other, one)
        if tunnel.kind in _OUTER_PORTS:
            mine &= (batch.array("proto") == _UDP) & (batch.array("dst_port") == _OUTER_PORTS[tunnel.kind])
        else:
            mine &= batch.array("proto") == _OUTER_PROTOCOLS[tunnel.kind]
        return int(batch.array("packets")[mine].astype(np.int64).sum())


def _between(batch: FlowBatch, source: str, target: str) -> Mask:
    return is_address(batch.array("src_addr"), source) & is_address(batch.array("dst_addr"), target)


def _links(rows: FlowBatch) -> set[_Link]:
    rows = rows.take(rows.array("tunnel_kind") > 0)
    kinds, ids = (rows.array(name).tolist() for name in ("tunnel_kind", "tunnel_id"))
    ends = [[to_text(row.tobytes()) for row in rows.array(f"tunnel_{end}_addr")] for end in ("src", "dst")]
    return set(zip((TUNNEL_KIND[kind] for kind in kinds), ids, *ends, strict=True))
