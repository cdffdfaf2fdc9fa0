# SPDX-License-Identifier: Apache-2.0
"""Disturbances, each a context manager: what a node or a link does wrong while the block runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flowgauge.demo.scene import kernel
from flowgauge.demo.scene.nodes import Node
from flowgauge.demo.scene.pods import PodPlace
from flowgauge.runtime import linux


@contextmanager
def loss(node: Node, percent: int, match: str = "") -> Iterator[None]:
    """Drops a share of what ``node`` forwards; ``match`` is an nftables match (``tcp dport 5432``), empty for everything."""
    chance = f"numgen random mod 100 < {percent}" if percent < 100 else ""
    rule = f"{match} {chance} drop"
    kernel.nft(
        node.netns,
        f"table ip fault_loss {{\n chain forward {{\n type filter hook forward priority 0;\n {rule}\n }}\n}}\n",
    )
    try:
        yield
    finally:
        kernel.nft(node.netns, "delete table ip fault_loss\n")


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
def slow(pod: PodPlace, rate: str, limit_bytes: int = 60_000) -> Iterator[None]:
    """Limits what reaches a pod to ``rate`` (``20mbit``); what does not fit a queue of ``limit_bytes`` is dropped."""
    with linux.in_netns(pod.node.netns):
        kernel.run_tool("tc", "qdisc", "replace", "dev", pod.device, "root", "tbf", "rate", rate, "burst", "10kb", "limit",
                        str(limit_bytes))  # fmt: skip
    try:
        yield
    finally:
        with linux.in_netns(pod.node.netns):
            kernel.run_tool("tc", "qdisc", "del", "dev", pod.device, "root")
