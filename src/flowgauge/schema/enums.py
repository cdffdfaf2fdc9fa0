# SPDX-License-Identifier: Apache-2.0
"""Labels of the enumerated columns, by code. Codes are only ever appended: stored data keeps its meaning."""

from __future__ import annotations

SAMPLING_SOURCE = ("unknown", "record", "selector", "interface", "system", "configured", "agent", "disputed")
"""``disputed``: told by other domains of the exporter only, which differ, so that the rate is not known."""
SAMPLING_ALGORITHM = ("", "packet", "flow", "other")
FLOW_FORMAT = ("", "netflow1", "netflow5", "netflow7", "netflow9", "ipfix", "sflow5", "agent", "pcap", "pbflow")
RECORD_KIND = ("flow", "options", "counter", "event", "conversation")
FLOW_DIRECTION = ("", "ingress", "egress", "inner")
LOCAL_ENDS = ("", "none", "src", "dst", "both")
"""Which ends of a flow live on the node that reported it; empty when the exporter does not say (a router)."""
DUPLICATE_OF = ("counted", "far_end", "transit", "other_direction", "router_beside_agent", "socket_event")
TIME_SOURCE = ("flow", "received")
LAYER = ("", "app", "infra")
IDENTITY_SOURCE = ("", "watch", "cgroup", "nat", "dns", "subnet", "none", "record")
"""How the names of an end are known: from Kubernetes objects by address (``watch``; behind a translation ``nat``) or, on
loopback, by the pod of the process's control group (``cgroup``), from the exporter with the record (``record``), by address
block or fixed name (``subnet``) …"""
IDENTITY_CONFIDENCE = ("", "exact", "likely", "guess")
TCP_STATE_FINAL = ("", "established", "reset", "refused", "timeout", "closed", "unreachable")
SOCKET_EVENT = ("", "connected", "accepted", "failed", "closed", "listening", "retrying")
INITIATOR = ("", "src", "dst")
"""Which end opened a connection."""
TUNNEL_KIND = ("", "vxlan", "geneve", "gre", "ipip")
POLICY_VERDICT = ("", "allow", "deny", "unknown")


def code(labels: tuple[str, ...], label: str) -> int:
    """The code of ``label``; a label that is not in the enumeration is a programming error (ValueError)."""
    return labels.index(label)
