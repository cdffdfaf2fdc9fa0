# SPDX-License-Identifier: Apache-2.0
"""Which latency is long, and since when: one measure for both, the same of round trips, DNS and servers. Pure.

Before: ``store.answer.Latency``; after: ``query.troubles``, which says it in words.
"""

from __future__ import annotations

from dataclasses import replace

from flowgauge.schema.flow_query import Window
from flowgauge.store.answer import RECENT_MS, Latency

_GROWN = 5.0
"""How many times longer than before a latency must be."""
RTT_BY_NS, DNS_BY_NS, SERVER_BY_NS = 10e6, 50e6, 100e6
"""And by how much longer: less is what a busy machine does by itself."""


def has_grown(latency: Latency, by_ns: float) -> bool:
    """Whether it is long now: ``_GROWN`` times as long as before, and by more than ``by_ns`` longer."""
    return latency.now_ns is not None and _is_long(latency.now_ns, latency, by_ns)


def without_the_way(server: Latency, rtt: Latency) -> Latency:
    """The server's own time: seen from the client's node it holds the way, and the handshake's answer waits for one more."""
    way = dict(rtt.slices)
    slices = tuple((at_ms, ns - 2 * way.get(at_ms, 0.0)) for at_ms, ns in server.slices)
    now_ns = None if server.now_ns is None else server.now_ns - 2 * (rtt.now_ns or 0.0)
    return replace(server, now_ns=now_ns, slices=slices)


def long_since_ms(latency: Latency, by_ns: float, window: Window) -> int:
    """Since when one that ``has_grown`` has been long, to a slice, ms since 1970.

    Going back, long slices speak for an earlier begin and others against it; where the most speak for it, it began. Others in
    a row that last as long as what counts as now end the search: then it would not have been said. A slice in which nothing
    was measured tells nothing. Where a fault does not fill the last slice yet, it is what counts as now.
    """
    since_ms, most, excess, well_until_ms = window.end_ms - RECENT_MS, 0, 0, 0
    for at_ms, ns in reversed(latency.slices):
        if _is_long(ns, latency, by_ns):
            excess, well_until_ms = excess + 1, 0
        else:
            excess, well_until_ms = excess - 1, well_until_ms or at_ms + latency.slice_ms
            if well_until_ms - at_ms >= RECENT_MS:
                break
        if excess > most:
            since_ms, most = at_ms, excess
    return max(since_ms, window.start_ms)


def _is_long(ns: float, than: Latency, by_ns: float) -> bool:
    before = than.before_ns
    return before is not None and ns > before * _GROWN and ns - before > by_ns
