# SPDX-License-Identifier: Apache-2.0
"""From how far away an address may be, by its number alone: what is told of addresses of which nothing else is known."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Final


class Reach(StrEnum):
    """``private``: of this site, never routed on the internet; ``public``: may be of anywhere. Others are no single host's."""

    PRIVATE = "private"
    PUBLIC = "public"


_PRIVATE = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918 §3
    "100.64.0.0/10",  # RFC 6598 §7: between a provider and its customers; some clusters number pods and nodes by it
    "169.254.0.0/16", "fe80::/10",  # RFC 3927 §2.1, RFC 4291 §2.5.6: of one link
    "127.0.0.0/8", "::1/128",  # RFC 1122 §3.2.1.3, RFC 4291 §2.5.3: of one host
    "fc00::/7",  # RFC 4193 §3.1
)  # fmt: skip
_NO_HOST = (
    "0.0.0.0/8", "::/128",  # RFC 1122 §3.2.1.3, RFC 4291 §2.5.2: this network; absent
    "224.0.0.0/4", "ff00::/8",  # RFC 5771 §3, RFC 4291 §2.7: groups
    "240.0.0.0/4",  # RFC 1112 §4, RFC 919 §7: reserved, and broadcast
)  # fmt: skip

Block = tuple[bytes, bytes]
"""First and last address, 16 bytes each; those of IPv4 mapped."""


def _block(text: str) -> Block:
    network = ipaddress.ip_network(text)
    mapped = bytes(10) + b"\xff\xff" if network.version == 4 else b""
    return mapped + network.network_address.packed, mapped + network.broadcast_address.packed


PRIVATE: Final = tuple(map(_block, _PRIVATE))
"""The blocks of private addresses."""
NO_HOST: Final = tuple(map(_block, _NO_HOST))
"""Blocks that are neither private nor public."""
