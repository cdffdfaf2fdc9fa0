# SPDX-License-Identifier: Apache-2.0
"""Whatever the cluster and the way: each packet that any agent saw is counted exactly once.

The model walks a packet from end to end and notes what the agent of each node on the way would report; it knows nothing of
the rules. Nodes on the way may give the packet their own address as source (SNAT), which only nodes with an agent do here:
behind a translator without one nobody can tell the packet from another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_kit import column, decoded, directory
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.runtime.ledger import Ledger

NODES = ("node-a", "node-b", "node-c", "node-d", "node-e")
OUTSIDE = ""


@dataclass(frozen=True)
class Way:
    """A packet's way: the node of each end (empty: outside), the nodes between, and those of them that translate the source."""

    src: str
    dst: str
    between: tuple[str, ...]
    translators: frozenset[str]

    @property
    def nodes(self) -> list[str]:
        """The nodes it passes, in order."""
        if self.src and self.src == self.dst:
            return [self.src]
        return [node for node in (self.src, *self.between, self.dst) if node]


@dataclass(frozen=True)
class Seen:
    """What one agent reports of the packet."""

    domain: int
    local_ends: str
    src_addr: str
    src_node: str
    dst_node: str
    post_nat_src_addr: str


@st.composite
def ways(draw: st.DrawFn, agents: frozenset[str]) -> Way:
    src, dst = draw(st.sampled_from((*NODES, OUTSIDE))), draw(st.sampled_from((*NODES, OUTSIDE)))
    free = [node for node in NODES if node not in (src, dst)]
    between = draw(st.lists(st.sampled_from(free), unique=True, max_size=3)) if not src or src != dst else []
    passed = [node for node in between if node in agents] + ([src] if src else [])
    return Way(src, dst, tuple(between), frozenset(draw(st.lists(st.sampled_from(passed), unique=True)) if passed else []))


def reports(way: Way, agents: frozenset[str], number: int) -> list[Seen]:
    """What the agents on the way would say."""
    addr, node = (f"10.{NODES.index(way.src)}.1.{number}" if way.src else f"203.0.113.{number}"), way.src
    found = []
    for place in way.nodes:
        local = {(True, True): "both", (True, False): "src", (False, True): "dst", (False, False): "none"}
        ends = local[place == node, place == way.dst]
        translated = f"192.168.0.{NODES.index(place) + 1}" if place in way.translators else ""
        if place in agents:
            found.append(Seen(NODES.index(place) + 1, ends, addr, node, way.dst, translated or "::"))
        if translated:
            addr, node = translated, place
    return found


def batch_of(found: list[Seen], number: int) -> FlowBatch:
    rows = len(found)
    batch = decoded(
        rows,
        domain=[one.domain for one in found],
        exporter=[f"192.0.2.{one.domain}" for one in found],
        local_ends=[one.local_ends for one in found],
        src_addr=[one.src_addr for one in found],
        dst_addr=f"198.51.100.{number}",
        post_nat_src_addr=[one.post_nat_src_addr for one in found],
    )
    return batch.with_columns({
        "src_node": column("src_node", [one.src_node for one in found], rows),
        "dst_node": column("dst_node", [one.dst_node for one in found], rows),
    })  # fmt: skip


def heard(agents: frozenset[str]) -> ExporterDirectory:
    """Domains and addresses are those of the node's place in ``NODES``."""
    known = directory([])
    for node in agents:
        known.know_agents([node], 1)
    return known


@st.composite
def clusters(draw: st.DrawFn) -> tuple[frozenset[str], list[Way]]:
    agents = frozenset(draw(st.lists(st.sampled_from(NODES), unique=True)))
    return agents, draw(st.lists(ways(agents), min_size=1, max_size=20))


@settings(max_examples=300)
@given(clusters())
def test_each_packet_is_counted_once_if_any_agent_saw_it(cluster: tuple[frozenset[str], list[Way]]) -> None:
    agents, drawn = cluster
    stage = Dedup(heard(agents), "Mark", Ledger("collector", "x@1"))
    seen = [reports(way, agents, number) for number, way in enumerate(drawn)]
    rows = [batch_of(found, number) for number, found in enumerate(seen) if found]
    if not rows:
        return
    marks = stage(FlowBatch.concat(rows)).array("duplicate_of")
    packet = np.repeat(np.arange(len(seen)), [len(found) for found in seen])
    counted = np.bincount(packet[marks == 0], minlength=len(seen))
    assert counted.tolist() == [1 if found else 0 for found in seen]


@settings(max_examples=100)
@given(clusters(), st.randoms(use_true_random=False))
def test_observations_that_come_one_by_one_in_any_order_are_judged_alike(
    cluster: tuple[frozenset[str], list[Way]], random: object
) -> None:
    """Stateless but for transit between foreign ends, which is right once the way is known."""
    agents, drawn = cluster
    stage = Dedup(heard(agents), "Mark", Ledger("collector", "x@1"))
    seen = [(number, one) for number, way in enumerate(drawn) for one in reports(way, agents, number)]
    for number, one in seen:
        stage(batch_of([one], number))
    random.shuffle(seen)  # type: ignore[attr-defined]
    counted = [number for number, one in seen if stage(batch_of([one], number)).array("duplicate_of")[0] == 0]
    assert sorted(counted) == sorted({number for number, _ in seen})
