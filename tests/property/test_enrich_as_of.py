# SPDX-License-Identifier: Apache-2.0
"""Whoever the index says had an address is who an oracle finds that looks at every millisecond of a flow by itself.

The oracle reads the history of events from its beginning for each flow, knows nothing of stretches, and is slow.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from enrich_kit import NOON_MS, Cluster, Flow, texts
from flowgauge.enrich.as_of import EARLY_MS, LINGER_MS
from flowgauge.k8s.changes import Change, ChangeKind
from flowgauge.k8s.objects import Meta, Pod

ADDRESSES = ("10.0.0.1", "10.0.0.2", "fd00::1")
PODS = ("red", "green", "blue", "black")
Answer = tuple[str, str]
"""Name and confidence."""


@dataclass(frozen=True)
class Event:
    """At ``at`` ms after noon, the API tells that a pod (of its ``life``) has these addresses; none and ``gone``: deleted."""

    at: int
    pod: str
    life: int
    addresses: tuple[str, ...]
    gone: bool
    started: int

    def change(self) -> Change:
        """As the index gets it."""
        kind = ChangeKind.DELETED if self.gone else ChangeKind.MODIFIED
        meta = Meta("Pod", "shop", self.pod, f"{self.pod}-{self.life}")
        return Change(kind, NOON_MS + self.at, Pod(meta, self.addresses, started_ms=NOON_MS + self.started))


# Milliseconds matter at a handover, minutes for what lingers: a time is a few of each.
times = st.builds(lambda ms, minutes: ms + minutes * 40_000, st.integers(0, 300), st.integers(0, 4))
steps = st.tuples(
    times,
    st.sampled_from(PODS),
    st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True),
    st.sampled_from(["tell", "tell", "tell", "delete", "replace"]),
    st.integers(0, 2500),
)
flows = st.builds(
    lambda address, start, length: Flow(address, "192.0.2.1", start=start, end=start + length),
    st.sampled_from(ADDRESSES),
    times,
    st.integers(0, 120),
)


def history(found: list[tuple[int, str, list[str], str, int]]) -> list[Event]:
    """Random steps as events in the order of time; a pod that was deleted and told again is another one."""
    lives: dict[str, int] = {}
    events: list[Event] = []
    known: dict[tuple[str, int], int] = {}
    for at, pod, addresses, what, age in sorted(found, key=lambda step: step[0]):
        if what == "replace":
            lives[pod] = lives.get(pod, 0) + 1
        life = lives.get(pod, 0)
        started = known.setdefault((pod, life), at - age)
        events.append(Event(at, pod, life, tuple(addresses), what == "delete", started))
        if what == "delete":
            lives[pod] = life + 1
    return events


@dataclass
class Claim:
    """A pod's hold on the address of a flow, as the oracle understands the events."""

    name: str
    possible: int
    since: int
    until: int
    told: int


def claims(events: list[Event], address: str) -> list[Claim]:
    """Every hold on ``address``."""
    found: list[Claim] = []
    for _, own in itertools.groupby(sorted(events, key=lambda one: (one.pod, one.life)), key=lambda one: (one.pod, one.life)):
        found += _claims_of(list(own), events, address)
    return found


def _claims_of(own: list[Event], events: list[Event], address: str) -> Iterator[Claim]:
    open_claim: Claim | None = None
    last_heard: int | None = None
    for event in own:
        first_possible = (
            last_heard if last_heard is not None else event.started if event.at - event.started >= 1000 else event.at
        )
        if address in event.addresses and not open_claim and (not event.gone or last_heard is None):
            open_claim = Claim(event.pod, first_possible, event.at, 1 << 60, events.index(event))
        if open_claim and (event.gone or address not in event.addresses):
            open_claim.until = event.at + 1
            yield open_claim
            open_claim = None
        last_heard = event.at
    if open_claim:
        later = [one.at for one in events if one.pod == own[0].pod and one.life > own[0].life]
        open_claim.until = min(later) + 1 if later else 1 << 60
        yield open_claim


def holder_at(found: list[Claim], instant: int) -> Answer | None:
    certain = [one for one in found if one.since <= instant < one.until]
    if certain:
        return max(certain, key=lambda one: (one.since, one.possible, one.told)).name, "exact"
    possible = [one for one in found if one.possible <= instant < min(one.since, one.until)]
    return (max(possible, key=lambda one: (one.possible, one.told)).name, "likely") if possible else None


def oracle(events: list[Event], flow: Flow) -> set[Answer]:
    """The answers that are right: several only where two stretches of time are equally good."""
    found = claims(events, flow.src)
    runs = [
        (answer, len(list(run)))
        for answer, run in itertools.groupby(holder_at(found, ms) for ms in range(flow.start, flow.end + 1))
    ]
    held = [(answer, length) for answer, length in runs if answer]
    if held:
        longest = max(length for _, length in held)
        return {next(answer for answer, length in held if length == longest)}
    edges = {edge for one in found for edge in (one.possible, one.since, one.until) if edge < 1 << 60}
    before = [(flow.start - edge, holder_at(found, edge - 1)) for edge in edges if edge <= flow.start]
    after = [(edge - flow.end, holder_at(found, edge)) for edge in edges if edge > flow.end]
    near = [(gap, who) for gap, who in before if who and gap <= LINGER_MS] + [
        (gap, who) for gap, who in after if who and gap <= EARLY_MS
    ]
    if not near:
        return {("", "")}
    return {(who[0], "guess") for gap, who in near if gap == min(near)[0]}


@given(st.lists(steps, max_size=14), st.lists(flows, min_size=1, max_size=8))
@settings(max_examples=150)
def test_the_index_agrees_with_the_oracle(found: list[tuple[int, str, list[str], str, int]], asked: list[Flow]) -> None:
    events = history(found)
    cluster = Cluster()
    for event in events:
        cluster.index.apply(event.change())
    named = cluster.enriched(*asked)
    answers = list(zip(texts(named, "src_name"), texts(named, "src_identity_confidence"), strict=True))
    for flow, answer in zip(asked, answers, strict=True):
        assert answer in oracle(events, flow), (flow, answer)


@given(st.lists(steps, max_size=14), st.lists(flows, min_size=1, max_size=6))
@settings(max_examples=50)
def test_a_flow_is_named_alike_alone_and_in_a_batch(
    found: list[tuple[int, str, list[str], str, int]], asked: list[Flow]
) -> None:
    cluster = Cluster()
    for event in history(found):
        cluster.index.apply(event.change())
    together = texts(cluster.enriched(*asked), "src_name")
    assert together == [texts(cluster.enriched(flow), "src_name")[0] for flow in asked]
