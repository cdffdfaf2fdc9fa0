# SPDX-License-Identifier: Apache-2.0
"""What is remembered of sFlow agents and their data sources: sequence numbers, who they are, and what is lost of each.

Datagrams are numbered by agent and sub-agent; samples by data source, for flows, counters and discarded packets apart. A gap
in the numbers of datagrams says that the network lost some; one in those of flow samples says how many flows are missing.

State is kept by the sender's address as well as by the agent's, so that nobody can disturb the numbers of an agent by sending
in its name. How sources sample is in ``sampling``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from flowgauge.wire.decoded import StreamReport
from flowgauge.wire.grouping import group
from flowgauge.wire.intake import Intake
from flowgauge.wire.numbering import Items, Numbering, Verdict
from flowgauge.wire.packet_headers_bytes import Index, Numbers
from flowgauge.wire.sflow.accounts import Account, Standing, agent_report
from flowgauge.wire.sflow.headers import Heads
from flowgauge.wire.sflow.places import NumberPlaces, Places
from flowgauge.wire.sflow.samples import COUNTER, DISCARDED, EXPANDED_COUNTER, EXPANDED_FLOW, FLOW, Samples
from flowgauge.wire.sflow.sampling import Pools, SourceSampling

_CLASS = {FLOW: 0, EXPANDED_FLOW: 0, COUNTER: 1, EXPANDED_COUNTER: 1, DISCARDED: 2}
_LOST = ("sequence_gap_records", "sequence_gap_counter_samples", "sequence_gap_discarded_packets")
"""Counter of what is missing, by class of sample."""

_AGENT_SHIFT, _CLASS_SHIFT, _TYPE_SHIFT = 42, 40, 32
_AGENTS = 1 << 21


@dataclass(frozen=True, slots=True)
class _Agent:
    """Who is at a place: the address of the agent, and where its datagrams come from."""

    addr: bytes
    sender: bytes
    sub_agent: int
    place: int


class Sources:
    """All agents and data sources heard of lately."""

    def __init__(self) -> None:
        self._agents, self._sources = Numbering(), Numbering()
        self._agent_places = Places(self._forget_agents)
        self._source_places = NumberPlaces(self._forget_sources)
        self._agent_id = np.zeros(0, np.int64)
        self._agent_of: dict[int, _Agent] = {}
        self._next_id = 0
        self._pools = Pools()
        self._of_agents, self._of_sources = Account(), Account()
        self._class = np.zeros(0, np.uint8)
        self._forgotten = Counter[str]()

    def observe_datagrams(self, intake: Intake, heads: Heads) -> Index:
        """Judges the datagrams' numbers; for each the identity of its agent, for ``observe_samples``."""
        first, index = _agents_of(intake, heads)
        keys = [_key(intake, heads, row) for row in first.tolist()]
        self._agent_places.begin()
        place = self._agent_places.of(keys)
        self._identify(place, keys)
        slot = place[index]
        heard = slot >= 0
        if heard.any():
            verdict = self._agents.observe(Items.sorted(slot[heard], heads.sequence[heard], heads.uptime_ms[heard]))
            counts = intake.counts
            counts["sequence_late_datagrams"] += verdict.late
            counts["sequence_duplicate_datagrams"] += verdict.duplicates
            counts["sequence_resets"] += verdict.restarts
            counts["sequence_gap_datagrams"] += sum(int(lost.sum()) for _, lost in verdict.lost)
            for owner, lost in verdict.lost:
                self._of_agents.lose(owner, lost)
            self._of_agents.note(slot[heard], intake.origins.received_ns[heads.datagram[heard]])
        return np.where(heard, self._agent_id[slot], -1)

    def observe_samples(self, intake: Intake, heads: Heads, samples: Samples, kind: int, agent: Index) -> None:
        """Judges the numbers of samples of one kind, and keeps the account of how they were taken."""
        words = samples.words
        of_agent = np.maximum(agent, 0) << _AGENT_SHIFT | _CLASS[kind] << _CLASS_SHIFT
        kind_of_source = np.minimum(words["source_type"], np.uint32(0xFF)).astype(np.int64) << _TYPE_SHIFT
        key = of_agent[samples.head] | kind_of_source | words["source_index"]
        slot = self._source_places.of(key)
        heard = slot >= 0
        if agent.min() < 0:
            heard &= agent[samples.head] >= 0
        if not heard.any():
            return
        sequence, clock = words["sequence"], heads.uptime_ms[samples.head]
        whole = bool(heard.all())
        items = Items.sorted(slot, sequence, clock) if whole else Items.sorted(slot[heard], sequence[heard], clock[heard])
        self._class = _filled(self._class, items.owner, _CLASS[kind])
        self._lose(intake.counts, self._sources.observe(items))
        if "drops" in words:
            fields = [words[name] if whole else words[name][heard] for name in ("drops", "pool", "rate") if name in words]
            intake.counts["decode_sampler_drops"] += self._pools.observe(items, *fields)

    def settle(self, now_ns: int, counts: Counter[str]) -> None:
        """Calls lost what has been missing for too long."""
        self._lose_datagrams(counts, self._agents.tick(now_ns))
        self._lose_all(counts, self._sources.tick(now_ns))
        counts.update(self._forgotten)
        self._forgotten.clear()

    def finish(self) -> dict[str, int]:
        """What is missing when receiving ends is lost."""
        counts = Counter[str]()
        self._lose_datagrams(counts, self._agents.finish())
        self._lose_all(counts, self._sources.finish())
        return {name: count for name, count in counts.items() if count}

    def sampling(self) -> tuple[SourceSampling, ...]:
        """How each data source of flow samples samples."""
        return tuple(sampling for _, _, sampling in self._sampling())

    def reports(self) -> Iterator[StreamReport]:
        """How each agent and sub-agent stands."""
        rates: dict[int, list[SourceSampling]] = {}
        lost = Counter[int]()
        for agent, place, sampling in self._sampling():
            rates.setdefault(agent, []).append(sampling)
            lost[agent] += self._of_sources.of(place)[0]
        for number, who in self._agent_of.items():
            lost_datagrams, heard_ns = self._of_agents.of(who.place)
            own = rates.get(number, ())
            standing = Standing(heard_ns, lost[number], lost_datagrams, sum(one.drops for one in own))
            yield agent_report((who.addr, who.sender), who.sub_agent, standing, own)

    def _sampling(self) -> Iterator[tuple[int, int, SourceSampling]]:
        """The agent's identity and the place of each data source of flow samples, and how it samples."""
        for key, place in self._source_places.keys().items():
            number = cast("int", key)
            identity, source_type, index = number >> _AGENT_SHIFT, number >> _TYPE_SHIFT & 0xFF, number & 0xFFFFFFFF
            agent = self._agent_of.get(identity)
            if agent is not None and not number >> _CLASS_SHIFT & 3:
                rates = self._pools.rates(place)
                yield identity, place, SourceSampling(agent.addr, agent.sub_agent, source_type, index, *rates)

    def _identify(self, place: Index, keys: list[tuple[bytes, int]]) -> None:
        """Gives places that have none an identity that no other agent has had before, so that sources are never mixed up."""
        self._agent_id = _filled(self._agent_id, place[:0], 0, size=int(place.max(initial=0)) + 1)
        for row in np.flatnonzero((place >= 0) & (self._agent_id[place] == 0)).tolist():
            self._next_id = self._next_id % (_AGENTS - 1) + 1
            self._agent_id[place[row]] = self._next_id
            both, sub_agent = keys[row]
            self._agent_of[self._next_id] = _Agent(both[16:], both[:16], sub_agent, int(place[row]))

    def _lose(self, counts: Counter[str], verdict: Verdict) -> None:
        for owner, lost in verdict.lost:
            self._of_sources.lose(owner, lost)
            for number, name in enumerate(_LOST):
                counts[name] += int(lost[self._class[owner] == number].sum())

    def _lose_datagrams(self, counts: Counter[str], lost: npt.NDArray[np.int64]) -> None:
        counts["sequence_gap_datagrams"] += int(lost.sum())
        owner = np.flatnonzero(lost)
        self._of_agents.lose(owner, lost[owner])

    def _lose_all(self, counts: Counter[str], lost: npt.NDArray[np.int64]) -> None:
        if lost.any():
            self._class = _filled(self._class, np.zeros(0, np.intp), 0, size=len(lost))
            owner = np.flatnonzero(lost)
            self._lose(counts, Verdict(lost=[(owner, lost[owner])]))

    def _forget_agents(self, places: Index) -> None:
        self._forgotten["sequence_gap_datagrams"] += int(self._agents.forget(places).sum())
        for number in self._agent_id[places].tolist():
            self._agent_of.pop(number, None)
        self._agent_id[places] = 0
        self._of_agents.forget(places)

    def _forget_sources(self, places: Index) -> None:
        self._class = _filled(self._class, places[:0], 0, size=int(places.max()) + 1)
        self._lose(self._forgotten, Verdict(lost=[(places, self._sources.forget(places))]))
        self._pools.forget(places)
        self._of_sources.forget(places)


def _filled(array: Numbers, places: Index, value: int, size: int = 0) -> Numbers:
    """``array``, made at least twice as long where ``size`` or ``places`` need it, with ``value`` at ``places``."""
    size = max(size, int(places.max(initial=-1)) + 1)
    if size > len(array):
        array = np.concatenate([array, np.zeros(max(size, 2 * len(array), 64) - len(array), array.dtype)])
    array[places] = value
    return array


def _agents_of(intake: Intake, heads: Heads) -> tuple[Index, Index]:
    """The first datagram of each (sender, agent, sub-agent), and for each datagram the number of its group."""
    keys = np.empty((len(heads), 5), np.uint64)
    keys[:, :2] = np.ascontiguousarray(intake.origins.source_addr[heads.datagram]).view(np.uint64)
    keys[:, 2:4] = heads.agent.view(np.uint64)
    keys[:, 4] = heads.sub_agent
    return group(keys)


def _key(intake: Intake, heads: Heads, row: int) -> tuple[bytes, int]:
    sender = intake.origins.source_addr[heads.datagram[row]].tobytes()
    return sender + heads.agent[row].tobytes(), int(heads.sub_agent[row])
