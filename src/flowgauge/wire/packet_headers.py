# SPDX-License-Identifier: Apache-2.0
"""Parses the heads of many sampled packets at once: Ethernet or IP to transport, in lockstep, never beyond what was captured.

Before it: ``sflow`` (raw header records), and whatever else carries pieces of packets; after it: columns of a flow.

Through what it looks: 802.1Q, QinQ and 802.1ad tags, LLC/SNAP, MPLS and its Ethernet pseudowires down to the IP packet, PPPoE
and PPP, IPv4 options, IPv6 extension headers. Each of these has a bound on its depth; a packet that goes deeper, or whose head
was cut before, keeps what was read until then. Ports of later fragments, and of heads cut before them, are absent.

**Outer or inner.** Packets in tunnels (IP in IP, GRE, VXLAN, Geneve) are two conversations. The default is the outer one: it is
what the exporter forwarded, what its interfaces count, and what NetFlow of the same device reports; so samples and flows of one
network agree. With ``inner=True`` addresses, ports and whatever else belongs to the IP packet are the innermost packet's,
and so are its bytes; MAC addresses and VLANs stay the outer frame's, which is the one that the exporter's interfaces saw.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from flowgauge.wire.packet_headers_bytes import Index, Windows
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.packet_headers_ip import ipv4, ipv6
from flowgauge.wire.packet_headers_link import (
    ETHERNET_FRAME,
    IPV4,
    IPV6,
    WINDOW_BYTES,
    Cursor,
    Kinds,
    ethernet,
    ppp,
    pppoe,
)
from flowgauge.wire.packet_headers_mpls import mpls
from flowgauge.wire.packet_headers_tunnels import contents
from flowgauge.wire.views import Offsets

MAX_TUNNELS = 4
"""Tunnels within tunnels that are opened: real ones nest two deep; each round costs time for the whole batch."""


_OF_THE_FRAME = frozenset({"src_mac", "dst_mac", "ether_type", "vlan_id", "customer_vlan", "labels"})
_OF_THE_PACKET = tuple(field.name for field in fields(Heads) if field.name not in _OF_THE_FRAME)


def parse(windows: Windows, start: Offsets, end: Offsets, kind: Kinds, *, inner: bool = False) -> Heads:
    """Parses n packets.

    Args:
        windows: the buffer.
        start: first byte of each packet.
        end: behind its last byte captured.
        kind: what begins at ``start``: ``packet_headers_link.ETHERNET_FRAME``, or the EtherType of a packet without frame.
        inner: see above.
    """
    heads = _parse(windows, Cursor(np.arange(len(start)), start, end, kind))
    if inner:
        _open_tunnels(windows, heads)
    return heads


def layer3_bytes(heads: Heads, start: Offsets, frame_bytes: Offsets, stripped: Offsets) -> Offsets:
    """Bytes of the IP packet, or of whatever is behind the link layer.

    The IP header's own length counts where the frame has room for it: small frames are padded, and agents do not agree whether
    the frame length that they report includes the check sequence. Where it claims nothing (cards that cut segments themselves)
    or too much, it is what remains of the frame without its link layer and what the agent says to have taken off.
    """
    behind_link = np.maximum(frame_bytes - (heads.l3_at - start), 0)
    fits = (heads.l3_bytes > 0) & (heads.l3_bytes <= behind_link)
    return np.where(fits, heads.l3_bytes, np.maximum(behind_link - stripped, 0))


def _parse(windows: Windows, cursor: Cursor) -> Heads:
    windows.keep(cursor.at, WINDOW_BYTES)
    heads = Heads.empty(len(cursor.row))
    ethernet(windows, heads, cursor)
    heads.ether_type = np.where(cursor.kind < ETHERNET_FRAME, cursor.kind, 0).astype(np.uint16)
    pppoe(windows, cursor)
    ppp(windows, cursor)
    mpls(windows, heads, cursor)
    heads.l3_at, heads.l4_at, heads.l4_end = cursor.at.copy(), cursor.at.copy(), cursor.at.copy()
    ipv4(windows, heads, cursor.of(IPV4))
    ipv6(windows, heads, cursor.of(IPV6))
    return heads


def _open_tunnels(windows: Windows, heads: Heads) -> None:
    """Replaces what belongs to an outer IP packet by what the packet within says, level by level."""
    row: Index = np.arange(len(heads.proto))
    for _ in range(MAX_TUNNELS):
        inside = contents(windows, heads, row)
        if not len(inside.row):
            return
        row = inside.row
        within = _parse(windows, Cursor(np.arange(len(row)), inside.start, inside.end, inside.kind))
        found = np.flatnonzero(within.is_ip)
        row = row[found]
        for name in _OF_THE_PACKET:
            heads.put(name, row, getattr(within, name)[found])
