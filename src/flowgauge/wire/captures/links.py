# SPDX-License-Identifier: Apache-2.0
"""Link layers of captures: where in a frame the IP packet begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_IP_TYPES = (b"\x08\x00", b"\x86\xdd")
_TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00", b"\x92\x00")
"""802.1Q, 802.1ad and their predecessors."""
_PPP_IP = (b"\x21", b"\x57")
"""IPv4 and IPv6 (RFC 1332 §2, RFC 5072 §2), behind a zero byte that may be left out (RFC 1661 §6.5)."""
_PPPOE_SESSION, _PPPOE_HEADER = b"\x88\x64", 6
_MPLS = (b"\x88\x47", b"\x88\x48")
_SNAP = b"\xaa\xaa\x03\x00\x00\x00"
"""LLC and SNAP headers before an EtherType (RFC 1042), where a frame has its length in the EtherType's place."""
_MAX_LENGTH_FIELD = 1500
_AF_INET = 2
_AF_INET6 = frozenset({10, 24, 28, 30})
"""AF_INET6 of Linux, NetBSD, FreeBSD, macOS."""
MAX_TAGS = 8
"""VLAN tags, and MPLS labels, passed over in one frame."""

NO_IP = -1
"""Offset that says: the frame holds no IP packet."""


def _behind_type(frame: bytes, at: int) -> int:
    """The IP packet behind an EtherType at ``at``: VLAN tags, MPLS labels, or PPPoE between."""
    for _ in range(MAX_TAGS):
        kind = frame[at : at + 2]
        if kind in _IP_TYPES:
            return at + 2
        if kind in _MPLS:
            return _behind_labels(frame, at + 2)
        if kind == _PPPOE_SESSION:
            return _ppp_at(frame, at + 2 + _PPPOE_HEADER)
        if kind not in _TAGS:
            return _behind_llc(frame, at)
        at += 4
    return NO_IP


def _behind_labels(frame: bytes, at: int) -> int:
    """The packet behind MPLS labels; what is none of IP's is told by its version."""
    for _ in range(MAX_TAGS):
        if len(frame) < at + 4:
            break
        at += 4
        if frame[at - 2] & 1:
            return at
    return NO_IP


def _behind_llc(frame: bytes, at: int) -> int:
    length = int.from_bytes(frame[at : at + 2], "big")
    if length > _MAX_LENGTH_FIELD or frame[at + 2 : at + 8] != _SNAP:
        return NO_IP
    return at + 10 if frame[at + 8 : at + 10] in _IP_TYPES else NO_IP


def _ethernet(frame: bytes) -> int:
    return _behind_type(frame, 12)


def _cooked(frame: bytes) -> int:
    return _behind_type(frame, 14)


def _cooked_v2(frame: bytes) -> int:
    kind = frame[:2]
    if kind in _TAGS:  # the tag of which this is the type lies behind the header
        return _behind_type(frame, 22)
    return 20 if kind in _IP_TYPES else NO_IP


def _raw(_: bytes) -> int:
    return 0


def _null(frame: bytes) -> int:
    """Four bytes of address family, in the byte order of the machine that captured."""
    family = {int.from_bytes(frame[:4], "little"), int.from_bytes(frame[:4], "big")}
    return 4 if _AF_INET in family or family & _AF_INET6 else NO_IP


def _ppp(frame: bytes) -> int:
    return _ppp_at(frame, 2 if frame[:2] == b"\xff\x03" else 0)


def _ppp_of_pppd(frame: bytes) -> int:
    """The direction stands where the address is, the control byte behind it."""
    return _ppp_at(frame, 2)


def _pppoe(frame: bytes) -> int:
    return _ppp_at(frame, _PPPOE_HEADER)


def _ppp_at(frame: bytes, at: int) -> int:
    begin = at + 1 if frame[at : at + 1] == b"\0" else at
    return begin + 1 if frame[begin : begin + 1] in _PPP_IP else NO_IP


def _cisco_hdlc(frame: bytes) -> int:
    return _behind_type(frame, 2)


LINKS: Mapping[int, Callable[[bytes], int]] = {
    0: _null, 1: _ethernet, 9: _ppp, 12: _raw, 14: _raw, 50: _ppp, 51: _pppoe, 101: _raw, 104: _cisco_hdlc, 108: _null,
    113: _cooked, 166: _ppp_of_pppd, 228: _raw, 229: _raw, 276: _cooked_v2,
}  # fmt: skip
"""Link type → offset of the IP packet in a frame (or ``NO_IP``)."""
