# SPDX-License-Identifier: Apache-2.0
"""What the kernel counted at the places where flows are observed: the numbers with which the report compares them.

A place is a pod's link, or a node's uplink where the document lets agents see only those. ``begin`` reads the counters after
the agent has hooked the device and before the first packet, ``end`` after the last. Frames that are not IP make no flow: the
hook counts them, and nftables, which we did not write, counts them too. Used by one thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowgauge.agent.interface_choice import InterfaceChoice
from flowgauge.config.model import Exporter
from flowgauge.demo import http_json
from flowgauge.demo.cluster import Pod
from flowgauge.demo.scene import counters
from flowgauge.demo.scene.counters import ETHERNET_HEADER_BYTES, Traffic
from flowgauge.demo.scene.nodes import Node
from flowgauge.errors import EnvironmentProblem

UPLINK = "eth0"
_ATTACHED_WITHIN_S = 10.0
_POLL_S = 0.05
_STABLE_TRIES = 40


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one device at one moment: frames and layer 2 bytes by the kernel, those that are not IP by hook and nft."""

    traffic: Traffic
    hook_frames: int
    hook_bytes: int
    nft_frames: int


@dataclass(slots=True)
class Place:
    """One observed device: ``pod`` is the pod behind it, None for the uplink of ``node``.

    Attributes:
        before: what passed while the first reading was awaited: the agent had perhaps hooked the device.
        after: what passed between the last reading and the end of the agent.
    """

    name: str
    node: Node
    device: str
    pod: Pod | None
    first: Reading
    last: Reading | None = None
    before: Traffic = field(default_factory=Traffic)
    after: Traffic = field(default_factory=Traffic)

    @property
    def closed(self) -> bool:
        """Whether its last reading was taken."""
        return self.last is not None

    @property
    def packets(self) -> int:
        """IP packets, both directions."""
        return self._passed().packets - self.hook_frames

    @property
    def layer3_bytes(self) -> int:
        """Bytes of the IP packets: layer 2 less a header for each."""
        return self._passed().layer2_bytes - self._hook_bytes() - ETHERNET_HEADER_BYTES * self.packets

    @property
    def unsure(self) -> Traffic:
        """What flows may hold beside: passed around the readings; and ``dropped``, which the hook sees and the device drops."""
        around = self.before.plus(self.after)
        return around.plus(Traffic(dropped=self._passed().dropped))

    @property
    def hook_frames(self) -> int:
        """Frames that are not IP, as the hook counted them."""
        return (self.last or self.first).hook_frames - self.first.hook_frames

    @property
    def nft_frames(self) -> int:
        """Frames that are not IP, as nftables counted them."""
        return (self.last or self.first).nft_frames - self.first.nft_frames

    def _hook_bytes(self) -> int:
        return (self.last or self.first).hook_bytes - self.first.hook_bytes

    def _passed(self) -> Traffic:
        return (self.last or self.first).traffic.since(self.first.traffic)


class InterfaceWitness:
    """Reads the counters of every place; implements ``flow_demo.Witness``.

    Args:
        exporter: which devices agents observe.
        agent_urls: node → base URL of its agent.
    """

    def __init__(self, exporter: Exporter, agent_urls: Mapping[str, str]) -> None:
        self._choice = InterfaceChoice(exporter.interfaces, exporter.exclude_interfaces)
        self._agent_urls = agent_urls
        self.places: list[Place] = []
        self._left: list[Place] = []

    def begin(self, pods: Sequence[Pod]) -> None:
        """Waits until agents have hooked what they are to observe, and takes first readings.

        Raises:
            EnvironmentProblem: an agent did not hook a device in time.
        """
        for pod in pods:
            if self._choice.wants(pod.place.device):
                self._open(pod.name, pod.place.node, pod.place.device, pod)
            elif self._choice.wants(UPLINK) and not self._knows(pod.place.node):
                self._open(f"{pod.place.node.name} {UPLINK}", pod.place.node, UPLINK, None)

    def sees(self, device: str) -> bool:
        """Whether agents observe devices of this name."""
        return self._choice.wants(device)

    def end(self, pod: Pod) -> None:
        """Takes the last reading of a pod that is quiet."""
        self._close(place for place in self.places if place.pod is pod)

    def end_all(self) -> None:
        """Takes the last reading of every place that is still open."""
        self._left = [place for place in self.places if not place.closed]
        self._close(self._left)

    def agents_ended(self) -> None:
        """Looks what passed since ``end_all``: on a busy machine a connection may end, or a segment be sent again, so late."""
        for place in self._left:
            if place.last:
                place.after = counters.devices(place.node.netns)[place.device].since(place.last.traffic)

    def _knows(self, node: Node) -> bool:
        return any(place.node is node for place in self.places)

    def _open(self, name: str, node: Node, device: str, pod: Pod | None) -> None:
        deadline = time.monotonic() + _ATTACHED_WITHIN_S
        began = counters.devices(node.netns)[device]
        while not self._hooked(node, device):
            if time.monotonic() > deadline:
                raise EnvironmentProblem(f"the agent of {node.name} did not observe {device} within {_ATTACHED_WITHIN_S:.0f} s")
            time.sleep(_POLL_S)
        counters.count_not_ip(node.netns, device)
        first = self._read(node, device)
        self.places.append(Place(name, node, device, pod, first, before=first.traffic.since(began)))

    def _close(self, places: Iterable[Place]) -> None:
        for place in places:
            place.last = self._read(place.node, place.device)

    def _hooked(self, node: Node, device: str) -> bool:
        found = self._interface(node, device)
        return bool(found and found["attached"])

    def _read(self, node: Node, device: str) -> Reading:
        """All three counters at one moment: read again until nothing passed meanwhile, and the agent answered.

        Raises:
            EnvironmentProblem: it never did; without its count of frames that are not IP all other figures would be wrong.
        """
        told: Reading | None = None
        before = counters.devices(node.netns)[device]
        for _ in range(_STABLE_TRIES):
            hook, nft = self._interface(node, device), counters.not_ip(node.netns)[device]
            after = counters.devices(node.netns)[device]
            if hook is not None:
                told = Reading(after, hook["not_ip_packets"], hook["not_ip_bytes"], nft.packets)
                if after == before:
                    break
            before = after
        if told is None:
            raise EnvironmentProblem(f"the agent of {node.name} did not tell what it counted at {device}")
        return told

    def _interface(self, node: Node, device: str) -> dict[str, Any] | None:
        try:
            answer = http_json.get(f"{self._agent_urls[node.name]}/api/v1/interfaces")
        except EnvironmentProblem:
            return None
        return next((entry for entry in answer["interfaces"] if entry["name"] == device), None)
