# SPDX-License-Identifier: Apache-2.0
"""MPLS in packet heads: the label stack, and the IP packet below it, bare or in a customer's Ethernet frame (a pseudowire)."""

from __future__ import annotations

import numpy as np

from flowgauge.wire.packet_headers_bytes import Mask, Windows
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.packet_headers_link import (
    ETHERNET_FRAME,
    IPV4,
    IPV6,
    MAX_LABELS,
    MPLS,
    MPLS_MULTICAST,
    NOTHING,
    Cursor,
    Kinds,
    ethernet,
)
from flowgauge.wire.views import Offsets

_LABEL_BYTES, _CONTROL_BYTES = 4, 4


def mpls(windows: Windows, heads: Heads, cursor: Cursor) -> None:
    """The label stack, and what is below it: an IP packet, by its first four bits, or a frame with one; else nothing."""
    index, packets = cursor.part((cursor.kind == MPLS) | (cursor.kind == MPLS_MULTICAST))
    if not len(index):
        return
    labels = np.zeros((len(heads.proto), MAX_LABELS), np.uint32)
    at, end, bottom = packets.at.copy(), packets.end, np.zeros(len(index), np.bool_)
    open_ = np.arange(len(index))
    for depth in range(MAX_LABELS):
        open_ = open_[(end - at)[open_] >= _LABEL_BYTES]
        if not len(open_):
            break
        (entry,) = windows.words(at[open_], 1)
        labels[packets.row[open_], depth] = entry
        at[open_] += _LABEL_BYTES
        bottom[open_] = entry >> np.uint32(8) & np.uint32(1) == 1
        open_ = open_[~bottom[open_]]
    heads.labels = labels
    readable = bottom & (end > at)
    kind = _by_version(windows, at, readable)
    framed = np.flatnonzero(readable & (kind == NOTHING))
    if len(framed):
        at[framed], kind[framed] = _in_frames(windows, heads.empty(len(framed)), at[framed], end[framed])
    cursor.step(index, at, kind)


def _by_version(windows: Windows, at: Offsets, readable: Mask) -> Kinds:
    version = windows.take(at, 1)[:, 0] >> 4
    return np.select([readable & (version == 4), readable & (version == 6)], [IPV4, IPV6], NOTHING).astype(np.int32)


def _in_frames(windows: Windows, ignored: Heads, at: Offsets, end: Offsets) -> tuple[Offsets, Kinds]:
    """Where the IP packets within a customer's frames begin, and which they are; the frames' own place where there are none.

    A frame may follow a control word, whose first sixteen bits are zero (RFC 4448 §4.6). Labels do not tell what they carry: it
    is a frame when its EtherType is that of IP and a packet of this version follows. Addresses of such frames are ``ignored``.
    """
    control = windows.take(at, 2).view(">u2")[:, 0] == 0
    frames = Cursor(np.arange(len(at)), at + _CONTROL_BYTES * control, end, np.full(len(at), ETHERNET_FRAME, np.int32))
    ethernet(windows, ignored, frames)
    found = (frames.kind == _by_version(windows, frames.at, frames.at < end)) & (frames.kind != NOTHING)
    return np.where(found, frames.at, at), np.where(found, frames.kind, NOTHING).astype(np.int32)
