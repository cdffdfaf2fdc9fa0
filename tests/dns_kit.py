# SPDX-License-Identifier: Apache-2.0
"""For tests: messages of DNS, as short as they can be."""

from __future__ import annotations

import socket
import struct

NOERROR, NXDOMAIN = 0, 3
TYPE_A, TYPE_AAAA = 1, 28
_RECURSIVE, _ANSWER = 0x0100, 0x8180
_NAME_OF_QUESTION = b"\xc0\x0c"
"""A pointer to where the question's name stands (RFC 1035 §4.1.4)."""


def question(name: str, kind: int = TYPE_A) -> bytes:
    """The question section."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return labels + b"\0" + struct.pack("!HH", kind, 1)


def query(number: int, name: str, kind: int = TYPE_A) -> bytes:
    """A message that asks for a name, ``number`` being its id."""
    return struct.pack("!HHHHHH", number, _RECURSIVE, 1, 0, 0, 0) + question(name, kind)


def answer(asked: bytes, rcode: int = NOERROR, address: str = "") -> bytes:
    """What answers a query, with one address or none."""
    if not address:
        return asked[:2] + struct.pack("!H", _ANSWER | rcode) + asked[4:]
    record = _NAME_OF_QUESTION + struct.pack("!HHIH", TYPE_A, 1, 60, 4) + socket.inet_aton(address)
    return asked[:2] + struct.pack("!HHH", _ANSWER, 1, 1) + asked[8:] + record
