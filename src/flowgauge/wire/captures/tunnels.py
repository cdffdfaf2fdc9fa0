# SPDX-License-Identifier: Apache-2.0
"""Packets within captured packets: exports that a tunnel carried, or a mirror (ERSPAN, TZSP) to where they were captured."""

from __future__ import annotations

from flowgauge.wire.captures.links import NO_IP, behind_type, ethernet
from flowgauge.wire.captures.network import UDP, Transport

MAX_TUNNELS = 4
"""Tunnels within each other that are opened."""
_IP_PROTOCOLS = frozenset({4, 41})
_GRE = 47
_UDP_HEADER = 8

_CHECKSUM, _ROUTING, _KEY, _NUMBER, _GRE_VERSION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0007
_BRIDGED, _ERSPAN, _ERSPAN_3 = b"\x65\x58", b"\x88\xbe", b"\x22\xeb"
_ERSPAN_HEADER, _ERSPAN_3_HEADER, _SUBHEADER = 8, 12, 8

_VXLAN_PORTS, _GENEVE_PORT, _TZSP_PORT = frozenset({4789, 8472}), 6081, 37008
"""IANA's of VXLAN and the one of Linux before it; of Geneve; of MikroTik's and others' sniffers."""
_VXLAN_HEADER, _GENEVE_HEADER, _TZSP_HEADER = 8, 8, 4
_NETWORK_IS_GIVEN = 0x08
_TZSP_ETHERNET, _TZSP_FILL, _TZSP_END = b"\0\1", 0, 1


def within(outer: Transport) -> bytes:
    """The IP packet within a tunnel's packet; empty where it carries none."""
    payload = outer.payload
    if outer.proto in _IP_PROTOCOLS:
        return payload
    if outer.proto == _GRE:
        return _gre(payload)
    if outer.proto != UDP or len(payload) < _UDP_HEADER:
        return b""
    port, content = int.from_bytes(payload[2:4], "big"), payload[_UDP_HEADER:]
    if port in _VXLAN_PORTS:
        return _framed(content[_VXLAN_HEADER:]) if content[:1] and content[0] & _NETWORK_IS_GIVEN else b""
    if port == _GENEVE_PORT and len(content) >= _GENEVE_HEADER and not content[0] >> 6:
        return _of_type(content[2:4], content[_GENEVE_HEADER + (content[0] & 0x3F) * 4 :])
    return _tzsp(content) if port == _TZSP_PORT else b""


def _gre(payload: bytes) -> bytes:
    """GRE (RFC 2784, RFC 2890), and the mirrors that are sent in it; of version 1 (PPTP) nothing."""
    flags = int.from_bytes(payload[:2], "big")
    if len(payload) < 4 or flags & (_ROUTING | _GRE_VERSION):
        return b""
    kind, at = payload[2:4], 4 + 4 * sum(bool(flags & field) for field in (_CHECKSUM, _KEY, _NUMBER))
    if kind == _ERSPAN:  # of type I there is no header, and no number (draft-foschiano-erspan §4)
        return _framed(payload[at + (_ERSPAN_HEADER if flags & _NUMBER else 0) :])
    if kind == _ERSPAN_3:
        more = payload[at + _ERSPAN_3_HEADER - 1 : at + _ERSPAN_3_HEADER]
        return _framed(payload[at + _ERSPAN_3_HEADER + (_SUBHEADER if more and more[0] & 1 else 0) :])
    return _of_type(kind, payload[at:])


def _tzsp(content: bytes) -> bytes:
    """TaZmen Sniffer Protocol: a header, tagged fields, the frame."""
    if content[2:4] != _TZSP_ETHERNET:
        return b""
    at = _TZSP_HEADER
    while at < len(content) and content[at] != _TZSP_END:
        at += 1 if content[at] == _TZSP_FILL or at + 1 == len(content) else 2 + content[at + 1]
    return _framed(content[at + 1 :])


def _of_type(kind: bytes, content: bytes) -> bytes:
    """The packet in what follows an EtherType that stands elsewhere."""
    if kind == _BRIDGED:
        return _framed(content)
    typed = kind + content
    at = behind_type(typed, 0)
    return b"" if at == NO_IP else typed[at:]


def _framed(frame: bytes) -> bytes:
    at = ethernet(frame)
    return b"" if at == NO_IP else frame[at:]
