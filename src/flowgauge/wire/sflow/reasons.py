# SPDX-License-Identifier: Apache-2.0
"""Why a device discarded a packet: sFlow's reason codes (sFlow v5 and "sFlow Dropped Packet Notification"), as names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.flow.names import Names

_OF_ICMP = (
    "net_unreachable", "host_unreachable", "protocol_unreachable", "port_unreachable", "frag_needed", "src_route_failed",
    "dst_net_unknown", "dst_host_unknown", "src_host_isolated", "dst_net_prohibited", "dst_host_prohibited",
    "dst_net_tos_unreachable", "dst_host_tos_unreachable", "comm_admin_prohibited", "host_precedence_violation",
    "precedence_cutoff",
)  # fmt: skip
"""0 … 15: the codes of ICMP's destination unreachable."""
_OF_DEVICES = (
    "unknown", "ttl_exceeded", "acl", "no_buffer_space", "red", "traffic_shaping", "pkt_too_big", "src_mac_is_multicast",
    "vlan_tag_mismatch", "ingress_vlan_filter", "ingress_spanning_tree_filter", "port_list_is_empty", "port_loopback_filter",
    "blackhole_route", "non_ip", "uc_dip_over_mc_dmac", "dip_is_loopback_address", "sip_is_mc", "sip_is_loopback_address",
    "ip_header_corrupted", "ipv4_sip_is_limited_bc", "ipv6_mc_dip_reserved_scope", "ipv6_mc_dip_interface_local_scope",
    "unresolved_neigh", "mc_reverse_path_forwarding", "non_routable_packet", "decap_error", "overlay_smac_is_mc",
    "unknown_l2", "unknown_l3", "unknown_l3_exception", "unknown_buffer", "unknown_tunnel", "unknown_l4",
    "sip_is_unspecified", "mlag_port_isolation", "blackhole_arp_neigh", "src_mac_is_dmac", "dmac_is_reserved",
    "sip_is_class_e", "mc_dmac_mismatch", "sip_is_dip", "dip_is_local_network", "dip_is_link_local", "overlay_smac_is_dmac",
    "egress_vlan_filter", "uc_reverse_path_forwarding", "split_horizon",
)  # fmt: skip
"""256 …"""

NAMES = dict(enumerate(_OF_ICMP)) | dict(enumerate(_OF_DEVICES, start=256))

_DROPPED = 128
"""IPFIX ``forwardingStatus``: dropped, for a reason that has no code of its own (RFC 7270 §4.12)."""
_STATUS = {
    4: 133, 5: 131, 6: 131, 7: 131, 0: 131, 1: 131, 9: 130, 10: 130, 13: 130, 257: 137, 258: 130, 260: 139, 261: 138,
    269: 131, 279: 132, 280: 140, 302: 140,
}  # fmt: skip
"""Reasons that IPFIX has a code for: unroutable, adjacency, fragmentation, TTL, ACL, policer, WRED, RPF."""


def causes(reason: npt.NDArray[np.uint32]) -> Names:
    """The names of reasons; one without a name is ``reason_<number>``."""
    distinct, codes = np.unique(reason, return_inverse=True)
    return Names(
        (codes.reshape(-1) + 1).astype(np.int32), ("", *(NAMES.get(code, f"reason_{code}") for code in distinct.tolist()))
    )


def forwarding_status(reason: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """The same as ``forwardingStatus``, 128 and above: dropped."""
    distinct, index = np.unique(reason, return_inverse=True)
    return np.array([_STATUS.get(code, _DROPPED) for code in distinct.tolist()], np.uint8)[index.reshape(-1)]
