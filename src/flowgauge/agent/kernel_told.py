# SPDX-License-Identifier: Apache-2.0
"""What of the node's own counters collectors are told, and when: so little that nobody needs to switch it off.

Counters are cumulative, so what is not told now loses nothing. Before: :mod:`flowgauge.agent.node_counters`; after: options
data. Used by the main thread.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from flowgauge.agent import node_counters
from flowgauge.agent.node_counters import NodeCounters
from flowgauge.agent.rtnetlink import LinkStatistics
from flowgauge.schema.told import Kernel

TELL_S = 10.0
"""How often the node is told of, and devices whose drops or errors have moved."""
AGAIN_S = 60.0
"""How often all devices are told of that ever dropped or failed: datagrams get lost, and collectors restart.

With each go the counters of one or two such times before, so that also then what a collector hears of first has a beginning.
"""


class KernelTold:
    """The counters of the network namespace ``netns``; empty: the process's own."""

    def __init__(self, netns: str) -> None:
        self._netns = netns
        self._due_s = self._all_due_s = time.monotonic()
        self._told: dict[int, tuple[int, ...]] = {}
        self._first: dict[int, tuple[int, ...]] = {}
        self._before: dict[int, tuple[int, ...]] = {}

    def due(self, names: Mapping[int, str], *, last: bool = False) -> Kernel:
        """What is to be told now; ``names`` of devices by ifIndex. The ``last`` time whatever moved since the time before."""
        now = time.monotonic()
        if now < self._due_s and not last:
            return Kernel()
        self._due_s = now + TELL_S
        counted = node_counters.read(self._netns)
        devices = {index: _device(counted.devices[name]) for index, name in names.items() if name in counted.devices}
        if now >= self._all_due_s:
            self._all_due_s, self._told = now + AGAIN_S, {}
            self._before, self._first = self._first, {}
        self._first = devices | self._first
        moved = {index: values for index, values in devices.items() if any(values) and self._told.get(index) != values}
        self._told |= moved
        return Kernel(_node(counted), moved, {index: self._before.get(index, self._first[index]) for index in moved})


def _device(counted: LinkStatistics) -> tuple[int, ...]:
    """In the order of ``told.DEVICE``."""
    return counted.received.dropped, counted.sent.dropped, counted.received.errors, counted.sent.errors


def _node(counted: NodeCounters) -> tuple[int, ...]:
    """In the order of ``told.NODE``; nothing when the counters could not be read."""
    if not counted.devices:
        return ()
    queues = (counted.queues.get(name, 0) for name in ("listen", "tcp_backlog", "tcp_receive", "udp_receive", "udp_send"))
    return counted.tracked, counted.trackable, *queues, counted.cpu_dropped, counted.cpu_squeezed
