# SPDX-License-Identifier: Apache-2.0
"""Link layers of captures: where in a frame the IP packet begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

_IP_TYPES = (b"\x08\x00", b"\x86\xdd")
_TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00", b"\x92\x00")
"""802.1Q, 802.1ad and their predecessors."""
_PPP_IP = (b"\x21", b"\x57")
"""IPv4 and IPv6 (RFC 1332 §2, RFC 5072 §2), behind a zero byte that may be left out (RFC 1661 §6.5)."""
_PPPOE_SESSION, _PPPOE_HEADER = b"\x88\x64", 6
_MPLS = (b"\x88\x47", b"\x88\x48")
_VN_TAG, _CISCO_META, _BACKBONE = b"\x89\x26", b"\x89\x09", b"\x88\xe7"
"""802.1BR as Cisco began it, Cisco's security groups, 802.1ah."""
_MAC_ADDRESSES = 12
_SNAP = b"\xaa\xaa\x03\x00\x00\x00"
"""LLC and SNAP headers before an EtherType (RFC 1042), where a frame has its length in the EtherType's place."""
_MAX_LENGTH_FIELD = 1500
_AF_INET = 2
_AF_INET6 = frozenset({10, 24, 28, 30})
"""AF_INET6 of Linux, NetBSD, FreeBSD, macOS."""
_COOKED_V2_HEADER, _ENC_HEADER = 20, 12
_HDLC = (0x0F, 0x8F)
"""Cisco's addresses of unicast and broadcast, which PPP does not have."""
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
_NFLOG_HEADER, _NFLOG_PAYLOAD = 4, 9
_JUNIPER_MAGIC, _JUNIPER_EXTENDED, _JUNIPER_NO_FRAME = b"MGC", 0x80, 0x02
MAX_FIELDS = 64
"""Fields passed over before the packet in what Linux' firewall logs."""
MAX_TAGS = 8
"""VLAN tags, and MPLS labels, passed over in one frame."""

NO_IP = -1
"""Offset that says: the frame holds no IP packet."""


def behind_type(frame: bytes, at: int, *, labelled: bool = True) -> int:
    """The IP packet behind an EtherType at ``at``: tags, MPLS labels, PPPoE, or another Ethernet header between.

    ``labelled``: whether there may be labels. Not in a frame behind labels: each is looked for at two places.
    """
    for _ in range(MAX_TAGS):
        kind = frame[at : at + 2]
        if kind in _IP_TYPES:
            return at + 2
        if kind in _MPLS and labelled:
            return _behind_labels(frame, at + 2)
        if kind == _PPPOE_SESSION:
            return _ppp_at(frame, at + 2 + _PPPOE_HEADER)
        if kind in _TAGS:
            at += 4
        elif kind == _VN_TAG:
            at += 6
        elif kind == _CISCO_META:  # version, length of its options in words, and these
            at += 4 + 4 * (frame[at + 3] if len(frame) > at + 3 else 0)
        elif kind == _BACKBONE:
            at += 6 + _MAC_ADDRESSES
        else:
            return _behind_llc(frame, at)
    return NO_IP


def _behind_labels(frame: bytes, at: int) -> int:
    """The packet behind MPLS labels, told by its version; else that in a frame, with or without a control word (RFC 4448)."""
    for _ in range(MAX_TAGS):
        if len(frame) < at + 4:
            break
        at += 4
        if frame[at - 2] & 1:
            if frame[at : at + 1] and frame[at] >> 4 in (4, 6):
                return at
            found = behind_type(frame, at + _MAC_ADDRESSES, labelled=False)
            return found if found != NO_IP else behind_type(frame, at + 4 + _MAC_ADDRESSES, labelled=False)
    return NO_IP


def _behind_llc(frame: bytes, at: int) -> int:
    length = int.from_bytes(frame[at : at + 2], "big")
    if length > _MAX_LENGTH_FIELD or frame[at + 2 : at + 8] != _SNAP:
        return NO_IP
    return at + 10 if frame[at + 8 : at + 10] in _IP_TYPES else NO_IP


def ethernet(frame: bytes) -> int:
    """The IP packet in an Ethernet frame."""
    return behind_type(frame, 12)


def _cooked(frame: bytes) -> int:
    return behind_type(frame, 14)


def _cooked_v2(frame: bytes) -> int:
    """The type stands first, what it is the type of behind the header."""
    at = behind_type(frame[:2] + frame[_COOKED_V2_HEADER:], 0)
    return at if at == NO_IP else at - 2 + _COOKED_V2_HEADER


def _raw(_: bytes) -> int:
    return 0


def _null(frame: bytes) -> int:
    """Four bytes of address family, in the byte order of the machine that captured."""
    family = {int.from_bytes(frame[:4], "little"), int.from_bytes(frame[:4], "big")}
    return 4 if _AF_INET in family or family & _AF_INET6 else NO_IP


def _ppp_or_hdlc(frame: bytes) -> int:
    """Serial lines of BSD, on which either may be."""
    return _cisco_hdlc(frame) if frame[:1] and frame[0] in _HDLC else _ppp(frame)


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
    return behind_type(frame, 2)


def _enc(_: bytes) -> int:
    """What IPsec of the BSDs takes in or sends: family, SPI and flags before the packet."""
    return _ENC_HEADER


def _pflog(frame: bytes) -> int:
    """What the packet filter of the BSDs logs (pfSense, OPNsense): a header that begins with its length."""
    return frame[0] + -frame[0] % 4 if frame else NO_IP


def _nflog(frame: bytes) -> int:
    """What the firewall of Linux logs: fields with their lengths, in the byte order of the machine, one of them the packet."""
    at = _NFLOG_HEADER
    for _ in range(MAX_FIELDS):
        heads = [tuple(int.from_bytes(frame[begin : begin + 2], order) for begin in (at, at + 2)) for order in _ORDERS]
        length, kind = next((head for head in heads if 4 <= head[0] <= len(frame) - at), (0, 0))
        if not length:  # of a packet that was cut the length leads beyond the frame
            cut = len(frame) > at + 4 and any(kind == _NFLOG_PAYLOAD for _, kind in heads)
            return at + 4 if cut else NO_IP
        if kind == _NFLOG_PAYLOAD:
            return at + 4
        at += length + -length % 4
    return NO_IP


def _juniper_ethernet(frame: bytes) -> int:
    """``monitor traffic`` of Junos: a mark, flags, extensions where they say so, then the frame or family and packet."""
    if frame[:3] != _JUNIPER_MAGIC or len(frame) < 6:
        return NO_IP
    at = 6 + int.from_bytes(frame[4:6], "big") if frame[3] & _JUNIPER_EXTENDED else 4
    return at + 4 if frame[3] & _JUNIPER_NO_FRAME else behind_type(frame, at + _MAC_ADDRESSES)


LINKS: Mapping[int, Callable[[bytes], int]] = {
    0: _null, 1: ethernet, 9: _ppp, 12: _raw, 14: _raw, 50: _ppp_or_hdlc, 51: _pppoe, 101: _raw, 104: _cisco_hdlc, 108: _null,
    109: _enc, 113: _cooked, 117: _pflog, 166: _ppp_of_pppd, 178: _juniper_ethernet, 228: _raw, 229: _raw, 239: _nflog,
    276: _cooked_v2,
}  # fmt: skip
"""Link type → offset of the IP packet in a frame (or ``NO_IP``)."""
