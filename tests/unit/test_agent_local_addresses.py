# SPDX-License-Identifier: Apache-2.0
"""Which addresses live on a node, from dumps of links and routes as different networks have them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import numpy as np
import pytest

from flowgauge.agent.local_addresses import LocalAddresses, local_prefixes, uplinks
from flowgauge.agent.rtnetlink import ARPHRD_LOOPBACK, LOCAL, UNICAST, Link, Route
from flowgauge.flow.addresses import from_texts, packed
from flowgauge.schema.enums import LOCAL_ENDS

LO = Link(1, "lo", hardware=ARPHRD_LOOPBACK)
MAIN, LOCAL_TABLE = 254, 255
NOW = 1_800_000_000_000_000_000


def route(prefix: str, device: int, *, via: bool = False, kind: int = UNICAST) -> Route:
    network = ipaddress.ip_network(prefix)
    length = network.prefixlen + (96 if network.version == 4 else 0)
    table = LOCAL_TABLE if kind == LOCAL else MAIN
    return Route(packed(str(network.network_address)), length, kind, table, (device,), (device,) if via else ())


def local(address: str, device: int) -> Route:
    return route(address, device, kind=LOCAL)


# A node of the scene: eth0 (a veth) to the other nodes, a routed veth for each pod.
VETH_NODE = [LO, Link(2, "eth0", "veth"), Link(11, "vp11", "veth"), Link(12, "vp12", "veth")]
VETH_ROUTES = [
    route("0.0.0.0/0", 2, via=True),
    route("192.168.50.0/24", 2),
    route("10.244.2.0/24", 2, via=True),
    route("10.244.1.2/32", 11),
    route("10.244.1.3/32", 12),
    route("fd00:1::3/128", 12),
    route("fe80::/64", 11),
    local("192.168.50.1/32", 2),
    local("169.254.1.1/32", 11),
    local("127.0.0.0/8", 1),
]


class Watched:
    """A node's LocalAddresses with a clock that the test sets."""

    def __init__(self, links: Sequence[Link], routes: Sequence[Route]) -> None:
        self.now = NOW
        self.addresses = LocalAddresses(lambda: self.now, lambda: 0)
        self.links = links
        self.addresses.on_routes(links, routes)

    def ends(self, src: str, dst: str, post_nat_dst: str = "::", start_ns: int = NOW) -> str:
        columns = (from_texts([text]) for text in (src, dst, post_nat_dst))
        return LOCAL_ENDS[self.addresses.local_ends(*columns, np.array([start_ns], np.int64))[0]]


@pytest.mark.parametrize(
    ("src", "dst", "expected"),
    [
        ("10.244.1.2", "10.244.1.3", "both"),
        ("10.244.1.2", "10.244.2.9", "src"),
        ("10.244.2.9", "10.244.1.3", "dst"),
        ("10.244.2.9", "10.244.3.3", "none"),
        ("10.244.1.2", "10.244.1.77", "src"),  # no pod has this address
        ("192.168.50.1", "192.168.50.2", "src"),
        ("192.168.50.2", "192.168.50.1", "dst"),
        ("127.0.0.1", "127.0.0.53", "both"),
        ("203.0.113.5", "fd00:1::3", "dst"),
        ("fe80::1", "ff02::2", "none"),
    ],
)
def test_a_node_of_routed_pods(src: str, dst: str, expected: str) -> None:
    assert Watched(VETH_NODE, VETH_ROUTES).ends(src, dst) == expected


def test_a_service_counts_as_here_when_its_backend_is() -> None:
    node = Watched(VETH_NODE, VETH_ROUTES)
    assert node.ends("10.244.1.2", "10.96.0.80") == "src"
    assert node.ends("10.244.1.2", "10.96.0.80", "10.244.1.3") == "both"
    assert node.ends("10.244.1.2", "10.96.0.80", "10.244.2.9") == "src"
    assert node.ends("203.0.113.9", "192.168.50.1", "10.244.2.9") == "dst"


