# SPDX-License-Identifier: Apache-2.0
"""Ends of an edge of which nothing but their addresses is known: told apart by these, and the largest of them named.

An edge for each address would be thousands where a service is open to the internet; one for all of them would hide a stranger
behind the site's own printers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowgauge.schema import reach
from flowgauge.store.answer import LARGEST_ADDRESSES, PRIVATE_KIND, PUBLIC_KIND, Addresses
from flowgauge.store.clickhouse.ddl import SCALE

_ABSENT = "(toIPv6('::'), toIPv6('::ffff:0.0.0.0'))"
_CELLS = 40
"""Times as many addresses are counted as are named: one that is not among these when it comes takes the least one's place."""

_MAPPED = 0xFFFF
"""What stands above the 32 bits of an IPv4 address (RFC 4291 §2.5.5.2)."""
_LOW = 0xFFFF_FFFF


def kind(address: str) -> str:
    """SQL of the kind of an end without a name, by that of its address; empty for one that is no host's."""
    private, no_host = _within(address, reach.PRIVATE), _within(address, reach.NO_HOST)
    return f"multiIf({private}, '{PRIVATE_KIND}', {no_host}, '', '{PUBLIC_KIND}')"


def _within(address: str, blocks: Iterable[reach.Block]) -> str:
    number = f"toUInt128({address})"
    return " OR ".join(_in_block(number, *map(int.from_bytes, block)) for block in blocks)


def _in_block(number: str, first: int, last: int) -> str:
    """By the part of the number that differs: sixteen bytes are compared at several times the price of four or eight."""
    if first >> 32 == _MAPPED:
        return f"bitShiftRight({number}, 32) = {_MAPPED} AND toUInt32({number}) BETWEEN {first & _LOW} AND {last & _LOW}"
    if first == last:
        return f"{number} = {first}"
    return f"toUInt64(bitShiftRight({number}, 64)) BETWEEN {first >> 64} AND {last >> 64}"


def sums() -> dict[str, str]:
    """Name → SQL over flows: of each end the addresses with most bytes, and how many there are."""
    found = {}
    for role in ("client", "server"):
        address = f"{role}_addr"
        nameless = f"{role}_name = '' AND {address} NOT IN {_ABSENT}"
        largest = (
            f"topKWeightedIf({LARGEST_ADDRESSES}, {_CELLS})({address}, greatest(toUInt64(bytes * {SCALE}), 1), {nameless})"
        )
        found[f"{role}_addrs"] = f"arrayMap(one -> IPv6NumToString(one), {largest})"
        found[f"{role}_addr_count"] = f"uniqIf({address}, {nameless})"
    return found


def read(row: Mapping[str, Any], role: str) -> Addresses:
    """Those of one end."""
    texts = (text.removeprefix("::ffff:") if "." in text else text for text in row[f"{role}_addrs"])
    return Addresses(tuple(texts), row[f"{role}_addr_count"])
