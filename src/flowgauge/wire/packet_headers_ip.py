# SPDX-License-Identifier: Apache-2.0
"""IP and transport headers of packet heads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.schema.columns import ICMP_PROTOCOLS, PORT_PROTOCOLS
from flowgauge.wire.packet_headers_bytes import Index, Mask, Numbers, Windows, be16, narrowed
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.packet_headers_link import Cursor
from flowgauge.wire.readers import V4_PREFIX, V4_SHIFT
from flowgauge.wire.views import Octets, Offsets

MAX_EXTENSIONS = 8
"""IPv6 extension headers read of one packet; each round costs time for the whole batch."""

_V4_BYTES, _V6_BYTES, _FRAGMENT_BYTES = 20, 40, 8
_TRANSPORT_BYTES = 16
"""Of a transport header: up to the flags of TCP."""
_PORTS_BYTES, _FLAGS_END, _ICMP_BYTES = 4, 14, 2
_FRAGMENT, _AUTHENTICATION = 44, 51
_BY_EIGHT = (0, 43, 60, 135, 139, 140)
"""Hop-by-hop, routing, destination options, mobility, HIP, Shim6: their length byte counts 8 bytes beyond the first 8."""


def _table(*numbers: int) -> Mask:
    table = np.zeros(256, np.bool_)
    table[list(numbers)] = True
    return table


_HAS_PORTS, _IS_ICMP = _table(*PORT_PROTOCOLS), _table(*ICMP_PROTOCOLS)
_IS_EXTENSION = _table(*_BY_EIGHT, _FRAGMENT, _AUTHENTICATION)
_TCP = 6


def ipv4(windows: Windows, heads: Heads, cursor: Cursor) -> None:
    """IPv4 packets: RFC 791, options skipped."""
    if not len(cursor.row):
        return
    head = windows.take(cursor.at, _V4_BYTES + _TRANSPORT_BYTES)
    size = (head[:, 0] & 15).astype(np.int64) * 4
    valid = (cursor.end - cursor.at >= _V4_BYTES) & (head[:, 0] >> 4 == 4) & (size >= _V4_BYTES)
    row, at, end, head, size = narrowed(valid, cursor.row, cursor.at, cursor.end, head, size)
    total = be16(head, 2).astype(np.int64)
    _network(heads, row, at, proto=head[:, 9], tos=head[:, 1], ttl=head[:, 8])
    heads.put("src_addr", row, mapped(head, 12))
    heads.put("dst_addr", row, mapped(head, 16))
    heads.put("l3_bytes", row, np.where(total >= size, total, 0))
    # Behind the packet's own end is padding of the frame. A total of 0 comes from cards that cut segments themselves.
    end = np.where(total >= size, np.minimum(end, at + total), end)
    later = be16(head, 6) & 0x1FFF != 0
    l4 = head[:, _V4_BYTES:] if (size == _V4_BYTES).all() else windows.take(np.minimum(at + size, end), _TRANSPORT_BYTES)
    _transport(heads, row, head[:, 9], l4, at=np.minimum(at + size, end), end=np.where(later, at, end))


def mapped(rows: Octets, at: int) -> Octets:
    """The v4-mapped form, uint8 (n, 16), of the IPv4 address at byte ``at`` of each row."""
    address = np.zeros((len(rows), 16), np.uint8)
    second = rows[:, at : at + 4].view(np.uint32)[:, 0].astype(np.uint64)
    np.bitwise_or(second << V4_SHIFT, V4_PREFIX, out=address.view(np.uint64)[:, 1])
    return address


def ipv6(windows: Windows, heads: Heads, cursor: Cursor) -> None:
    """IPv6 packets: RFC 8200, extension headers walked to the transport header."""
    if not len(cursor.row):
        return
    head = windows.take(cursor.at, _V6_BYTES + _TRANSPORT_BYTES)
    valid = (cursor.end - cursor.at >= _V6_BYTES) & (head[:, 0] >> 4 == 6)
    row, at, end, head = narrowed(valid, cursor.row, cursor.at, cursor.end, head)
    payload = be16(head, 4).astype(np.int64)
    end = np.where(payload > 0, np.minimum(end, at + _V6_BYTES + payload), end)
    proto, l4_at, later = _extensions(windows, head[:, 6], at + _V6_BYTES, end)
    _network(heads, row, at, proto=proto, tos=be16(head, 0) >> 4 & 0xFF, ttl=head[:, 7])
    heads.put("src_addr", row, head[:, 8:24])
    heads.put("dst_addr", row, head[:, 24:40])
    heads.put("l3_bytes", row, np.where(payload > 0, payload + _V6_BYTES, 0))
    moved = (l4_at != at + _V6_BYTES).any()
    l4 = windows.take(np.minimum(l4_at, end), _TRANSPORT_BYTES) if moved else head[:, _V6_BYTES:]
    _transport(heads, row, proto, l4, at=np.minimum(l4_at, end), end=np.where(later, at, end))


def _extensions(
    windows: Windows, following: npt.NDArray[np.uint8], at: Offsets, end: Offsets
) -> tuple[npt.NDArray[np.uint8], Offsets, Mask]:
    """The protocol behind the extension headers, where it begins, and which packets are later fragments.

    A chain that was cut, or is too long, ends with the last header whose number is known.
    """
    later = np.zeros(len(at), np.bool_)
    open_ = np.flatnonzero(_IS_EXTENSION[following])
    if not len(open_):
        return following, at, later
    proto, at = following.copy(), at.copy()
    for _ in range(MAX_EXTENSIONS):
        if not len(open_):
            break
        head, kind = windows.take(at[open_], _FRAGMENT_BYTES), proto[open_]
        length = head[:, 1].astype(np.int64)
        size = np.select([kind == _FRAGMENT, kind == _AUTHENTICATION], [_FRAGMENT_BYTES, (length + 2) * 4], (length + 1) * 8)
        whole = (end - at)[open_] >= np.maximum(size, _FRAGMENT_BYTES)
        open_, head, size, kind = open_[whole], head[whole], size[whole], kind[whole]
        later[open_] |= (kind == _FRAGMENT) & (be16(head, 2) >> 3 != 0)
        proto[open_] = head[:, 0]
        at[open_] += size
        open_ = open_[_IS_EXTENSION[proto[open_]] & ~later[open_]]
    at[_IS_EXTENSION[proto] & ~later] = end[_IS_EXTENSION[proto] & ~later]
    return proto, at, later


def _network(
    heads: Heads, row: Index, at: Offsets, *, proto: npt.NDArray[np.uint8], tos: Numbers, ttl: npt.NDArray[np.uint8]
) -> None:
    heads.put("is_ip", row, np.ones(len(row), np.bool_))
    heads.put("l3_at", row, at)
    heads.put("proto", row, proto)
    heads.put("tos", row, tos)
    heads.put("ttl", row, ttl)


def _transport(heads: Heads, row: Index, proto: npt.NDArray[np.uint8], l4: Octets, *, at: Offsets, end: Offsets) -> None:
    """Ports, flags, ICMP type and code, each where it was captured. ``l4``: the bytes at ``at``, noise behind ``end``."""
    room = end - at
    heads.put("l4_at", row, at)
    heads.put("l4_end", row, np.maximum(at, end))
    ported = _HAS_PORTS[proto]
    portless = ported & (room < _PORTS_BYTES)
    if portless.any():
        heads.put("portless", row, portless)
        ported = ported & ~portless
    heads.put("src_port", row, be16(l4, 0) * ported)
    heads.put("dst_port", row, be16(l4, 2) * ported)
    heads.put("tcp_flags", row, (be16(l4, 12) & 0x1FF) * ((proto == _TCP) & (room >= _FLAGS_END)))
    icmp = (_IS_ICMP[proto] & (room >= _ICMP_BYTES)).nonzero()[0]
    if len(icmp):
        heads.put("icmp_type", row[icmp], l4[icmp, 0].astype(np.int16))
        heads.put("icmp_code", row[icmp], l4[icmp, 1].astype(np.int16))
