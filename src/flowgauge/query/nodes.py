# SPDX-License-Identifier: Apache-2.0
"""How congested nodes were: what their kernels dropped and had no room for, which is what latency is to be compared with.

Pure, of the ledger's rows. Before: the store; after: the API's ``/nodes``, the console and ``flowgauge nodes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from flowgauge.schema.told import DEVICE, NODE
from flowgauge.store.store import KERNEL, LedgerChange

NEARLY_FULL = 0.8
"""Share of connection tracking's room above which it is worth a word."""

OVER_MS = 60_000
"""A counter that stood still so long while its node told of itself (each 10 s, and all counters within 20 s) is over."""

_WORDS: Mapping[str, tuple[str, str]] = {
    "conntrack_entries": (
        "connection tracking is {share:.0f} % full: {count:,} of {most:,}",
        "beyond it new connections are dropped: find who opens so many, or raise net.netfilter.nf_conntrack_max",
    ),
    "cpu_dropped_packets": (
        "{count:,} packet{s} found a CPU's queue full",
        "one CPU gets more packets than it can handle: spread them (RSS, RPS), or a larger net.core.netdev_max_backlog",
    ),
    "listen_overflows": (
        "{count:,} connection{s} found a listener's queue full",
        "a server accepts too slowly for what comes: more replicas of it, or a longer queue (its backlog, net.core.somaxconn)",
    ),
    "tcp_backlog_overflows": (
        "{count:,} segment{s} found a socket's backlog full",
        "a process takes from its socket too slowly: look for one without CPU time; net.ipv4.tcp_rmem gives it more room",
    ),
    "tcp_receive_overflows": (
        "{count:,} segment{s} found a socket's receive queue full",
        "a reader is slower than its sender, or memory for sockets is short: look for slow readers, then net.ipv4.tcp_mem",
    ),
    "udp_receive_overflows": (
        "{count:,} datagram{s} found a socket's receive buffer full",
        "a process reads datagrams too slowly (often DNS, logs or flows): more replicas of it, or a larger net.core.rmem_max",
    ),
    "udp_send_overflows": (
        "{count:,} datagram{s} found a socket's send buffer full",
        "a process sends datagrams faster than its device takes them: slow it down, or a larger net.core.wmem_max",
    ),
    "device_in_dropped_packets": (
        "{device} dropped {count:,} received packet{s}",
        "no room when they came, or nobody wanted them: ethtool -S {device} says which; ethtool -G makes its ring larger",
    ),
    "device_out_dropped_packets": (
        "{device} dropped {count:,} packet{s} to be sent",
        "its queue is full or shaped: tc -s qdisc show dev {device} says where; send less, or a faster link",
    ),
    "device_in_error_packets": (
        "{device} received {count:,} packet{s} with errors",
        "cable, transceiver or driver: ethtool -S {device} says which",
    ),
    "device_out_error_packets": (
        "{device} failed to send {count:,} packet{s}",
        "link, or what a tunnel sends through: ip -s -s link show {device}, ethtool -S {device}",
    ),
}
"""What a counter says when it is worth a word, the node's first, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that a node's kernel had no room for, dropped or found damaged.

    Attributes:
        counter: which of ``schema.told``; ``conntrack_entries`` when connection tracking was nearly full.
        device: of which device; empty: of the node.
        count: by how much the counter went up, or how many entries there were.
        words: a sentence for people.
        advice: what it comes from and what to do.
        last_ms: when it went up last, or was fullest; ms since 1970.
        over: whether the node told of itself since, and nothing more of this.
    """

    counter: str
    device: str
    count: int
    words: str
    advice: str
    last_ms: int
    over: bool


@dataclass(frozen=True, slots=True)
class NodeCongestion:
    """One node within a time range.

    Attributes:
        node: its name.
        conntrack_entries, conntrack_entries_max: the most entries of connection tracking, and how many there may be; 0
            without it.
        counters: by how much each counter of the node went up, by its name in ``schema.told.NODE``.
        devices: the same of devices that dropped or failed, by name and then by the names in ``schema.told.DEVICE``.
        signs: what of it is worth a word: what goes on before what is over, the node's before its devices'.
        told_ms: when its agent was heard last, ms since 1970.
    """

    node: str
    conntrack_entries: int
    conntrack_entries_max: int
    counters: dict[str, int]
    devices: dict[str, dict[str, int]]
    signs: tuple[Sign, ...]
    told_ms: int


def congestion(changes: Iterable[LedgerChange]) -> list[NodeCongestion]:
    """Every node whose kernel was told of within the range of ``changes``, by name."""
    by_node: dict[str, dict[str, LedgerChange]] = {}
    for change in changes:
        if change.component == KERNEL:
            by_node.setdefault(change.instance, {})[change.counter] = change
    return [_node(name, found) for name, found in sorted(by_node.items())]


def _node(name: str, found: Mapping[str, LedgerChange]) -> NodeCongestion:
    entries, most = (found[key].value if key in found else 0 for key in ("conntrack_entries", "conntrack_entries_max"))
    counters = {told.name: found[told.name].change if told.name in found else 0 for told in NODE if told.counter}
    moved = list(_of_devices(found))
    devices: dict[str, dict[str, int]] = {}
    for device, change in moved:
        devices.setdefault(device, {})[change.counter.partition("@")[0]] = change.change
    told_ms = max(one.told_ms for one in found.values())
    of_devices = (_sign(change, change.change, device, over=_stands(change, told_ms)) for device, change in moved)
    signs = tuple(sorted((*_of_node(found, most, told_ms), *of_devices), key=lambda sign: sign.over))
    return NodeCongestion(name, entries, most, counters, devices, signs, told_ms)


def _stands(change: LedgerChange, told_ms: int) -> bool:
    """Whether a counter went up no more."""
    return told_ms - change.reached_ms > OVER_MS


def _of_devices(found: Mapping[str, LedgerChange]) -> Iterator[tuple[str, LedgerChange]]:
    """Counters of devices that went up, device by device in the order of ``DEVICE``."""
    order = {told.name: number for number, told in enumerate(DEVICE)}
    keys = [(device, order[counter], key) for key in found for counter, _, device in [key.partition("@")] if counter in order]
    return ((device, found[key]) for device, _, key in sorted(keys) if device and found[key].change)


def _of_node(found: Mapping[str, LedgerChange], most: int, told_ms: int) -> Iterator[Sign]:
    for name in _WORDS:
        change = found.get(name)
        if change is None:
            continue
        if name == "conntrack_entries":
            if most and change.value >= NEARLY_FULL * most:
                over = change.latest < NEARLY_FULL * most
                yield _sign(change, change.value, over=over, share=100 * change.value / most, most=most)
        elif change.change:
            yield _sign(change, change.change, over=_stands(change, told_ms))


def _sign(change: LedgerChange, count: int, device: str = "", *, over: bool, **more: float) -> Sign:
    counter = change.counter.partition("@")[0]
    said, advice = (text.format(count=count, s="" if count == 1 else "s", device=device, **more) for text in _WORDS[counter])
    return Sign(counter, device, count, said, advice, change.reached_ms, over)
