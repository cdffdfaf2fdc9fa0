# SPDX-License-Identifier: Apache-2.0
"""DNS on the wire as words: names of questions (RFC 1035 §3.1)."""

from __future__ import annotations

from flowgauge.schema.numbered_words import dns_rcode

RESPONSE = 0x8000
NO_ANSWER = "NOANSWER"
"""What we call it when no answer came."""
LONGEST_LABEL = 63
"""Bytes of one part of a name."""
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*+/=:@")


def outcome(flags: int) -> str:
    """The response code in the flags of an answer's header; ``NOANSWER`` when they are a question's."""
    return dns_rcode(flags) if flags & RESPONSE else NO_ANSWER


def question(raw: bytes) -> tuple[str, int]:
    """Name and type of a question; the name in lower case and without the last dot, ``.`` for the root.

    What is cut off or malformed gives what could be read of the name, and type 0. Names are not compressed here: nothing comes
    before them that they could refer to.
    """
    labels: list[str] = []
    at = 0
    while at < len(raw) and 0 < raw[at] <= LONGEST_LABEL:
        labels.append(host_label(raw[at + 1 : at + 1 + raw[at]]))
        at += 1 + raw[at]
    name = ".".join(labels) or "."
    if at + 3 > len(raw) or raw[at]:
        return name, 0
    return name, int.from_bytes(raw[at + 1 : at + 3], "big")


def host_label(octets: bytes) -> str:
    """Lower case; bytes that would be misread, or break a terminal, by their number (RFC 1035 §5.1)."""
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:03d}" for octet in octets).lower()
