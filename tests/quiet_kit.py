# SPDX-License-Identifier: Apache-2.0
"""For tests: namespaces in which, once packets have found their way, nobody speaks but who is told to.

A kernel asks now and then whether its neighbours are still there, and tells the groups it is in: on a slow machine in the
middle of a measurement.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flowgauge.runtime import linux

T = TypeVar("T")

NAMESPACE = {
    f"ipv6/conf/{which}/{name}": value
    for which in ("all", "default")
    for name, value in (("accept_dad", "0"), ("router_solicitations", "0"), ("mldv2_unsolicited_report_interval", "10"))
}
"""Settings of a namespace, to be written before its devices come: groups are told within 20 ms, and not over seconds."""
LINKED_S = 1.2
"""A kernel notices a link within a second (net/core/link_watch.c), and then tells its groups over IPv6."""

WITHIN_S = 60.0
_HOUR_S = 3600
_NEIGHBOURS = {"base_reachable_time_ms": str(1000 * _HOUR_S), "delay_first_probe_time": str(_HOUR_S)}


def neighbours(netns: str) -> None:
    """Lets the devices of a namespace believe for an hour what they once learned of their neighbours (arp(7))."""
    with linux.in_netns(netns):
        for family in ("ipv4", "ipv6"):
            for device in Path("/proc/sys/net", family, "neigh").iterdir():
                for name, value in _NEIGHBOURS.items():
                    (device / name).write_text(value)


def at_rest(look: Callable[[], T], quiet_s: float = 0.3) -> T:
    """Waits until what one looks at has not changed for so long; what it is then."""
    began = since = time.monotonic()
    seen = look()
    while time.monotonic() - since < quiet_s:
        time.sleep(0.02)
        if (now := look()) != seen:
            seen, since = now, time.monotonic()
        assert since - began < WITHIN_S, f"no rest within {WITHIN_S} s"
    return seen
