# SPDX-License-Identifier: Apache-2.0
"""What a node's kernel counts beside flows, read another way than agents do: ``/proc/net/dev``, nstat, nf_conntrack_count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowgauge.demo.scene import counters, kernel
from flowgauge.demo.scene.counters import Traffic
from flowgauge.demo.scene.nodes import Node
from flowgauge.runtime import linux

_TRACKED = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_OVERFLOWS: Mapping[str, tuple[str, ...]] = {
    "listen_overflows": ("TcpExtListenOverflows",),
    "tcp_backlog_overflows": ("TcpExtTCPBacklogDrop",),
    "tcp_receive_overflows": ("TcpExtTCPRcvQDrop",),
    "udp_receive_overflows": ("UdpRcvbufErrors", "Udp6RcvbufErrors"),
    "udp_send_overflows": ("UdpSndbufErrors", "Udp6SndbufErrors"),
}
"""Counter of ``schema.told`` → what nstat calls those that are in it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One moment of one node.

    Attributes:
        devices: what passed each, and what each dropped, by name.
        overflows: what found a socket's queue full, by the counter's name in ``schema.told``.
        tracked: entries of connection tracking; 0 without it.
    """

    devices: Mapping[str, Traffic]
    overflows: Mapping[str, int]
    tracked: int


def counted(node: Node) -> Counted:
    """As it is now; EnvironmentProblem when nstat cannot be run."""
    with linux.in_netns(node.netns):
        shown = json.loads(kernel.run_tool("nstat", "-asz", "--json"))["kernel"]
        tracked = int(_TRACKED.read_text(encoding="ascii")) if _TRACKED.exists() else 0
    overflows = {name: sum(int(shown.get(one, 0)) for one in parts) for name, parts in _OVERFLOWS.items()}
    return Counted(counters.devices(node.netns), overflows, tracked)
