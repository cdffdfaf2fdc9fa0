# SPDX-License-Identifier: Apache-2.0
"""What is known of one exporter. Kept by :mod:`flowgauge.pipeline.exporters`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from flowgauge.schema.enums import SAMPLING_SOURCE, code

AGENT_SILENT_S = 60.0
"""An agent not heard for so long, or for three of its intervals, is gone: its node's flows are then counted elsewhere."""
RATE_SPAN_S = 10.0
"""Time over which ``flows_per_s`` is levelled."""
_DISPUTED = code(SAMPLING_SOURCE, "disputed")

Named = Literal["interface", "vrf", "application"]
"""What exporters name in options data."""


@dataclass(slots=True)
class Exporter:
    """One exporter and observation domain.

    Attributes:
        name: of the device or node, as it calls itself; empty when it does not.
        flow_format: code of ``enums.FLOW_FORMAT`` of its latest flows.
        sampling: one of how many packets it observes as it told in options of itself as a whole, 0 when it has not.
        flow_sampling, flow_sampling_source: the same of its latest flows, and how it was known: code of ``SAMPLING_SOURCE``.
        interfaces: ifIndex → name.
        vrfs: number of a routing table → name.
        applications: id, as the column has it → name.
        remembered: numbers of what was named to an earlier collector, and not to this one.
        told_by: the exporter, at the address where its datagrams come from, whose options hold for it too.
        flows: records so far.
        seen_ns: when it was heard last, ns since 1970.
        reported_ns, interval_ns: of an agent: when it reported last, and how long before that the time before.
    """

    addr: bytes
    domain: int
    name: str = ""
    flow_format: int = 0
    sampling: int = 0
    flow_sampling: int = 0
    flow_sampling_source: int = 0
    interfaces: dict[int, str] = field(default_factory=dict)
    vrfs: dict[int, str] = field(default_factory=dict)
    applications: dict[int, str] = field(default_factory=dict)
    remembered: set[tuple[Named, int]] = field(default_factory=set)
    told_by: Exporter | None = None
    flows: int = 0
    seen_ns: int = 0
    reported_ns: int = 0
    interval_ns: int = 0
    _rate: float = 0.0
    _rate_at_ns: int = 0

    def count(self, flows: int, now_ns: int) -> None:
        """Notes that ``flows`` came."""
        self._rate = self.flows_per_s(now_ns) + flows / RATE_SPAN_S
        self._rate_at_ns = now_ns
        self.flows += flows
        self.seen_ns = now_ns

    def flows_per_s(self, now_ns: int) -> float:
        """Flows a second, levelled over ``RATE_SPAN_S``."""
        return self._rate * math.exp(-max(0, now_ns - self._rate_at_ns) / (RATE_SPAN_S * 1e9))

    def clock_was_set(self, now_ns: int, by_ns: int) -> None:
        """Our clock, now at ``now_ns``, was set forward by ``by_ns``, or back: times keep their distance from now."""
        self.seen_ns, self.reported_ns = (moved(at_ns, now_ns, by_ns) for at_ns in (self.seen_ns, self.reported_ns))
        self._rate_at_ns = moved(self._rate_at_ns, now_ns, by_ns)

    @property
    def sampling_now(self) -> tuple[int, str]:
        """(one of how many packets it observes, 0 when not known; label of ``enums.SAMPLING_SOURCE``)."""
        if self.flow_sampling or self.flow_sampling_source == _DISPUTED:
            return self.flow_sampling, SAMPLING_SOURCE[self.flow_sampling_source]
        return self.sampling, "system" if self.sampling else "unknown"

    def named(self, what: Named, number: int) -> str:
        """The name of an interface, VRF or application, empty when nobody told it."""
        name = self.own(what, number)
        return self.told_by.own(what, number) if not name and self.told_by is not None else name

    def own(self, what: Named, number: int) -> str:
        """The same of what it told itself."""
        return self.names(what).get(number, "")

    def names(self, what: Named) -> dict[int, str]:
        """Number → name of what it named so."""
        return {"interface": self.interfaces, "vrf": self.vrfs, "application": self.applications}[what]

    def learn(self, what: Named, number: int, name: str, *, remembered: bool = False) -> None:
        """Takes in a name; one that was only ``remembered`` never replaces what was told."""
        names = self.names(what)
        if remembered and number in names:
            return
        names[number] = name
        (self.remembered.add if remembered else self.remembered.discard)((what, number))

    @property
    def patience_ns(self) -> int:
        """How long an agent may be silent before that means anything."""
        return max(int(AGENT_SILENT_S * 1e9), 3 * self.interval_ns)

    def has_agent(self, now_ns: int) -> bool:
        """Whether this is an agent of ours that still reports."""
        return bool(self.reported_ns) and now_ns - self.reported_ns <= self.patience_ns


def moved(at_ns: int, now_ns: int, by_ns: int) -> int:
    """A time by a clock that was set since, by the clock as it is; 0 (never), and what is of the new clock already, stay."""
    return at_ns + by_ns if at_ns and abs(now_ns - at_ns) > abs(by_ns) // 2 else at_ns
