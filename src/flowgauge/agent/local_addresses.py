# SPDX-License-Identifier: Apache-2.0
"""Which addresses live on this node, from its routes: so the agent can say which ends of a flow are its own.

An address lives here when the longest matching route is the node's own address (type local), or leads without a gateway to
a device that does not face other machines: a pod's host route on its veth, the subnet of a bridge of containers or VMs.
A device faces other machines (an *uplink*) when a route with a gateway uses it, when it is physical, a bond or a tunnel, or
when it stands on one (VLAN, macvlan) or holds one (a bridge).

Written by the watch thread, read by the accounting thread: a table is immutable and replaced as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from flowgauge.agent.rtnetlink import ARPHRD_ETHER, LOCAL, UNICAST, Link, Route
from flowgauge.flow import addresses
from flowgauge.flow.addresses import AddressColumn
from flowgauge.flow.prefixes import Prefix, PrefixTable
from flowgauge.runtime.clock import boot_offset_ns
from flowgauge.schema.enums import LOCAL_ENDS, code

Times = npt.NDArray[np.int64]

NOT_HERE, STILL_HERE = 0, np.iinfo(np.int64).max
"""Until when (ns of the monotonic clock, which nobody sets) an address lives here: never did, or still does."""

REMEMBER_NS = 300 * 1_000_000_000
"""How long an address that left is remembered: its last flows are evicted up to an export interval later (a minute at most)."""

_TUNNELS = frozenset({"vxlan", "geneve", "gretap", "ip6gretap", "erspan", "ip6erspan", "wireguard", "bareudp"})
_GROUPS_OF_NICS = frozenset({"bond", "team"})
_ON_A_LOWER_DEVICE = frozenset({"vlan", "macvlan", "macvtap", "ipvlan"})
_LINK_LOCAL = b"\xfe\x80"


def uplinks(links: Sequence[Link], routes: Iterable[Route]) -> set[int]:
    """The ifIndexes of the devices that face other machines."""
    by_index = {link.ifindex: link for link in links}
    found = {index for route in routes for index in route.gateways if not _is_loopback(by_index.get(index))}
    found |= {link.ifindex for link in links if _faces_others(link)}
    while True:  # a VLAN on a bond, in a bridge: each pass climbs one device
        above = {link.ifindex for link in links if link.kind in _ON_A_LOWER_DEVICE and link.lower in found}
        holders = {link.master for link in links if link.ifindex in found and link.master}
        if above | holders <= found:
            return found
        found |= above | holders


def _is_loopback(link: Link | None) -> bool:
    return link is not None and link.loopback


def _faces_others(link: Link) -> bool:
    if link.loopback:
        return False
    return not link.kind or link.kind in _TUNNELS | _GROUPS_OF_NICS or link.hardware != ARPHRD_ETHER


def local_prefixes(links: Sequence[Link], routes: Sequence[Route]) -> dict[Prefix, bool]:
    """Whether each routed prefix lives here; where routes of one prefix disagree, it does not."""
    facing = uplinks(links, routes)
    found: dict[Prefix, bool] = {}
    for route in routes:
        if _is_link_local_subnet(route):
            continue  # on every device at once: only the node's own addresses in it are known
        here = route.kind == LOCAL or (
            route.kind == UNICAST and bool(route.devices) and not route.gateways and facing.isdisjoint(route.devices)
        )
        key = route.prefix, route.length
        found[key] = here and found.get(key, True)
    return found


def _is_link_local_subnet(route: Route) -> bool:
    return route.kind != LOCAL and route.prefix.startswith(_LINK_LOCAL)


class LocalAddresses:
    """Follows the node's routes and tells for a batch which ends of each flow live here.

    Args:
        clock: by which addresses leave, in ns.
        offset_ns: what to add to it to get wall time, which flows have.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns, offset_ns: Callable[[], int] = boot_offset_ns) -> None:
        self._clock, self._offset_ns = clock, offset_ns
        self._until: dict[Prefix, int] = {}
        self._table = PrefixTable(())

    def on_links(self, links: Sequence[Link], gone: set[int]) -> None:
        """Links alone do not move addresses: the routes that go with them do."""

    def more(self) -> bool:
        """All is done at once."""
        return False

    def on_routes(self, links: Sequence[Link], routes: Sequence[Route]) -> None:
        """Takes over the routes there are; an address that left stays known with the time until which it lived here."""
        now = self._clock()
        present = local_prefixes(links, routes)
        until = {key: STILL_HERE if here else NOT_HERE for key, here in present.items()}
        for key, before in self._until.items():
            left = now if before == STILL_HERE else before
            if not present.get(key) and left > now - REMEMBER_NS:
                until[key] = left
        self._until, self._table = until, PrefixTable(until.items())

    def local_ends(
        self, src: AddressColumn, dst: AddressColumn, post_nat_dst: AddressColumn, start_ns: Times
    ) -> npt.NDArray[np.uint8]:
        """Codes of ``enums.LOCAL_ENDS``, one a flow.

        The destination lives here when it, or what it was translated to (a service's backend), does. ``start_ns`` is the
        flow's first packet, by the wall clock: an address that had left by then is not here.
        """
        start_ns = start_ns - self._offset_ns()
        src_here, dst_here, backend_here = (self._here(column, start_ns) for column in (src, dst, post_nat_dst))
        ends: npt.NDArray[np.uint8] = _CODES[src_here.astype(np.intp), (dst_here | backend_here).astype(np.intp)]
        return ends

    def _here(self, column: AddressColumn, start_ns: Times) -> npt.NDArray[np.bool_]:
        distinct, inverse = addresses.unique(column)
        here: npt.NDArray[np.bool_] = self._table.lookup(distinct)[inverse] > start_ns
        return here


_CODES = np.array(
    [[code(LOCAL_ENDS, "none"), code(LOCAL_ENDS, "dst")], [code(LOCAL_ENDS, "src"), code(LOCAL_ENDS, "both")]], np.uint8
)
