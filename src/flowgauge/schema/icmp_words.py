# SPDX-License-Identifier: Apache-2.0
"""Words for the errors that ICMP and ICMPv6 report, the same for the same thing in both (IANA's ICMP parameters)."""

from __future__ import annotations

_PROHIBITED = "administratively prohibited"
_V4 = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (3, 4): "fragmentation needed",
    (3, 5): "source route failed",
    (3, 6): "network unreachable",
    (3, 7): "host unreachable",
    (3, 9): _PROHIBITED,
    (3, 10): _PROHIBITED,
    (3, 13): _PROHIBITED,
    (11, 0): "ttl exceeded",
    (11, 1): "reassembly time exceeded",
}
_V6 = {
    (1, 0): "network unreachable",
    (1, 1): _PROHIBITED,
    (1, 2): "beyond scope of source",
    (1, 3): "host unreachable",
    (1, 4): "port unreachable",
    (1, 5): "source address failed policy",
    (1, 6): "reject route",
    (2, 0): "fragmentation needed",
    (3, 0): "ttl exceeded",
    (3, 1): "reassembly time exceeded",
    (4, 1): "protocol unreachable",
}
_PARAMETER_PROBLEM = {False: 12, True: 4}


def icmp_error(kind: int, code: int, *, v6: bool) -> str:
    """``port unreachable`` …; what has no words of its own by its numbers.

    ICMPv6 says "packet too big" where ICMP says "fragmentation needed"; both read as the latter.
    """
    words = (_V6 if v6 else _V4).get((kind, code))
    if words is None:
        words = "parameter problem" if kind == _PARAMETER_PROBLEM[v6] else f"type {kind} code {code}"
    return words
