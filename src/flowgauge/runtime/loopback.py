# SPDX-License-Identifier: Apache-2.0
"""Which addresses and names mean this machine only."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether ``host`` (an address without brackets, or a name) means this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def names_loopback(header: str) -> bool:
    """Whether a ``Host`` header means this machine only: else a web page that rebinds its own name to 127.0.0.1 may ask."""
    host = header.rpartition("]")[0].lstrip("[") if header.startswith("[") else header.partition(":")[0]
    return is_loopback(host)
