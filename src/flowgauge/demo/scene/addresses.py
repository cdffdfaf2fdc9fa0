# SPDX-License-Identifier: Apache-2.0
"""The scene's address plan. What is outside the cluster uses blocks that are reserved for documentation (RFC 5737)."""

from __future__ import annotations

ROUTER = "192.168.50.254"

PODS = "10.244.0.0/16"
POD_GATEWAY = "169.254.1.1"
"""Next hop of every pod, as with routed container networks: the node's end of the pod's link answers for it."""

OUTSIDE_GATEWAY = "203.0.113.1"
CLIENT = "203.0.113.10"
"""The outside client that makes the load."""

NARROW = "203.0.113.99"
"""Nobody; what goes there would pass a link with a small MTU."""

USERS = "198.51.100.0/24"
YOU = "198.51.100.23"
"""The address with which the user's own clicks enter the scene."""

ROUTE = "192.0.2.80"
"""The address behind the Route's host name; the router translates it."""

NODES = (("node-a", "zone-1"), ("node-b", "zone-1"), ("node-c", "zone-2"))
"""Name and zone of the nodes."""


def node(index: int) -> str:
    """The address of node number ``index`` (from 1)."""
    return f"192.168.50.{10 + index}"


def pod_block(index: int) -> str:
    """The pod addresses of node number ``index`` (from 1)."""
    return f"10.244.{index}.0/24"
