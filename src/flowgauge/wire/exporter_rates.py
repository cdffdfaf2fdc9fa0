# SPDX-License-Identifier: Apache-2.0
"""What the observation domains of one exporter told of its sampling, as far as they agree.

Some devices tell in one domain what holds for all (a chassis for its line cards), others tell in each domain what holds there.
A domain that told nothing may take what the others say only where they say the same: else its rate is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flowgauge.wire.budget import Budget
from flowgauge.wire.sampling import Key, Rates, Record

MAX_RATES_OF_ADDRESS = 1 << 16
"""Rates kept of all domains of one exporter: two for each of 48 ports of 600 line cards."""
MAX_RATES_IN_ALL = 1 << 20
"""Rates kept of all exporters, about 150 bytes each: whoever reaches the port can invent them by the million."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What all domains that told something say; rates are 0 where they differ.

    Attributes:
        rates: of selectors and interfaces, and as ``system`` of the exporter as a whole; none of templates, whose numbers are
            each domain's own.
        disputed: whether they differ about the exporter as a whole.
    """

    rates: Rates = field(default_factory=Rates)
    disputed: bool = False

    def __bool__(self) -> bool:
        return self.disputed or bool(self.rates)


NOTHING = Agreed()


class ExporterRates:
    """The rates of each domain of one exporter, and what they agree on.

    Args:
        room: how many rates it may keep.
    """

    __slots__ = ("_agreed", "_domains", "room")

    def __init__(self, room: Budget) -> None:
        self.room = room
        self._domains: dict[int, Rates] = {}
        self._agreed: Agreed | None = None

    def join(self) -> Rates:
        """The rates of one more domain, none yet."""
        rates = Rates(room=self.room)
        self._domains[id(rates)] = rates
        self._agreed = None
        return rates

    def leave(self, rates: Rates) -> None:
        """Forgets the rates of a domain."""
        del self._domains[id(rates)]
        self.room.take(-len(rates))
        self._agreed = None

    def put(self, rates: Rates, record: Record, rate: int) -> None:
        """Takes in the ``rate`` that a domain tells in an options record."""
        if rates.put(record, rate):
            self._agreed = None

    def take_over(self, rates: Rates, other: Rates) -> None:
        """Adds to the rates of a domain what it knows from ``other``, of which it has been told nothing itself."""
        rates.take_over(other)
        self._agreed = None

    @property
    def agreed(self) -> Agreed:
        """What the domains agree on; nothing where there is one only, since that is asked itself first."""
        if self._agreed is None:
            self._agreed = _agreed(list(self._domains.values())) if len(self._domains) > 1 else NOTHING
        return self._agreed


def _agreed(domains: list[Rates]) -> Agreed:
    selectors, interfaces = _alike(each.selectors for each in domains), _alike(each.interfaces for each in domains)
    whole = {rate for each in domains if (rate := each.whole) is not None}
    system = whole.pop() if len(whole) == 1 else 0
    return Agreed(Rates(selectors, interfaces, system=system), disputed=bool(whole))


def _alike(tables: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    """By number the rate that all tables with that number have, 0 where they differ."""
    found: dict[Key, int] = {}
    for table in tables:
        for number, rate in table.items():
            if found.setdefault(number, rate) != rate:
                found[number] = 0
    return found
