# SPDX-License-Identifier: Apache-2.0
"""One address as its 16 bytes, for who has no columns of them (``flow.addresses``) and waits for no numpy: the command line."""

from __future__ import annotations

import ipaddress

V4_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
"""Of IPv4 addresses (RFC 4291 §2.5.5.2)."""


def packed(text: str) -> bytes:
    """The 16 bytes of an address given as text; ValueError when it is none."""
    address = ipaddress.ip_address(text)
    return V4_MAPPED_PREFIX + address.packed if address.version == 4 else address.packed
