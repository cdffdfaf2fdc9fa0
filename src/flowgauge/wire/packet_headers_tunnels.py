# SPDX-License-Identifier: Apache-2.0
"""What tunnels carry: IP in IP, GRE (with Ethernet, IP, MPLS, ERSPAN), VXLAN, Geneve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.wire.packet_headers_bytes import Index, Mask, Numbers, Windows, be16
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.packet_headers_link import ETHERNET_FRAME, IPV4, IPV6, MPLS, MPLS_MULTICAST, NOTHING, Kinds
from flowgauge.wire.views import Octets, Offsets

VXLAN_PORTS = (4789, 8472)
"""RFC 7348's port, and the one that Linux used before and keeps as its default."""
GENEVE_PORT = 6081

_IP_IN_IP, _UDP, _IPV6_IN_IP, _GRE = 4, 17, 41, 47
_UDP_BYTES, _VXLAN_BYTES, _GENEVE_BYTES, _GRE_BYTES = 8, 8, 8, 4
_BRIDGED, _ERSPAN_2, _ERSPAN_3 = 0x6558, 0x88BE, 0x22EB
_HEAD_BYTES = 24
_CARRIED = (IPV4, IPV6, MPLS, MPLS_MULTICAST)
"""EtherTypes that mean the same within a tunnel."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The packets within tunnels: row of the outer packet, first byte, behind the last byte, and what they begin with."""

    row: Index
    start: Offsets
    end: Offsets
    kind: Kinds


def contents(windows: Windows, heads: Heads, row: Index) -> Inside:
    """The packets within those packets at ``row`` that are tunnels whose inside was captured."""
    proto = heads.proto[row]
    udp_port = np.where(proto == _UDP, heads.dst_port[row], 0)
    candidate = (proto == _IP_IN_IP) | (proto == _IPV6_IN_IP) | (proto == _GRE)
    candidate |= np.isin(udp_port, (*VXLAN_PORTS, GENEVE_PORT))
    index = np.flatnonzero(candidate & heads.is_ip[row] & (heads.l4_end[row] > heads.l4_at[row]))
    row, proto, udp_port = row[index], proto[index], udp_port[index]
    at, end = heads.l4_at[row], heads.l4_end[row]
    head = windows.take(at, _HEAD_BYTES)
    kind, size = np.full(len(row), NOTHING, np.int32), np.zeros(len(row), np.int64)
    kind[proto == _IP_IN_IP], kind[proto == _IPV6_IN_IP] = IPV4, IPV6
    _gre(head, proto == _GRE, kind, size)
    _vxlan(head, np.isin(udp_port, VXLAN_PORTS), kind, size)
    _geneve(head, udp_port == GENEVE_PORT, kind, size)
    opened = (kind != NOTHING) & (end - at > size)
    return Inside(row[opened], (at + size)[opened], end[opened], kind[opened])


def _gre(head: Octets, chosen: Mask, kind: Kinds, size: Offsets) -> None:
    """RFC 2784, 2890: optional checksum, key and sequence number. ERSPAN's own header follows in mirrors."""
    index = np.flatnonzero(chosen & (head[:, 1] & 7 == 0))
    flags, protocol = head[index, 0], be16(head, 2)[index]
    kind[index] = _within(protocol)
    length = _GRE_BYTES + 4 * ((flags >> 7 & 1).astype(np.int64) + (flags >> 5 & 1) + (flags >> 4 & 1))
    mirror = (protocol == _ERSPAN_2) & (flags >> 4 & 1 == 1)  # without a sequence number it is ERSPAN type I: no header
    size[index] = length + 8 * mirror + 12 * (protocol == _ERSPAN_3)


def _within(protocol: Numbers) -> Kinds:
    kind = np.where(np.isin(protocol, _CARRIED), protocol.astype(np.int32), NOTHING)
    kind[np.isin(protocol, (_BRIDGED, _ERSPAN_2, _ERSPAN_3))] = ETHERNET_FRAME
    return kind


def _vxlan(head: Octets, chosen: Mask, kind: Kinds, size: Offsets) -> None:
    """RFC 7348 §5; without the I bit there is no valid network identifier."""
    index = chosen & (head[:, _UDP_BYTES] & 0x08 != 0)
    kind[index] = ETHERNET_FRAME
    size[index] = _UDP_BYTES + _VXLAN_BYTES


def _geneve(head: Octets, chosen: Mask, kind: Kinds, size: Offsets) -> None:
    """RFC 8926 §3.4: version 0, options of 4-byte words."""
    index = np.flatnonzero(chosen & (head[:, _UDP_BYTES] >> 6 == 0))
    kind[index] = _within(be16(head, _UDP_BYTES + 2)[index])
    size[index] = _UDP_BYTES + _GENEVE_BYTES + 4 * (head[index, _UDP_BYTES] & 0x3F).astype(np.int64)
