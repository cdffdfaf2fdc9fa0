# SPDX-License-Identifier: Apache-2.0
"""What exporters tell of their sampling in options data, and which rate holds for a record that does not carry one.

The record's own rate comes first. Then what was told in its own domain: of its sampler or selector (48, 302), of its interface
(in its direction), of its template, of the system. At last what other domains of the same exporter told, since some devices
tell there, as far as those agree (see ``exporter_rates``). A record for which nothing was told has no rate: 0, unknown, which
is not 1. What is told later does not change flows that have been passed on; within a batch options are read first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from flowgauge.schema.enums import SAMPLING_SOURCE, code
from flowgauge.wire.budget import Budget
from flowgauge.wire.decoded import Value

MAX_RATE = (1 << 32) - 1
FEW = 4
"""Numbers up to which comparing each is faster than searching."""
MAX_RATES = 4096
"""Rates of selectors, of interfaces and of templates, each, kept of one domain."""
INGRESS, EGRESS, EITHER = 0, 1, 2
"""Directions of a rate told of an interface; the first two as flowDirection (61) has them."""
SELECTOR, INTERFACE, SYSTEM, DISPUTED = (
    code(SAMPLING_SOURCE, label) for label in ("selector", "interface", "system", "disputed")
)

TELL_RATES = frozenset(
    {"samplingInterval", "samplerRandomInterval", "samplingPacketInterval", "samplingSize", "samplingProbability"}
)
"""Elements without which a record does not say a rate."""

Key = TypeVar("Key", int, tuple[int, int])
Record = Mapping[str, Value]
Numbers = npt.NDArray[np.uint64]
RatesAndSources = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]


def rate_of(record: Record) -> int:
    """One of how many packets is observed, in whichever elements a record says it; 0 when it does not.

    An interval (34, 50); packets taken and left out (305, 306); n out of N (309, 310); a probability (311). Of any width.
    """
    if TELL_RATES.isdisjoint(record):  # nearly all records: those of names and counters
        return 0
    for name in ("samplingInterval", "samplerRandomInterval"):
        if (interval := _positive(record, name)) > 0:
            return min(int(interval), MAX_RATE)
    taken, left_out = _positive(record, "samplingPacketInterval"), record.get("samplingPacketSpace")
    if taken and isinstance(left_out, int):
        return _rounded((taken + left_out) / taken)
    size, population = _positive(record, "samplingSize"), _positive(record, "samplingPopulation")
    if size and population:
        return _rounded(population / size)
    probability = _positive(record, "samplingProbability")
    return _rounded(1 / probability) if 1 / MAX_RATE < probability <= 1 else 0


def _positive(record: Record, name: str) -> float:
    value = record.get(name)
    return value if isinstance(value, (int, float)) and value > 0 else 0


def _rounded(rate: float) -> int:
    return min(max(round(rate), 1), MAX_RATE)


@dataclass(slots=True)
class Rates:
    """The rates of one observation domain.

    Attributes:
        selectors: by number of the sampler or selector.
        interfaces: by ifIndex and direction.
        templates: by template id.
        system: of everything else; 0 = not told.
        room: how many it may keep.
    """

    selectors: dict[int, int] = field(default_factory=dict)
    interfaces: dict[tuple[int, int], int] = field(default_factory=dict)
    templates: dict[int, int] = field(default_factory=dict)
    system: int = 0
    room: Budget = field(default_factory=lambda: Budget(3 * MAX_RATES), compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.system or len(self))

    def __len__(self) -> int:
        """How many of its rates take room."""
        return len(self.selectors) + len(self.interfaces) + len(self.templates)

    def learn(self, record: Record) -> None:
        """Takes in an options record, if it tells of sampling."""
        if rate := rate_of(record):
            self.put(record, rate)

    def put(self, record: Record, rate: int) -> bool:
        """Takes in a record of which the rate is known already; whether that is new."""
        selector = _first(record, "samplerId", "selectorId")
        interface, direction = _interface(record)
        template = _first(record, "templateId", "scopeTemplate")
        if selector is not None:
            return self.keep(self.selectors, selector, rate)
        if interface:
            return self.keep(self.interfaces, (interface, direction), rate)
        if template:
            return self.keep(self.templates, template, rate)
        before, self.system = self.system, rate
        return before != rate

    def keep(self, known: dict[Key, int], number: Key, rate: int) -> bool:
        """Puts a rate into one of its own dicts, where there is room; whether that is new."""
        before = known.get(number)
        if before is None:
            if len(known) >= MAX_RATES or self.room.room <= 0:
                return False
            self.room.take(1)
        known[number] = rate
        return before != rate

    def take_over(self, other: Rates) -> None:
        """Adds what ``other`` has of which nothing has been told here."""
        self._add(self.selectors, other.selectors)
        self._add(self.interfaces, other.interfaces)
        self._add(self.templates, other.templates)
        self.system = self.system or other.system

    def _add(self, known: dict[Key, int], others: Mapping[Key, int]) -> None:
        for number, rate in others.items():
            if number not in known:
                self.keep(known, number, rate)

    @property
    def whole(self) -> int | None:
        """What it says of its exporter as a whole: 0 where its samplers differ, None where it says nothing of that."""
        if self.system or not self.selectors:
            return self.system or None
        return self.general(0)

    def general(self, template_id: int) -> int:
        """What holds for records of a template of which nothing nearer is known.

        That is also the rate of the samplers when they all have the same, for exporters whose records do not name theirs.
        """
        if told := self.templates.get(template_id) or self.system:
            return told
        common = set(self.selectors.values())
        return common.pop() if len(common) == 1 else 0


def _first(record: Record, *names: str) -> int | None:
    return next((value for name in names if isinstance(value := record.get(name), int)), None)


def _interface(record: Record) -> tuple[int, int]:
    """The interface that a record is about (0: none), and in which direction."""
    told = record.get("flowDirection")
    direction = told if told in (INGRESS, EGRESS) else EITHER
    for name, implied in (("scopeInterface", EITHER), ("ingressInterface", INGRESS), ("egressInterface", EGRESS)):
        value = record.get(name)
        if isinstance(value, int) and value > 0:
            return value, direction if isinstance(direction, int) and direction != EITHER else implied
    return 0, EITHER


@dataclass(frozen=True, slots=True)
class Observed:
    """Which sampler and interfaces the records of one layout name; each uint64 (n,), None where the layout does not."""

    selector: Numbers | None
    in_if: Numbers | None
    out_if: Numbers | None
    direction: Numbers | None


def resolve(rates: Rates, seen: Observed, rows: npt.NDArray[np.intp], into: RatesAndSources) -> None:
    """Writes the rates of selectors and interfaces over the general ones of some rows of one stream."""
    rate, source = into
    if rates.interfaces:
        for direction, index in ((INGRESS, seen.in_if), (EGRESS, seen.out_if)):
            if index is None:
                continue
            known = {number: told for (number, side), told in rates.interfaces.items() if side in (direction, EITHER)}
            chosen = rows
            if seen.direction is not None:
                chosen = rows[(seen.direction[rows] == EGRESS) == (direction == EGRESS)]
            elif direction == EGRESS:  # seen when it came in, unless the record says otherwise
                chosen = rows[rate[rows] == 0]
            _look_up(known, index, chosen, into, INTERFACE)
    if rates.selectors and seen.selector is not None:
        _look_up(rates.selectors, seen.selector, rows, (rate, source), SELECTOR)


def _look_up(known: Mapping[int, int], values: Numbers, rows: npt.NDArray[np.intp], into: RatesAndSources, origin: int) -> None:
    if not known or not len(rows):
        return
    chosen = values if len(rows) == len(values) else values[rows]
    keys = np.array(sorted(known), np.uint64)
    told = np.array([known[key] for key in keys.tolist()], np.uint32)
    if len(keys) <= FEW:
        for key, rate in zip(keys, told, strict=True):
            hit = chosen == key
            if len(rows) == len(values):
                np.copyto(into[0], rate, where=hit)
                np.copyto(into[1], np.uint8(origin), where=hit)
            else:
                into[0][rows[hit]] = rate
                into[1][rows[hit]] = origin
        return
    place = np.minimum(np.searchsorted(keys, chosen), len(keys) - 1)
    found = keys[place] == chosen
    into[0][rows[found]] = told[place[found]]
    into[1][rows[found]] = origin
