# SPDX-License-Identifier: Apache-2.0
"""Tunnels: datagrams and their echo between pods of two nodes, through a device of each kind in turn.

A rule for each kind's port sends them there; all else between these pods goes on as before. A kind of device that the running
kernel does not have is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowgauge.demo import containers
from flowgauge.demo.cluster import Cluster, Pod
from flowgauge.demo.scene import counters, kernel
from flowgauge.demo.scene.counters import Traffic
from flowgauge.demo.waiting import quiet, until
from flowgauge.errors import EnvironmentProblem

SPACE, ASKS, ANSWERS = "overlay", "overlay-client", "overlay-server"
ID = 42
"""VNI, or key of GRE."""

_DEVICES = {
    "vxlan": "address {mac} type vxlan id 42 dstport 4789 local {me} remote {peer} dev eth0 nolearning",
    "geneve": "address {mac} type geneve id 42 remote {peer} dstport 6081",
    "gre": "type gre local {me} remote {peer} key 42 ttl 64",
    "ipip": "type ipip local {me} remote {peer} ttl 64",
}
"""Kind, as the column ``tunnel_kind`` calls it → how ``ip link add`` makes its device."""
_WITH_ETHERNET = ("vxlan", "geneve")
_MACS = "02:00:00:00:42:01", "02:00:00:00:42:02"
_FIRST_PORT, _FIRST_TABLE = 7001, 4201
_MTU = 1400
_COUNT, _BYTES = 25, 1000
_WITHIN_S = 60.0
_READY = "ready"
"""What the server prints when it listens."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What went through the tunnel of one kind.

    Attributes:
        port: of the server of the flows within.
        id: VNI or key; 0 where the kind has none.
        carried: node → what its tunnel device counted.
    """

    kind: str
    port: int
    id: int
    carried: Mapping[str, Traffic]


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """What the act was: ``missing`` kinds have no device in this kernel."""

    client: Pod
    server: Pod
    tunnels: Sequence[Tunnel]
    missing: Sequence[str]


class Tunnels:
    """The act; its pods are idle until it plays."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        cluster.namespace(SPACE)
        self._client, self._server = (
            cluster.pod(cluster.deployment(SPACE, name, []), node) for name, node in ((ASKS, "node-a"), (ANSWERS, "node-c"))
        )

    @property
    def pods(self) -> Sequence[Pod]:
        """Client and server."""
        return self._client, self._server

    def play(self) -> Tunnelled:
        """Makes the devices, sends the datagrams, and reads what the devices counted.

        Raises:
            EnvironmentProblem: it did not end in time.
        """
        client, server = self.pods
        ports = {kind: _FIRST_PORT + number for number, kind in enumerate(_DEVICES) if self._made(kind, number)}
        if ports:
            answering = self._cluster.run(server, containers.datagrams_answered(server.address, ports.values()))
            until(lambda: _READY in answering.last_words(), server)
            asking = self._cluster.run(client, containers.datagrams(server.address, _COUNT, _BYTES, ports.values()))
            until(lambda: asking.ended() is not None, client, ends=True, within_s=_WITHIN_S)
            quiet(self.pods)
            answering.stop()
        tunnels = [Tunnel(kind, port, 0 if kind == "ipip" else ID, self._carried(kind)) for kind, port in ports.items()]
        return Tunnelled(client, server, tunnels, [kind for kind in _DEVICES if kind not in ports])

    def _carried(self, kind: str) -> dict[str, Traffic]:
        nodes = [pod.place.node for pod in self.pods]
        return {node.name: counters.devices(node.netns)[_device(kind)] for node in nodes}

    def _made(self, kind: str, number: int) -> bool:
        """Makes a kind's devices on both nodes and leads the datagrams there; False when this kernel has no such device."""
        try:
            for pod, other, mac in zip(self.pods, reversed(self.pods), _MACS, strict=True):
                made = _DEVICES[kind].format(me=pod.place.node.address, peer=other.place.node.address, mac=mac)
                kernel.ip_batch(pod.place.node.netns, [f"link add {_device(kind)} {made}"])
        except EnvironmentProblem as error:
            if "Unknown device type" in str(error) or "not supported" in str(error):
                return False
            raise
        for pod, other, peer_mac in zip(self.pods, reversed(self.pods), reversed(_MACS), strict=True):
            kernel.ip_batch(pod.place.node.netns, _led(kind, number, pod, other, peer_mac))
        return True


def _device(kind: str) -> str:
    return f"{kind}{ID}"


def _led(kind: str, number: int, pod: Pod, other: Pod, peer_mac: str) -> list[str]:
    """How what ``pod`` sends to ``other`` by a kind's port gets into its device; nobody has to ask for an address (ARP)."""
    device, table, port = _device(kind), _FIRST_TABLE + number, _FIRST_PORT + number
    known = [f"neigh add {other.address} lladdr {peer_mac} dev {device} nud permanent"] if kind in _WITH_ETHERNET else []
    end = "dport" if pod.workload.name == ASKS else "sport"
    return [
        f"link set {device} mtu {_MTU} up",
        *known,
        f"route add {other.address}/32 dev {device} table {table}",
        f"rule add from {pod.address} to {other.address} ipproto udp {end} {port} lookup {table}",
    ]
