# SPDX-License-Identifier: Apache-2.0
"""Link layers of captures: where in a frame the IP packet begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_IP_TYPES = (b"\x08\x00", b"\x86\xdd")
_TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00", b"\x92\x00")
"""802.1Q, 802.1ad and their predecessors."""
_PPP_IP = (b"\x00\x21", b"\x00\x57")
_AF_INET = 2
_AF_INET6 = frozenset({10, 24, 28, 30})
"""AF_INET6 of Linux, NetBSD, FreeBSD, macOS."""
MAX_TAGS = 8
"""VLAN tags passed over in one frame."""

NO_IP = -1
"""Offset that says: the frame holds no IP packet."""


def _behind_type(frame: bytes, at: int) -> int:
    """The IP packet behind an EtherType at ``at``, VLAN tags between."""
    for _ in range(MAX_TAGS):
        kind = frame[at : at + 2]
        if kind in _IP_TYPES:
            return at + 2
        if kind not in _TAGS:
            break
        at += 4
    return NO_IP


def _ethernet(frame: bytes) -> int:
    return _behind_type(frame, 12)


def _cooked(frame: bytes) -> int:
    return _behind_type(frame, 14)


def _cooked_v2(frame: bytes) -> int:
    return 20 if _behind_type(frame, 0) > 0 else NO_IP


def _raw(_: bytes) -> int:
    return 0


def _null(frame: bytes) -> int:
    """Four bytes of address family, in the byte order of the machine that captured."""
    family = {int.from_bytes(frame[:4], "little"), int.from_bytes(frame[:4], "big")}
    return 4 if _AF_INET in family or family & _AF_INET6 else NO_IP


def _ppp(frame: bytes) -> int:
    at = 2 if frame[:2] == b"\xff\x03" else 0
    return at + 2 if frame[at : at + 2] in _PPP_IP else NO_IP


def _cisco_hdlc(frame: bytes) -> int:
    return _behind_type(frame, 2)


LINKS: Mapping[int, Callable[[bytes], int]] = {
    0: _null, 1: _ethernet, 9: _ppp, 12: _raw, 14: _raw, 50: _ppp, 101: _raw, 104: _cisco_hdlc, 108: _null,
    113: _cooked, 228: _raw, 229: _raw, 276: _cooked_v2,
}  # fmt: skip
"""Link type → offset of the IP packet in a frame (or ``NO_IP``)."""
