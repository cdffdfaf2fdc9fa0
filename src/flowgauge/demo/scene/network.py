# SPDX-License-Identifier: Apache-2.0
"""The ground a scene stands on: an underlay bridge, a router to the world outside, and the list of nodes.

::

    outside (203.0.113.10, 198.51.100.23) ── router ── underlay bridge ── node-a, node-b, node-c ── pods

Everything lives in network namespaces of its own, so several scenes run side by side and the host's network is never touched.
Used by one thread at a time.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from flowgauge.demo.scene import addresses, cgroups, kernel
from flowgauge.demo.scene.journal import Journal
from flowgauge.demo.scene.nodes import Node
from flowgauge.runtime import linux
from flowgauge.runtime.cgroups import mount_point

QUIET = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}
"""No neighbour discovery and multicast reports: every packet in the scene has a cause."""

FORWARDING = {**QUIET, "ipv4/ip_forward": "1", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0"}


class Network:
    """A scene's network namespaces, its cgroup and its temporary folder.

    Use it as a context manager, or call ``down``; both are safe after a partial set-up.

    Attributes:
        id: unique per scene; part of every name that is visible on the host.
        folder: temporary folder of the scene, readable by all.
        cgroup: the scene's cgroup; None where cgroups cannot be made.
    """

    def __init__(self) -> None:
        self.id = secrets.token_hex(3)
        self.journal = Journal.create(self.id)
        self.underlay, self.router, self.outside = (self._name(part) for part in ("underlay", "router", "outside"))
        self.nodes: dict[str, Node] = {}
        self.folder = Path(tempfile.gettempdir()) / f"flowgauge-scene-{self.id}"
        self.journal.folder(self.folder)
        self.folder.mkdir(mode=0o711)
        self.cgroup = self._cgroup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self, nodes: Sequence[tuple[str, str]] = addresses.NODES) -> Network:
        """Builds the underlay, the router, the outside and ``nodes`` (name, zone); returns itself."""
        for name in (self.underlay, self.router, self.outside):
            self.netns(name)
        kernel.sysctl(self.underlay, QUIET)
        kernel.sysctl(self.outside, QUIET)
        kernel.sysctl(self.router, FORWARDING)
        kernel.ip_batch(
            self.underlay,
            ["link set lo up", "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br0 up"],
        )
        self._plug(self.router, "router", f"{addresses.ROUTER}/24")
        self._outside()
        for index, (name, zone) in enumerate(nodes, 1):
            self._add_node(name, zone, index)
        return self

    def down(self) -> None:
        """Removes everything the scene made; safe to call twice."""
        if self.journal.path.exists():
            self.journal.undo()
        shutil.rmtree(self.folder, ignore_errors=True)

    def netns(self, name: str) -> str:
        """Makes a network namespace of the scene; ``name`` must come from ``_name`` or ``pod_netns``."""
        self.journal.netns(name)
        linux.create_netns(name)
        return name

    def pod_netns(self, pod: str) -> str:
        """The name on the host of a pod's network namespace."""
        return self._name(pod)

    def _name(self, part: str) -> str:
        return f"fg-{self.id}-{part}"

    def _cgroup(self) -> Path | None:
        root = mount_point()
        if root is not None:
            self.journal.cgroup(root / f"flowgauge-{self.id}")
        return cgroups.create(f"flowgauge-{self.id}")

    def _plug(self, netns: str, port: str, address: str) -> None:
        """Connects a namespace to the underlay: its device is called eth0."""
        kernel.ip_batch(
            self.underlay,
            [
                f"link add {port} type veth peer name eth0 netns {netns}",
                f"link set {port} master br0 up",
            ],
        )
        kernel.ip_batch(netns, ["link set lo up", f"addr add {address} dev eth0", "link set eth0 up"])
        kernel.offloads(self.underlay, [port], on=False)
        kernel.offloads(netns, ["eth0"], on=False)

    def _outside(self) -> None:
        kernel.ip_batch(
            self.router,
            [
                f"link add wan type veth peer name eth0 netns {self.outside}",
                f"addr add {addresses.OUTSIDE_GATEWAY}/24 dev wan",
                "link set wan up",
                f"route add {addresses.USERS} dev wan",
            ],
        )
        kernel.ip_batch(
            self.outside,
            [
                "link set lo up",
                f"addr add {addresses.CLIENT}/24 dev eth0",
                f"addr add {addresses.YOU}/32 dev eth0",
                "link set eth0 up",
                f"route add default via {addresses.OUTSIDE_GATEWAY}",
            ],
        )
        kernel.offloads(self.router, ["wan"], on=False)
        kernel.offloads(self.outside, ["eth0"], on=False)

    def _add_node(self, name: str, zone: str, index: int) -> None:
        node = Node(name, zone, self.netns(self._name(name)), addresses.node(index), addresses.pod_block(index))
        kernel.sysctl(node.netns, FORWARDING)
        self._plug(node.netns, name, f"{node.address}/24")
        kernel.ip_batch(node.netns, [f"route add default via {addresses.ROUTER}"])
        for other in self.nodes.values():
            kernel.ip_batch(node.netns, [f"route add {other.pod_block} via {other.address}"])
            kernel.ip_batch(other.netns, [f"route add {node.pod_block} via {node.address}"])
        kernel.ip_batch(self.router, [f"route add {node.pod_block} via {node.address}"])
        self.nodes[name] = node
