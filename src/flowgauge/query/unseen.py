# SPDX-License-Identifier: Apache-2.0
"""Whether troubles could be seen at all: where no flow carries a signal, none being said means nothing. Pure.

An agent that cannot use eBPF counts packets, and other exporters send counts. Before: the store's edges; after: the map and
``query.worst``, which say it instead of that all is well.
"""

from __future__ import annotations

from collections.abc import Collection

from flowgauge.store.answer import Edge

_TCP = 6
_FEWEST_FLOWS = 20
"""Of TCP: so many do not all come without a signal by chance, as the first of a running connection may."""

WORDS = (
    "troubles cannot be seen: no flow of this time has signals (round trips, drops, ends of connections), "
    "as of agents without eBPF and of other exporters"
)


def unseen(edges: Collection[Edge]) -> str:
    """That no trouble can be seen among these edges; empty where signals are there, or too little went for them."""
    flows = sum(edge.flows for edge in edges if edge.proto == _TCP)
    return "" if flows < _FEWEST_FLOWS or any(map(_has_signals, edges)) else WORDS


def _has_signals(edge: Edge) -> bool:
    signals = edge.signals
    latencies = (edge.rtt_avg_ns, signals.rtt.now_ns, signals.rtt.before_ns, signals.dns.now_ns, signals.server.now_ns)
    counts = (edge.retransmits, edge.drop_packets, signals.made, signals.refused, signals.unanswered, signals.dns_lost)
    return any(value is not None for value in latencies) or any(counts)
