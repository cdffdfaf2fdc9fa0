# SPDX-License-Identifier: Apache-2.0
"""The link layer of packet heads: what stands before the IP packet, each step a function that moves a cursor forward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.packet_headers_bytes import Index, Mask, Windows, be16, mac_bytes
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.views import Offsets

NOTHING, IPV4, IPV6 = 0, 0x0800, 0x86DD
MPLS, MPLS_MULTICAST, PPPOE_SESSION = 0x8847, 0x8848, 0x8864
ETHERNET_FRAME, PPP_FRAME = 0x10000, 0x10001
"""Kinds without an EtherType, beyond all of them."""

Kinds = npt.NDArray[np.int32]

MAX_LABELS = 10
"""MPLS labels read of one packet, as many as IPFIX has elements for (70–79)."""
MAX_TAGS = 4
"""VLAN tags read of one frame; provider bridges use two, three are seen in laboratories."""

WINDOW_BYTES = 64
"""Of a packet read at once: Ethernet, a tag, IPv4 and the ports, or IPv6 and most of TCP."""

_MAC_BYTES, _ETHERNET_BYTES, _TAG_BYTES, _TCI_BYTES = 6, 14, 4, 2
"""A tag's first two bytes are priority and VLAN: a header that was cut may have these alone."""
_ETHERNET_WORDS = 4
_SNAP_BYTES = 8
_PPPOE_BYTES, _PPP_BYTES = 6, 2
_FIRST_ETHER_TYPE = 0x0600
"""Below it the field is the length of an IEEE 802.3 frame."""
_TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
"""802.1Q, 802.1ad, and what bridges used before it."""
_IS_TAG = np.zeros(PPP_FRAME + 1, np.bool_)
_IS_TAG[list(_TAGS)] = True
_SNAP = bytes((0xAA, 0xAA, 0x03, 0, 0, 0))
_PPP_KINDS = {0x0021: IPV4, 0x0057: IPV6, 0x0281: MPLS, 0x0283: MPLS_MULTICAST}


@dataclass(slots=True)
class Cursor:
    """Where the parsing of each packet has come to.

    Attributes:
        row: of ``Heads``, ascending.
        at: next byte; ``end``: behind the last one captured.
        kind: EtherType of what is at ``at``; ``NOTHING`` when it cannot be known.
    """

    row: Index
    at: Offsets
    end: Offsets
    kind: Kinds

    def of(self, *kinds: int) -> Cursor:
        """The packets that have one of these kinds next, as a cursor of their own."""
        chosen = self.kind == kinds[0]
        for kind in kinds[1:]:
            chosen |= self.kind == kind
        return self.part(chosen)[1]

    def part(self, chosen: Mask) -> tuple[Index, Cursor]:
        """The indexes of the packets chosen, and they as a cursor of their own."""
        index = chosen.nonzero()[0]
        if len(index) == len(chosen):
            return index, self
        return index, Cursor(self.row[index], self.at[index], self.end[index], self.kind[index])

    def step(self, chosen: Index, at: Offsets, kind: Kinds) -> None:
        """Moves the packets at the indexes ``chosen`` on."""
        if len(chosen) == len(self.row):
            self.at, self.kind = at, kind
        else:
            self.at, self.kind = self.at.copy(), self.kind.copy()
            self.at[chosen], self.kind[chosen] = at, kind


def ethernet(windows: Windows, heads: Heads, cursor: Cursor) -> None:
    """MAC addresses, VLAN tags, LLC/SNAP of the frames among the packets."""
    index, frames = cursor.part(cursor.kind == ETHERNET_FRAME)
    if not len(index):
        return
    row, at, room = frames.row, frames.at, frames.end - frames.at
    first, second, third, fourth = windows.words(at, _ETHERNET_WORDS)
    target, source = (
        mac_bytes(first, second >> np.uint32(16)),
        mac_bytes(second << np.uint32(16) | third >> np.uint32(16), third),
    )
    kind, follows = (fourth >> np.uint32(16)).astype(np.int32), at + _ETHERNET_BYTES
    whole = room >= _ETHERNET_BYTES
    if not whole.all():
        kind[~whole] = NOTHING
        follows = at + np.where(whole, _ETHERNET_BYTES, np.maximum(room, 0))
        target *= (room >= _MAC_BYTES)[:, None]  # a part of an address is another address
        source *= (room >= 2 * _MAC_BYTES)[:, None]
    heads.put("dst_mac", row, target)
    heads.put("src_mac", row, source)
    cursor.step(index, follows, kind)
    _tags(windows, heads, cursor)
    _snap(windows, cursor)


def _tags(windows: Windows, heads: Heads, cursor: Cursor) -> None:
    for depth in range(MAX_TAGS + 1):
        index, tagged = cursor.part(_IS_TAG[cursor.kind])
        if not len(index):
            return
        (tag,) = windows.words(tagged.at, 1)
        room = tagged.end - tagged.at
        whole = (room >= _TAG_BYTES) & (depth < MAX_TAGS)
        if depth < 2:
            name = "customer_vlan" if depth else "vlan_id"
            heads.put(name, tagged.row, (tag >> np.uint32(16) & np.uint32(0x0FFF)) * (room >= _TCI_BYTES))
        kind = ((tag & np.uint32(0xFFFF)) * whole).astype(np.int32)
        cursor.step(index, tagged.at + _TAG_BYTES * whole, kind)


def _snap(windows: Windows, cursor: Cursor) -> None:
    """IEEE 802.3 frames: with SNAP there is an EtherType behind, with plain LLC there is none."""
    index, frames = cursor.part((cursor.kind < _FIRST_ETHER_TYPE) & (cursor.kind != NOTHING))
    if not len(index):
        return
    head = windows.take(frames.at, _SNAP_BYTES)
    snap = (head[:, : len(_SNAP)] == np.frombuffer(_SNAP, np.uint8)).all(axis=1)
    snap &= frames.end - frames.at >= _SNAP_BYTES
    kind = np.where(snap, be16(head, 6), NOTHING).astype(np.int32)
    cursor.step(index, frames.at + _SNAP_BYTES * snap, kind)


def pppoe(windows: Windows, cursor: Cursor) -> None:
    """PPPoE session packets (RFC 2516 §4); PPP follows."""
    index, session = cursor.part(cursor.kind == PPPOE_SESSION)
    if not len(index):
        return
    head = windows.take(session.at, _PPPOE_BYTES)
    whole = (session.end - session.at >= _PPPOE_BYTES) & (head[:, 0] == 0x11) & (head[:, 1] == 0)
    kind = np.where(whole, PPP_FRAME, NOTHING).astype(np.int32)
    cursor.step(index, session.at + _PPPOE_BYTES * whole, kind)


def ppp(windows: Windows, cursor: Cursor) -> None:
    """PPP, with or without the address and control bytes of HDLC framing (RFC 1662 §3.1)."""
    index, frames = cursor.part(cursor.kind == PPP_FRAME)
    if not len(index):
        return
    head = windows.take(frames.at, 4)
    framed = (head[:, 0] == 0xFF) & (head[:, 1] == 0x03)
    size = np.where(framed, 2 + _PPP_BYTES, _PPP_BYTES)
    protocol = np.where(framed, be16(head, 2), be16(head, 0))
    kind = np.full(len(index), NOTHING, np.int32)
    whole = frames.end - frames.at >= size
    for number, meant in _PPP_KINDS.items():
        kind[whole & (protocol == number)] = meant
    cursor.step(index, frames.at + size * whole, kind)
