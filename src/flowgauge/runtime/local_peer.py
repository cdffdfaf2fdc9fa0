# SPDX-License-Identifier: Apache-2.0
"""What the kernel's tables tell of TCP within this machine: whose program is at the other end, and whether one listens.

Loopback alone does not tell users apart.
"""

from __future__ import annotations

import ipaddress
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_ESTABLISHED, _LISTEN = "01", "0A"
_ANY = ("0.0.0.0", "::")
_TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}


Place = tuple[str, int]
"""Address and port."""


def user_of(peer: Place, own: Place) -> int | None:
    """The user id of the socket here at the other end, ``peer``, of a connection to ``own``; None when there is none.

    Both ends are compared: other connections may have the peer's port, too, and such as have ended are all root's in the
    kernel's tables (proc_net_tcp).
    """
    for (version, theirs), (_, ours) in zip(_forms(*peer), _forms(*own), strict=False):
        for fields in _rows(_TABLES[version]):
            if fields[1:4] == [theirs, ours, _ESTABLISHED]:
                return int(fields[7])
    return None


def listens(address: str, port: int) -> bool:
    """Whether somebody listens at a place of this machine, or at this port of all its addresses; of a name, at any.

    Asked of the kernel, which lists listening sockets before all others: who binds to find out is, for that moment, in the way
    of whoever wants the port, and who connects is refused, which an agent here would count as a trouble.
    """
    try:
        wanted = {form for one in (address, *_ANY) for form in _forms(one, port)}
    except ValueError:
        wanted = None
    for version, table in _TABLES.items():
        for fields in _rows(table):
            if fields[3] != _LISTEN:
                break
            if (version, fields[1]) in wanted if wanted else fields[1].endswith(f":{port:04X}"):
                return True
    return False


def _forms(address: str, port: int) -> list[tuple[int, str]]:
    """An end as the tables have it: a socket of IPv6 that talks IPv4 is in that of IPv6."""
    found = ipaddress.ip_address(address.partition("%")[0])
    plain = (found.ipv4_mapped or found) if found.version == 6 else found
    forms = [plain, ipaddress.ip_address(f"::ffff:{plain}")] if plain.version == 4 else [plain]
    return [(form.version, f"{_hexadecimal(form.packed)}:{port:04X}") for form in forms]


def owners() -> frozenset[int]:
    """Whom this process works for: its user, root, and who started it by sudo."""
    by_sudo = os.environ.get("SUDO_UID", "")
    return frozenset({os.geteuid(), 0, *([int(by_sudo)] if by_sudo.isdecimal() else [])})


def _rows(table: Path) -> Iterator[list[str]]:
    try:
        with table.open(encoding="ascii") as lines:
            next(lines, None)  # the names of the columns
            yield from map(str.split, lines)
    except OSError:
        return


def _hexadecimal(packed: bytes) -> str:
    """As the kernel prints it: words of 32 bits in the machine's order."""
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))
