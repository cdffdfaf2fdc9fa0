# SPDX-License-Identifier: Apache-2.0
"""IP and transport headers of packet heads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.schema.columns import ICMP_PROTOCOLS, PORT_PROTOCOLS
from flowgauge.wire.packet_headers_bytes import Index, Mask, Numbers, Windows, Words, be16, narrowed, row_bytes
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.packet_headers_link import Cursor
from flowgauge.wire.readers import V4_PREFIX, V4_SHIFT
from flowgauge.wire.views import Octets, Offsets

MAX_EXTENSIONS = 8
"""IPv6 extension headers read of one packet; each round costs time for the whole batch."""

_V4_BYTES, _V6_BYTES, _FRAGMENT_BYTES = 20, 40, 8
_V4_WORDS, _V6_WORDS = _V4_BYTES // 4, _V6_BYTES // 4
_TRANSPORT_WORDS = 4
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
_V4_KIND = 0x40
"""A first byte of IPv4, less the header's length in words."""


def ipv4(windows: Windows, heads: Heads, cursor: Cursor) -> None:
    """IPv4 packets: RFC 791, options skipped."""
    if not len(cursor.row):
        return
    words = windows.words(cursor.at, _V4_WORDS + _TRANSPORT_WORDS)
    kind = words[0] >> np.uint32(24)  # version and length of the header, in words
    valid = (cursor.end - cursor.at >= _V4_BYTES) & (kind >= _V4_KIND + _V4_WORDS) & (kind < _V4_KIND + 16)
    row, at, end = narrowed(valid, cursor.row, cursor.at, cursor.end)
    if len(row) != len(valid):
        words, kind = words[:, valid], kind[valid]
    lengths, fragment, live, source, target = words[:_V4_WORDS]
    size = (kind - np.uint32(_V4_KIND)).astype(np.int64) * 4
    total = (lengths & np.uint32(0xFFFF)).astype(np.int64)
    proto = (live >> np.uint32(16)).astype(np.uint8)
    _network(heads, row, at, proto=proto, tos=lengths >> np.uint32(16) & np.uint32(0xFF), ttl=live >> np.uint32(24))
    heads.put("src_addr", row, mapped(source))
    heads.put("dst_addr", row, mapped(target))
    told = total >= size
    heads.put("l3_bytes", row, total * told)
    # Behind the packet's own end is padding of the frame. A total of 0 comes from cards that cut segments themselves.
    end = np.where(told, np.minimum(end, at + total), end)
    l4_at = np.minimum(at + size, end)
    l4 = words[_V4_WORDS:] if (size == _V4_BYTES).all() else windows.words(l4_at, _TRANSPORT_WORDS)
    later = fragment & np.uint32(0x1FFF) != 0
    _transport(heads, row, proto, l4, at=l4_at, end=np.where(later, at, end) if later.any() else end)


def mapped(address: Words) -> Octets:
    """The v4-mapped form, uint8 (n, 16), of IPv4 addresses."""
    found = np.zeros((len(address), 16), np.uint8)
    second = address.astype(">u4").view(np.uint32).astype(np.uint64)
    np.bitwise_or(second << V4_SHIFT, V4_PREFIX, out=found.view(np.uint64)[:, 1])
    return found


def ipv6(windows: Windows, heads: Heads, cursor: Cursor) -> None:
    """IPv6 packets: RFC 8200, extension headers walked to the transport header."""
    if not len(cursor.row):
        return
    words = windows.words(cursor.at, _V6_WORDS + _TRANSPORT_WORDS)
    valid = (cursor.end - cursor.at >= _V6_BYTES) & (words[0] >> np.uint32(28) == 6)
    row, at, end = narrowed(valid, cursor.row, cursor.at, cursor.end)
    if len(row) != len(valid):
        words = words[:, valid]
    payload = (words[1] >> np.uint32(16)).astype(np.int64)
    end = np.where(payload > 0, np.minimum(end, at + _V6_BYTES + payload), end)
    following = (words[1] >> np.uint32(8)).astype(np.uint8)
    proto, l4_at, later = _extensions(windows, following, at + _V6_BYTES, end)
    _network(heads, row, at, proto=proto, tos=words[0] >> np.uint32(20) & np.uint32(0xFF), ttl=words[1] & np.uint32(0xFF))
    heads.put("src_addr", row, row_bytes(words[2:6]))
    heads.put("dst_addr", row, row_bytes(words[6:10]))
    heads.put("l3_bytes", row, np.where(payload > 0, payload + _V6_BYTES, 0))
    moved = (l4_at != at + _V6_BYTES).any()
    l4 = windows.words(np.minimum(l4_at, end), _TRANSPORT_WORDS) if moved else words[_V6_WORDS:]
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


def _network(heads: Heads, row: Index, at: Offsets, *, proto: npt.NDArray[np.uint8], tos: Numbers, ttl: Numbers) -> None:
    heads.put("is_ip", row, np.ones(len(row), np.bool_))
    heads.put("l3_at", row, at)
    heads.put("proto", row, proto)
    heads.put("tos", row, tos)
    heads.put("ttl", row, ttl)


def _transport(heads: Heads, row: Index, proto: npt.NDArray[np.uint8], l4: Words, *, at: Offsets, end: Offsets) -> None:
    """Ports, flags, ICMP type and code, each where it was captured. ``l4``: the words at ``at``, noise behind ``end``."""
    room = end - at
    heads.put("l4_at", row, at)
    heads.put("l4_end", row, np.maximum(at, end))
    ported = _HAS_PORTS[proto]
    portless = ported & (room < _PORTS_BYTES)
    if portless.any():
        heads.put("portless", row, portless)
        ported = ported & ~portless
    heads.put("src_port", row, (l4[0] >> np.uint32(16)) * ported)
    heads.put("dst_port", row, (l4[0] & np.uint32(0xFFFF)) * ported)
    heads.put("tcp_flags", row, (l4[3] >> np.uint32(16) & np.uint32(0x1FF)) * ((proto == _TCP) & (room >= _FLAGS_END)))
    icmp = (_IS_ICMP[proto] & (room >= _ICMP_BYTES)).nonzero()[0]
    if len(icmp):
        heads.put("icmp_type", row[icmp], (l4[0, icmp] >> np.uint32(24)).astype(np.int16))
        heads.put("icmp_code", row[icmp], (l4[0, icmp] >> np.uint32(16) & np.uint32(0xFF)).astype(np.int16))
