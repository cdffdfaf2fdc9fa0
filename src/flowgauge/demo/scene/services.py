# SPDX-License-Identifier: Apache-2.0
"""Addresses that stand for others: ClusterIPs on every node and the Route's address on the router, translated by nftables.

A new connection is sent to one of the endpoints at random; connection tracking keeps it there. Replacing the endpoints of a
service changes new connections only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flowgauge.demo.scene import kernel
from flowgauge.demo.scene.network import Network


@dataclass(slots=True)
class Service:
    """A virtual address: ``address``:``port`` stands for ``target_port`` at each of ``endpoints``."""

    name: str
    address: str
    port: int
    target_port: int
    proto: str = "tcp"
    endpoints: list[str] = field(default_factory=list)


class Translation:
    """The services of one kind: those of ``netns`` translate them."""

    def __init__(self, netns: list[str], table: str) -> None:
        self._netns, self._table = netns, table
        self._services: dict[str, Service] = {}

    @classmethod
    def cluster_ips(cls, network: Network) -> Translation:
        """ClusterIPs: every node translates."""
        return cls([node.netns for node in network.nodes.values()], "services")

    @classmethod
    def routes(cls, network: Network) -> Translation:
        """Routes: the router translates and keeps the client's address."""
        return cls([network.router], "routes")

    def put(self, *services: Service) -> None:
        """Adds services or takes over their changed endpoints, all at once."""
        self._services.update((service.name, service) for service in services)
        rules = "\n    ".join(rule for service in self._services.values() if (rule := _rule(service)))
        ruleset = f"""
table ip {self._table} {{
}}
flush table ip {self._table}
table ip {self._table} {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    {rules}
  }}
}}
"""
        for netns in self._netns:
            kernel.nft(netns, ruleset)


def _rule(service: Service) -> str:
    """One nftables rule; empty for a service without endpoints, whose connections then find no host."""
    match = f"ip daddr {service.address} {service.proto} dport {service.port}"
    backends = [f"{endpoint} . {service.target_port}" for endpoint in service.endpoints]
    if not backends:
        return ""
    if len(backends) == 1:
        return f"{match} dnat to {service.endpoints[0]}:{service.target_port}"
    choices = ", ".join(f"{number} : {backend}" for number, backend in enumerate(backends))
    return f"{match} dnat to numgen random mod {len(backends)} map {{ {choices} }}"
