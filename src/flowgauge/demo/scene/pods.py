# SPDX-License-Identifier: Apache-2.0
"""A pod's place in the scene: a network namespace behind a routed veth, and a cgroup for its processes."""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from flowgauge.demo.scene import cgroups, counters, kernel
from flowgauge.demo.scene.addresses import POD_GATEWAY
from flowgauge.demo.scene.counters import Traffic
from flowgauge.demo.scene.network import QUIET, Network
from flowgauge.demo.scene.nodes import Node
from flowgauge.runtime import linux

_SIOCGIFHWADDR, _MAC_AT = 0x8927, 18
_LOW_PORTS = {"ipv4/ip_unprivileged_port_start": "0"}
"""As container runtimes set it: a pod's DNS server listens on port 53 without being root."""


@dataclass(slots=True)
class PodPlace:
    """Where a pod is.

    Attributes:
        name: the pod's name.
        node: the node it runs on.
        netns: its network namespace on the host.
        address: its IPv4 address.
        device: the node's end of its link; in the pod the link is called eth0.
        cgroup: the cgroup of its processes; None where cgroups cannot be made.
    """

    network: Network
    name: str
    node: Node
    netns: str
    address: str
    device: str
    cgroup: Path | None

    def traffic(self) -> Traffic:
        """What the kernel counted at the node's end of the link; received there is what the pod sent."""
        return counters.devices(self.node.netns)[self.device]

    def mac(self) -> str:
        """The Ethernet address of the pod's device, as its kernel says (netdevice(7))."""
        with linux.in_netns(self.netns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, struct.pack("256s", b"eth0"))
        return answer[_MAC_AT : _MAC_AT + 6].hex(":")

    def offloads(self, *, on: bool) -> None:
        """Sets segmentation offloads at both ends of the pod's link."""
        kernel.offloads(self.node.netns, [self.device], on=on)
        kernel.offloads(self.netns, ["eth0"], on=on)

    def remove(self) -> None:
        """Kills the pod's processes and removes its link, namespace and cgroup."""
        if self.cgroup is not None:
            cgroups.remove(self.cgroup)
        kernel.ip_batch(self.node.netns, [f"link del {self.device}"])
        linux.delete_netns(self.netns)


def add_pod(network: Network, node: Node, name: str, *, address: str = "") -> PodPlace:
    """Gives a pod its place on ``node``.

    Args:
        network: the scene.
        node: where the pod runs.
        name: the pod's name; its last five characters name the link on the node.
        address: its address; empty takes a new one. Reusing one is possible once the former owner is removed.
    """
    address = address or node.next_address()
    netns = network.netns(network.pod_netns(name))
    device = f"veth-{name[-5:].strip('-')}"
    kernel.sysctl(netns, {**QUIET, **_LOW_PORTS})
    kernel.ip_batch(
        node.netns,
        [
            f"link add {device} type veth peer name eth0 netns {netns}",
            f"addr add {POD_GATEWAY}/32 dev {device} scope link",
            f"link set {device} up",
            # Without src the node would speak to its pods from the gateway's link-local address.
            f"route add {address}/32 dev {device} src {node.address}",
        ],
    )
    kernel.ip_batch(
        netns,
        [
            "link set lo up",
            f"addr add {address}/32 dev eth0",
            "link set eth0 up",
            f"route add {POD_GATEWAY} dev eth0 scope link",
            f"route add default via {POD_GATEWAY} dev eth0",
        ],
    )
    place = PodPlace(network, name, node, netns, address, device, _cgroup(network, name))
    place.offloads(on=False)
    return place


def _cgroup(network: Network, name: str) -> Path | None:
    if network.cgroup is None:
        return None
    path = network.cgroup / name
    path.mkdir(exist_ok=True)
    return path
