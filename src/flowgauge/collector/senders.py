# SPDX-License-Identifier: Apache-2.0
"""Who may send, and who was turned away: allow-lists of listeners, and counts by address, bounded."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow import addresses
from flowgauge.flow.addresses import AddressColumn
from flowgauge.flow.prefixes import PrefixTable, prefix
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.datagrams import Datagrams

MAX_TURNED_AWAY = 1_000
"""Addresses remembered that were turned away (about 200 B each); beyond it the one seen least recently goes."""


class AllowList:
    """Address blocks; without any, everybody is let in.

    Attributes:
        open: whether everybody is.
    """

    def __init__(self, cidrs: Iterable[str]) -> None:
        blocks = [(prefix(cidr), 0) for cidr in cidrs]
        self._table = PrefixTable(blocks) if blocks else None
        self.open = not blocks

    def lets_in(self, senders: AddressColumn) -> npt.NDArray[np.bool_]:
        """For each address, shape (n, 16), whether it may send."""
        if self._table is None:
            return np.ones(len(senders), np.bool_)
        distinct, inverse = addresses.unique(senders)
        inside: npt.NDArray[np.bool_] = (self._table.lookup(distinct) >= 0)[inverse]
        return inside


@dataclass(slots=True)
class TurnedAway:
    """What was refused of one address for one reason."""

    count: int = 0
    seen_ns: int = 0


class Refusals:
    """Counts of what was turned away, by address and reason. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[bytes, str], TurnedAway] = OrderedDict()

    def add(self, senders: AddressColumn, reason: str, now_ns: int) -> None:
        """Counts one of each row."""
        with self._lock:
            for sender, count in Counter(map(bytes, senders)).items():
                entry = self._found.setdefault((sender, reason), TurnedAway())
                entry.count += count
                entry.seen_ns = now_ns
                self._found.move_to_end((sender, reason))
                if len(self._found) > MAX_TURNED_AWAY:
                    self._found.popitem(last=False)

    def snapshot(self) -> list[dict[str, Any]]:
        """As the API tells it, the most frequent first."""
        with self._lock:
            found = [(*key, entry.count, entry.seen_ns) for key, entry in self._found.items()]
        return [
            {"address": addresses.to_text(sender), "reason": reason, "count": count, "last_seen_ms": seen_ns // 1_000_000}
            for sender, reason, count, seen_ns in sorted(found, key=lambda one: -one[2])
        ]


class Door:
    """Lets in the datagrams of one listener, and counts the others.

    Args:
        name: of the listener, for people.
    """

    def __init__(self, name: str, allow: Iterable[str], ledger: Ledger, refusals: Refusals) -> None:
        self._name, self._allow = name, AllowList(allow)
        self._ledger, self._refusals = ledger, refusals

    def pass_in(self, datagrams: Datagrams) -> Datagrams:
        """Those of senders in the allow-list."""
        if self._allow.open:
            return datagrams
        inside = self._allow.lets_in(datagrams.source_addr)
        if inside.all():
            return datagrams
        outside = ~inside
        self._ledger.add("receive_refused", int(np.count_nonzero(outside)))
        now_ns = int(datagrams.received_ns.max(initial=0))
        self._refusals.add(datagrams.source_addr[outside], f"{self._name}: not in the allow-list", now_ns)
        return datagrams.take(inside)


def turn_away_unknown(datagrams: Datagrams, refusals: Refusals) -> None:
    """Counts by address the datagrams that are of no flow protocol we know."""
    first = datagrams.payloads[:, :4]
    version = first[:, 0].astype(np.uint16) << 8 | first[:, 1] if first.shape[1] == 4 else np.zeros(len(datagrams), np.uint16)
    sflow = (version == 0) & (first[:, -1] == _SFLOW) & (datagrams.lengths >= 4)
    unknown = ~(np.isin(version, _VERSIONS) & (datagrams.lengths >= 2) | sflow)
    if unknown.any():
        refusals.add(datagrams.source_addr[unknown], "no flow protocol that we know", int(datagrams.received_ns.max()))


_VERSIONS = (1, 5, 7, 9, 10)
_SFLOW = 5
