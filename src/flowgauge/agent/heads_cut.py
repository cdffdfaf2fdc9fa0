# SPDX-License-Identifier: Apache-2.0
"""The socket filter that cuts packets behind their transport header, in the kernel, so that payload never reaches us.

It is a classic BPF program (Documentation/networking/filter.rst of Linux): what it returns is how many bytes of a packet are
taken. Where the transport header ends is told by the kernel's own parser (``poff``), which knows VLAN tags, IPv6 extension
headers, fragments, GRE and IP in IP.
"""

from __future__ import annotations

import socket
import struct

import numpy as np

HEAD_BYTES = 96
"""Taken of a packet at most: Ethernet, IPv4 and TCP with all options are 94."""
ARP_BYTES, LINK_BYTES = 42, 14
"""Of a frame that is ARP, all of it; of one that the kernel cannot parse, the link header."""

_ATTACH_FILTER = 26
_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _RETURN, _RETURN_A = 0x20, 0x15, 0x25, 0x06, 0x16
_ANCILLARY = 0xFFFFF000
_PROTOCOL, _PAYLOAD_OFFSET = _ANCILLARY + 0, _ANCILLARY + 52
_ARP = 0x0806

PROGRAM: tuple[tuple[int, int, int, int], ...] = (
    (_LOAD, 0, 0, _PROTOCOL),
    (_JUMP_EQUAL, 0, 1, _ARP),
    (_RETURN, 0, 0, ARP_BYTES),
    (_LOAD, 0, 0, _PAYLOAD_OFFSET),
    (_JUMP_EQUAL, 0, 1, 0),
    (_RETURN, 0, 0, LINK_BYTES),
    (_JUMP_GREATER, 0, 1, HEAD_BYTES),
    (_RETURN, 0, 0, HEAD_BYTES),
    (_RETURN_A, 0, 0, 0),
)
"""``struct sock_filter``: code, jump if true, jump if false, constant."""


def attach_cut(to: socket.socket) -> None:
    """Lets ``to``, a packet socket, take heads only."""
    code = np.frombuffer(b"".join(struct.pack("=HBBI", *one) for one in PROGRAM), np.uint8)
    to.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(PROGRAM), code.ctypes.data))
