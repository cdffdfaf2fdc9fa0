# SPDX-License-Identifier: Apache-2.0
"""Whether an address is this machine's: what is sent there may come back to us."""

from __future__ import annotations

import ipaddress
import socket


def is_local(address: str) -> bool:
    """Whether datagrams to ``address`` (as text, no name) arrive at this machine: the kernel lets us be it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_loopback or ip.is_unspecified:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4])
    except OSError:
        return False
    return True
