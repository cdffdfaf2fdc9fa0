# SPDX-License-Identifier: Apache-2.0
"""How congested nodes were: what their kernels dropped and had no room for, which is what latency is to be compared with.

Pure, of the ledger's rows. Before: the store; after: the API's ``/nodes`` and ``flowgauge nodes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flowgauge.schema.told import DEVICE, NODE
from flowgauge.store.store import KERNEL, LedgerChange

NEARLY_FULL = 0.8
"""Share of connection tracking's room above which it is worth a word."""

_WORDS = {
    "listen_overflows": "{} connections found a listener's queue full",
    "tcp_backlog_overflows": "{} segments found a socket's backlog full",
    "tcp_receive_overflows": "{} segments found a socket's receive queue full",
    "udp_receive_overflows": "{} datagrams found a socket's receive buffer full",
    "udp_send_overflows": "{} datagrams found a socket's send buffer full",
    "cpu_dropped_packets": "{} packets found a CPU's queue full",
}
_DEVICE_WORDS = {
    "device_in_dropped_packets": "{device} dropped {} received packets",
    "device_out_dropped_packets": "{device} dropped {} packets to be sent",
    "device_in_error_packets": "{device} received {} packets with errors",
    "device_out_error_packets": "{device} failed to send {} packets",
}


@dataclass(frozen=True, slots=True)
class NodeCongestion:
    """One node within a time range.

    Attributes:
        node: its name.
        conntrack_entries, conntrack_entries_max: the most entries of connection tracking, and how many there may be; 0
            without it.
        counters: by how much each counter of the node went up, by its name in ``schema.told.NODE``.
        devices: the same of devices that dropped or failed, by name and then by the names in ``schema.told.DEVICE``.
        words: sentences about what is not 0, the node's first.
    """

    node: str
    conntrack_entries: int
    conntrack_entries_max: int
    counters: dict[str, int]
    devices: dict[str, dict[str, int]]
    words: tuple[str, ...]


def congestion(changes: Iterable[LedgerChange]) -> list[NodeCongestion]:
    """Every node whose kernel was told of within the range of ``changes``, by name."""
    by_node: dict[str, dict[str, LedgerChange]] = {}
    for change in changes:
        if change.component == KERNEL:
            by_node.setdefault(change.instance, {})[change.counter] = change
    return [_node(name, found) for name, found in sorted(by_node.items())]


def _node(name: str, found: dict[str, LedgerChange]) -> NodeCongestion:
    entries, most = (found[key].value if key in found else 0 for key in ("conntrack_entries", "conntrack_entries_max"))
    counters = {told.name: found[told.name].change if told.name in found else 0 for told in NODE if told.counter}
    known = {told.name for told in DEVICE}
    devices: dict[str, dict[str, int]] = {}
    for key, change in sorted(found.items()):
        counter, _, device = key.partition("@")
        if counter in known and device and change.change:
            devices.setdefault(device, {})[counter] = change.change
    return NodeCongestion(name, entries, most, counters, devices, tuple(_said(entries, most, counters, devices)))


def _said(entries: int, most: int, counters: dict[str, int], devices: dict[str, dict[str, int]]) -> Iterator[str]:
    if most and entries >= NEARLY_FULL * most:
        yield f"connection tracking is {100 * entries / most:.0f} % full: {entries:,} of {most:,}"
    for name, words in _WORDS.items():
        if counters[name]:
            yield words.format(f"{counters[name]:,}")
    for device, moved in devices.items():
        for name, words in _DEVICE_WORDS.items():
            if name in moved:
                yield words.format(f"{moved[name]:,}", device=device)
