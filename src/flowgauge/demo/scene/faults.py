# SPDX-License-Identifier: Apache-2.0
"""Disturbances, each a context manager: what a node or a link does wrong while the block runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flowgauge.demo.scene import kernel
from flowgauge.demo.scene.pods import PodPlace
from flowgauge.runtime import linux


@dataclass(slots=True)
class Dropped:
    """What a rule dropped, packets and their layer 3 bytes, as nftables counted it; known when the rule is gone.

    ``new_packets`` and ``new_bytes`` of these were of connections that were not there yet (conntrack's state NEW).
    """

    packets: int = 0
    bytes: int = 0
    new_packets: int = 0
    new_bytes: int = 0

    def add(self, other: Dropped) -> None:
        """What another rule dropped."""
        self.packets += other.packets
        self.bytes += other.bytes
        self.new_packets += other.new_packets
        self.new_bytes += other.new_bytes


_COUNTERS = """counter dropped {}
 counter new {}
 chain doomed {
 ct state new counter name new
 counter name dropped drop
 }"""


@contextmanager
def loss(netns: str, percent: int, match: str = "", table: str = "fault_loss") -> Iterator[Dropped]:
    """Drops a share of what a node forwards; ``match`` is an nftables match (``tcp dport 5432``), empty for everything.

    Two at once need tables of different names.
    """
    chance = f"numgen random mod 100 < {percent}" if percent < 100 else ""
    dropped = Dropped()
    with _table(netns, table, "forward", f"{match} {chance} jump doomed", _COUNTERS):
        try:
            yield dropped
        finally:
            dropped.add(_ended(netns, table))


def left_behind(netns: str, table: str) -> Dropped | None:
    """What a ``loss`` dropped whose process was killed, and takes its rule away; None: there is none."""
    tables = kernel.nft_json(netns, "list", "tables", "ip")
    if not any(entry.get("table", {}).get("name") == table for entry in tables):
        return None
    dropped = _ended(netns, table)
    kernel.nft(netns, f"delete table ip {table}\n")
    return dropped


def _ended(netns: str, table: str) -> Dropped:
    """What the rule of a ``loss`` dropped.

    First no packet is dropped any more, then they are counted: none falls between.
    """
    kernel.nft(netns, f"flush chain ip {table} forward\n")
    listed = kernel.nft_json(netns, "list", "counters", "table", "ip", table)
    found = {entry["counter"]["name"]: entry["counter"] for entry in listed if "counter" in entry}
    every, new = found["dropped"], found["new"]
    return Dropped(every["packets"], every["bytes"], new["packets"], new["bytes"])


@contextmanager
def cut(pod: PodPlace) -> Iterator[None]:
    """Takes a pod's link down."""
    kernel.ip_batch(pod.node.netns, [f"link set {pod.device} down"])
    try:
        yield
    finally:
        kernel.ip_batch(
            pod.node.netns,
            [f"link set {pod.device} up", f"route replace {pod.address}/32 dev {pod.device} src {pod.node.address}"],
        )


@contextmanager
def slow(netns: str, device: str, rate: str, limit_bytes: int = 60_000) -> Iterator[None]:
    """Limits what leaves by a device to ``rate`` (``20mbit``); what does not fit a queue of ``limit_bytes`` is dropped."""
    with linux.in_netns(netns):
        kernel.run_tool("tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", "10kb", "limit",
                        str(limit_bytes))  # fmt: skip
    try:
        yield
    finally:
        with linux.in_netns(netns):
            kernel.run_tool("tc", "qdisc", "del", "dev", device, "root")


@contextmanager
def small_mtu(netns: str, device: str, mtu: int) -> Iterator[None]:
    """A black hole for large packets: a link of a smaller MTU, and no ICMP error that would tell the sender."""
    usual = kernel.ip_json(netns, "link", "show", "dev", device)[0]["mtu"]
    with _table(netns, "fault_mtu", "output", "icmp type destination-unreachable drop"):
        kernel.ip_batch(netns, [f"link set {device} mtu {mtu}"])
        try:
            yield
        finally:
            kernel.ip_batch(netns, [f"link set {device} mtu {usual}"])


@contextmanager
def _table(netns: str, name: str, hook: str, rule: str, objects: str = "") -> Iterator[None]:
    """An nftables table with one rule; one that a killed process left behind is replaced."""
    made = f"table ip {name} {{\n {objects}\n chain {hook} {{\n type filter hook {hook} priority 0;\n {rule}\n }}\n}}\n"
    kernel.nft(netns, f"table ip {name} {{\n}}\ndelete table ip {name}\n{made}")
    try:
        yield
    finally:
        kernel.nft(netns, f"delete table ip {name}\n")
