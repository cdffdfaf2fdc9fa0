# SPDX-License-Identifier: Apache-2.0
"""Ports of fragmented datagrams: only the first fragment has them (RFC 791 §3.2, RFC 8200 §4.5).

What a first fragment says is kept for the later ones, for as many datagrams as the eBPF programs keep. Fragments are rare: one
Python step each does no harm.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf.abi import Structured
from flowgauge.wire.packet_headers_bytes import Windows, be16
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.packet_headers_link import IPV4, IPV6
from flowgauge.wire.views import Offsets

KEPT = 8192
"""Datagrams whose first fragment is remembered, as in ``programs/parse_any.h``."""

_FRAGMENT_HEADER, _AUTHENTICATION = 44, 51
_MORE_V4, _OFFSET_V4, _OFFSET_V6, _MORE_V6 = 0x2000, 0x1FFF, 0xFFF8, 0x0001
_V6_BYTES = 40
_PER_DATAGRAM = ("src_port", "dst_port", "proto", "icmp_type", "icmp_code")


class Fragments:
    """The memory of first fragments."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, int, int], tuple[Any, ...]] = OrderedDict()

    def join(self, windows: Windows, heads: Heads, keys: Structured, sound: npt.NDArray[np.bool_]) -> None:
        """Gives later fragments among the ``sound`` packets what their first fragment's key says, in ``keys``."""
        for ids, rows, later in (_ipv4(windows, heads, sound), _ipv6(windows, heads, sound)):
            for row, number, is_later in zip(rows.tolist(), ids.tolist(), later.tolist(), strict=True):
                self._one(keys, row, number, is_later=is_later, v4=heads.ether_type[row] == IPV4)

    def _one(self, keys: Structured, row: int, number: int, *, is_later: bool, v4: bool) -> None:
        key = keys[row]
        # An IPv4 identification belongs to a protocol; in IPv6 the first fragment may hold more extension headers.
        name = (key["src_addr"].tobytes() + key["dst_addr"].tobytes(), number, int(key["proto"]) if v4 else 0)
        if not is_later:
            self._kept[name] = tuple(key[field] for field in _PER_DATAGRAM)
            self._kept.move_to_end(name)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        elif (found := self._kept.get(name)) is not None:
            for field, value in zip(_PER_DATAGRAM, found, strict=True):
                key[field] = value


_Found = tuple[Offsets, npt.NDArray[np.intp], npt.NDArray[np.bool_]]
"""Identifications, rows, whether a later fragment."""


def _ipv4(windows: Windows, heads: Heads, sound: npt.NDArray[np.bool_]) -> _Found:
    head = windows.take(heads.l3_at, 8)
    bits = be16(head, 6)
    rows = np.flatnonzero(sound & (heads.ether_type == IPV4) & (bits & (_MORE_V4 | _OFFSET_V4) != 0))
    return be16(head, 4)[rows].astype(np.int64), rows, (bits & _OFFSET_V4 != 0)[rows]


def _ipv6(windows: Windows, heads: Heads, sound: npt.NDArray[np.bool_]) -> _Found:
    """Those whose extension headers hold a fragment header, wherever it stands in the chain."""
    ids: list[int] = []
    rows: list[int] = []
    later: list[bool] = []
    extended = sound & (heads.ether_type == IPV6)
    extended &= (heads.l4_at - heads.l3_at > _V6_BYTES) | (heads.l4_at == heads.l4_end)
    for row in np.flatnonzero(extended).tolist():
        packet = windows.take(heads.l3_at[row : row + 1], 180)[0].tobytes()
        at = fragment_header_at(packet, int(heads.l4_at[row] - heads.l3_at[row]))
        if at == 0:
            continue
        bits = int.from_bytes(packet[at + 2 : at + 4], "big")
        if bits & (_OFFSET_V6 | _MORE_V6):
            ids.append(int.from_bytes(packet[at + 4 : at + 8], "big"))
            rows.append(row)
            later.append(bits & _OFFSET_V6 != 0)
    return np.array(ids, np.int64), np.array(rows, np.intp), np.array(later, np.bool_)


def fragment_header_at(packet: bytes, end: int) -> int:
    """Where the fragment header of an IPv6 packet is, whose extension headers end at ``end``; 0 without."""
    following, at = packet[6], _V6_BYTES
    while at + 8 <= min(max(end, at), len(packet)):
        if following == _FRAGMENT_HEADER:
            return at
        size = (packet[at + 1] + 2) * 4 if following == _AUTHENTICATION else (packet[at + 1] + 1) * 8
        following, at = packet[at], at + size
    return 0
