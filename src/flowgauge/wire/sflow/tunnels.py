# SPDX-License-Identifier: Apache-2.0
"""Records of tunnels (sFlow Tunnel Structures): the outer header that the device took off the packet or will put on it.

Open vSwitch sends them of VXLAN, Geneve and GRE. The sampled packet is the inner one then, so they say of its flow in which
tunnel it came or goes, as agents tell with ``tunnels: inner``. Where it came in one and goes in another it is the one in which
it came. Headers of layer 2 (1021, 1022) and offsets of inner headers (1027, 1028) tell nothing that a column has.
"""

from __future__ import annotations

import numpy as np

from flowgauge.flow.addresses import V4_MAPPED_PREFIX
from flowgauge.schema.enums import TUNNEL_KIND, code
from flowgauge.wire.packet_headers_tunnels import GENEVE_PORT, VXLAN_PORTS
from flowgauge.wire.sflow.reading import Reading

IPV4_EGRESS, IPV4_INGRESS, IPV6_EGRESS, IPV6_INGRESS, VNI_EGRESS, VNI_INGRESS = 1023, 1024, 1025, 1026, 1029, 1030
_IPV4_BYTES, _IPV6_BYTES = 32, 56
_UDP = 17
_OF_PROTOCOLS = {4: "ipip", 41: "ipip", 47: "gre"}
_OF_PORTS = {**dict.fromkeys(VXLAN_PORTS, "vxlan"), GENEVE_PORT: "geneve"}
_SWAPPED = {port << 8 & 0xFF00 | port >> 8: name for port, name in _OF_PORTS.items()}
"""Open vSwitch (3.1) gives the tunnel's port with its bytes in the wrong order."""


def tunnel_outer(reading: Reading, tag: int) -> None:
    """``sampled_ipv4`` or ``sampled_ipv6`` of the outer packet."""
    v6 = tag in (IPV6_EGRESS, IPV6_INGRESS)
    width, size = (16, _IPV6_BYTES) if v6 else (4, _IPV4_BYTES)
    parts, sheet = reading.records(tag, size), reading.sheet
    record = reading.windows.take(parts.start, size)
    for name, at in (("tunnel_src_addr", 8), ("tunnel_dst_addr", 8 + width)):
        address = np.zeros((len(parts), 16), np.uint8)
        if not v6:
            address[:, :12] = np.frombuffer(V4_MAPPED_PREFIX, np.uint8)
        address[:, 16 - width :] = record[:, at : at + width]
        sheet.put(name, parts.owner, address)
    words = record.view(">u4").astype(np.int64)
    proto, port = words[:, 1], words[:, 3 + width // 2]
    kind = np.zeros(len(parts), np.uint8)
    for number, name in _OF_PROTOCOLS.items():
        kind[proto == number] = code(TUNNEL_KIND, name)
    for number, name in (_OF_PORTS | _SWAPPED).items():
        kind[(proto == _UDP) & (port == number)] = code(TUNNEL_KIND, name)
    sheet.put("tunnel_kind", parts.owner, kind)
    sheet.put("tunnel_id", parts.owner, np.zeros(len(parts), np.uint32))  # that of another tunnel is none of this one


def tunnel_network(reading: Reading, tag: int) -> None:
    """The network's identifier (VNI), or the key of GRE."""
    parts = reading.records(tag, 4)
    reading.sheet.put("tunnel_id", parts.owner, reading.windows.words(parts.start, 1)[0])
