# SPDX-License-Identifier: Apache-2.0
"""What agents tell in options data that is neither a column of flows nor a counter of the ledger: elements of our own.

Numbers are shared with the columns (``enterprise``) and the ledger's counters, and are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """One element: ``data_type`` by its IANA name; a ``counter`` goes up since the machine, or the namespace, began."""

    name: str
    data_type: str
    enterprise: int
    help: str
    unit: str = ""
    counter: bool = False


ANSWERS: tuple[Told, ...] = (
    Told("dns_client", "ipv6Address", 160, "Who asked for a name; IPv4 as v4-mapped."),
    Told("dns_address", "ipv6Address", 161, "An address that the name stands for; IPv4 as v4-mapped."),
    Told("dns_ttl_s", "unsigned32", 162, "For how long, in seconds, the answer holds: the shortest of its chain.", "s"),
)
"""With the column ``dns_name`` and the time (IANA's 323): an answer of DNS."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``client`` was told by DNS that ``name`` is ``address``; both 16 bytes, IPv4 as v4-mapped.

    Attributes:
        learned_ms: when, in ms since 1970.
        ttl_s: for how long it holds.
    """

    client: bytes
    address: bytes
    name: str
    learned_ms: int
    ttl_s: int


TOLD: tuple[Told, ...] = ANSWERS