def test_an_address_that_left_still_counts_for_flows_that_began_before() -> None:
    node = Watched(VETH_NODE, VETH_ROUTES)
    node.now = NOW + 1000
    node.addresses.on_routes(VETH_NODE, [r for r in VETH_ROUTES if r.devices != (11,)])
    assert node.ends("10.244.1.2", "10.244.2.9", start_ns=NOW + 500) == "src"
    assert node.ends("10.244.1.2", "10.244.2.9", start_ns=NOW + 2000) == "none"
    node.now = NOW + 301 * 10**9
    node.addresses.on_routes(VETH_NODE, [r for r in VETH_ROUTES if r.devices != (11,)])
    assert node.ends("10.244.1.2", "10.244.2.9", start_ns=NOW + 500) == "none"


def test_an_address_that_came_back_is_here_again() -> None:
    node = Watched(VETH_NODE, VETH_ROUTES)
    node.addresses.on_routes(VETH_NODE, [])
    node.addresses.on_routes(VETH_NODE, VETH_ROUTES)
    node.now = NOW + 10**15
    assert node.ends("10.244.1.2", "10.244.2.9", start_ns=NOW + 10**14) == "src"


def test_a_bridge_of_containers_is_here_and_a_bridge_with_a_nic_is_not() -> None:
    links = [
        LO,
        Link(2, "ens3", master=4),
        Link(3, "docker0", "bridge"),
        Link(4, "br0", "bridge"),
        Link(5, "veth1", "veth", master=3),
    ]
    routes = [route("172.17.0.0/16", 3), route("192.168.1.0/24", 4), local("192.168.1.7/32", 4)]
    node = Watched(links, routes)
    assert uplinks(links, routes) == {2, 4}
    assert node.ends("172.17.0.4", "192.168.1.9") == "src"
    assert node.ends("192.168.1.9", "192.168.1.7") == "dst"


def test_a_storage_network_without_a_gateway_is_not_here() -> None:
    links = [LO, Link(2, "ens3"), Link(3, "ens4"), Link(4, "ens4.20", "vlan", lower=3), Link(5, "bond0", "bond")]
    routes = [route("10.9.0.0/24", 3), route("10.20.0.0/24", 4), route("10.30.0.0/24", 5), local("10.20.0.1/32", 4)]
    node = Watched(links, routes)
    assert node.ends("10.20.0.1", "10.20.0.2") == "src"
    assert node.ends("10.9.0.1", "10.30.0.2") == "none"


def test_tunnels_lead_elsewhere() -> None:
    links = [LO, Link(2, "vx0", "vxlan"), Link(3, "wg0", "wireguard", hardware=65534), Link(4, "tun0", "tun", hardware=65534)]
    routes = [route("10.1.0.0/24", 2), route("10.2.0.0/24", 3), route("10.3.0.0/24", 4)]
    assert not any(local_prefixes(links, routes).values())


def test_the_longest_route_decides() -> None:
    links = [LO, Link(2, "eth0", "veth"), Link(3, "cni0", "bridge")]
    routes = [route("0.0.0.0/0", 2, via=True), route("10.244.1.0/24", 3), route("10.244.1.7/32", 2, via=True)]
    node = Watched(links, routes)
    assert node.ends("10.244.1.6", "10.244.1.7") == "src"


def test_a_batch_is_answered_row_by_row() -> None:
    node = Watched(VETH_NODE, VETH_ROUTES)
    src = from_texts(["10.244.1.2", "10.244.2.9", "10.244.1.2"])
    dst = from_texts(["10.244.2.9", "10.244.1.2", "10.244.1.3"])
    ends = node.addresses.local_ends(src, dst, np.zeros((3, 16), np.uint8), np.full(3, NOW, np.int64))
    assert [LOCAL_ENDS[end] for end in ends] == ["src", "dst", "both"]


def test_an_empty_batch_and_an_empty_table_are_fine() -> None:
    node = Watched([], [])
    nothing = np.zeros((0, 16), np.uint8)
    assert len(node.addresses.local_ends(nothing, nothing, nothing, np.zeros(0, np.int64))) == 0
    assert node.ends("10.0.0.1", "10.0.0.2") == "none"
