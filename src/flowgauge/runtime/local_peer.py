# SPDX-License-Identifier: Apache-2.0
"""Whose program is at the other end of a TCP connection within this machine: loopback alone does not tell users apart."""

from __future__ import annotations

import ipaddress
import os
import struct
from pathlib import Path

_TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}


def user_of(address: str, port: int) -> int | None:
    """The user id of the socket that is bound to ``address`` and ``port`` here (proc_net_tcp); None when there is none."""
    found = ipaddress.ip_address(address)
    mapped = found.ipv4_mapped if found.version == 6 else None
    # A socket of IPv6 that talks IPv4 is in the table of IPv6.
    forms = [found, mapped or found] if found.version == 6 else [found, ipaddress.ip_address(f"::ffff:{found}")]
    for form in forms:
        wanted = f"{_hexadecimal(form.packed)}:{port:04X}"
        for fields in _rows(_TABLES[form.version]):
            if fields[1] == wanted:
                return int(fields[7])
    return None


def owners() -> frozenset[int]:
    """Whom this process works for: its user, root, and who started it by sudo."""
    by_sudo = os.environ.get("SUDO_UID", "")
    return frozenset({os.geteuid(), 0, *([int(by_sudo)] if by_sudo.isdecimal() else [])})


def _rows(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return []


def _hexadecimal(packed: bytes) -> str:
    """As the kernel prints it: words of 32 bits in the machine's order."""
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))
