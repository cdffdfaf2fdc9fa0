# SPDX-License-Identifier: Apache-2.0
"""Nodes' own counters as agents told them against those of their kernels: what devices passed and dropped, and full queues.

What an agent says when it is asked lies between two readings of the kernel around the question. What the store holds at last
is what the agent told at its end, so it lies between a reading before that and one after it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.scene.counters import Traffic
from flowgauge.demo.scene.node_counters import Counted

PASSED = "packets at nodes' devices"
DROPPED = "packets that nodes' devices dropped"
OVERFLOWS = "what found a socket's queue full on nodes"
TRACKED = "entries of nodes' connection tracking"
CHECKED = (PASSED, DROPPED, OVERFLOWS)
"""Connection tracking is not: what a fault's traffic adds may be gone again before it is looked at."""
_STORED = "in the store"


@dataclass(frozen=True, slots=True)
class NodeTold:
    """One node: what was told of it, and its kernel around that.

    Attributes:
        before, after: the kernel before and after the agent was asked; ``ended``: after its end.
        asked: what the agent said of each device; what it dropped is in ``stored``.
        stored: what the store holds: values by the names of ``schema.told``, of a device with ``@`` and its name behind.
    """

    before: Counted
    asked: Mapping[str, Traffic]
    after: Counted
    ended: Counted
    stored: Mapping[str, int]


@dataclass(slots=True)
class _Sum:
    """Figures that were told, summed, with how far each is from the nearest that may be."""

    told: int = 0
    so: int = 0
    off: int = 0

    def add(self, told: int, *readings: int) -> None:
        least, most = min(readings), max(readings)
        self.told += told
        self.so += readings[-1]
        self.off += max(least - told, told - most, 0)

    def score(self, name: str, source: str, where: str = _STORED) -> Score:
        return judged(name, self.told, self.so, self.off, 0, source=source, where=where)


def scores(nodes: Sequence[NodeTold]) -> list[Score]:
    """All four; none without nodes."""
    passed, dropped, overflows, tracked = _Sum(), _Sum(), _Sum(), _Sum()
    for node in nodes:
        _passed(node, passed)
        _dropped(node, dropped)
        for name, count in node.ended.overflows.items():
            overflows.add(node.stored.get(name, 0), node.after.overflows[name], count)
        tracked.add(node.stored.get("conntrack_entries", 0), node.after.tracked, node.ended.tracked)
    if not nodes:
        return []
    return [
        passed.score(PASSED, "/proc/net/dev, bytes compared, too", "by agents"),
        dropped.score(DROPPED, "/proc/net/dev"),
        overflows.score(OVERFLOWS, "nstat"),
        tracked.score(TRACKED, "nf_conntrack_count"),
    ]


def _passed(node: NodeTold, passed: _Sum) -> None:
    octets = _Sum()
    for name, before in node.before.devices.items():
        told, after = node.asked.get(name, Traffic()), node.after.devices.get(name, before)
        passed.add(told.rx_packets, before.rx_packets, after.rx_packets)
        passed.add(told.tx_packets, before.tx_packets, after.tx_packets)
        octets.add(told.rx_bytes, before.rx_bytes, after.rx_bytes)
        octets.add(told.tx_bytes, before.tx_bytes, after.tx_bytes)
    passed.off += octets.off


def _dropped(node: NodeTold, dropped: _Sum) -> None:
    """A device that never dropped anything is not told of."""
    for name, ended in node.ended.devices.items():
        after = node.after.devices.get(name, ended)
        into, out = (node.stored.get(f"device_{way}_dropped_packets@{name}", 0) for way in ("in", "out"))
        dropped.add(into, after.dropped - after.not_sent, ended.dropped - ended.not_sent)
        dropped.add(out, after.not_sent, ended.not_sent)
