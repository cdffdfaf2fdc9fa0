# SPDX-License-Identifier: Apache-2.0
"""Dedup across nodes by role: of all observations of a packet by agents exactly one is counted, the others are marked.

Each observation is judged by itself (no windows, no matching of slices that begin at different times), from which ends live
on the reporting node (``local_ends``), on which node enrichment places each end, and which nodes have an agent:

1. the source lives here: counted;
2. the source's node has an agent: marked, since that agent counts the packet;
3. the destination lives here: counted;
4. in transit, and the destination's node has an agent: marked, since rule 3 holds there; but counted where the source is
   translated here (SNAT), since by rule 2 that agent takes this node for the source's;
5. in transit between ends without agents: counted by the lowest observation domain of those known to be on the way.

Rule 5 alone needs a memory, of the lowest domain that this collector heard on a path; it is rare (several agents between two
foreign ends). The first slices of a path that is new, or forgotten (``MAX_PATHS``), can be counted twice; when the lowest
domain of a path falls silent (packets go another way now), the next one counts after a minute, or three export intervals.
The nodes that have an agent are those of which this collector hears (:class:`ExporterDirectory`) and, for a minute after its
start, those that the store's ledger named.

What happened to a socket is told beside the flows of its connection: always marked as that, never dropped, no duplicate.

Flows of devices other than our agents have no ``local_ends``: :mod:`flowgauge.pipeline.dedup_devices` has their rules. Before:
``enrich``, which places the ends; after: the live tap and the writer.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup_devices import DeviceDedup
from flowgauge.pipeline.exporters import AgentNodes, ExporterDirectory
from flowgauge.pipeline.tally import Counts
from flowgauge.schema.enums import DUPLICATE_OF, LOCAL_ENDS, code

Mode = Literal["Mark", "Drop", "Off"]
Flags = npt.NDArray[np.bool_]

MAX_PATHS = 65_536
"""Pairs of ends whose transit domains are remembered (about 300 B each); beyond it all are forgotten and learned anew."""

_FAR_END, _TRANSIT = code(DUPLICATE_OF, "far_end"), code(DUPLICATE_OF, "transit")
_EVENT = code(DUPLICATE_OF, "socket_event")
_ASKED = ("src_node", "dst_node", "src_addr", "dst_addr", "post_nat_src_addr", "obs_domain_id", "time_end_ms")
"""Columns that say whether somebody else has counted a flow of an agent."""
_NOT_TOLD, _NONE, _DST = (code(LOCAL_ENDS, label) for label in ("", "none", "dst"))


class Dedup:
    """Sets ``duplicate_of``, or leaves duplicates out, by ``mode``; both may be read and set while it works."""

    def __init__(self, directory: ExporterDirectory, mode: Mode, counts: Counts) -> None:
        self._directory, self._counts = directory, counts
        self._paths, self._devices = TransitPaths(), DeviceDedup(counts)
        self.mode: Mode = mode

    def __call__(self, batch: FlowBatch) -> FlowBatch:
        """The batch with ``duplicate_of``."""
        mode = self.mode
        events = batch.array("socket_event") != 0
        marks = np.zeros(len(batch), np.uint8) if mode == "Off" else self.marks(batch)
        marks[events] = 0
        count = int(np.count_nonzero(marks))
        if mode == "Drop" and count:
            self._counts.add("pipeline_duplicates_dropped", count)
            batch, events, marks = batch.take(marks == 0), events[marks == 0], marks[marks == 0]
        else:
            self._counts.add("pipeline_duplicates_marked", count)
        return batch.with_columns({"duplicate_of": np.where(events, _EVENT, marks).astype(np.uint8)})

    def marks(self, batch: FlowBatch) -> npt.NDArray[np.uint8]:
        """Codes of ``enums.DUPLICATE_OF``; 0 = counted."""
        marks = np.zeros(len(batch), np.uint8)
        self._devices.mark(batch, marks)
        self._mark_agents(batch, marks)
        return marks

    def _mark_agents(self, batch: FlowBatch, marks: npt.NDArray[np.uint8]) -> None:
        """Sets the marks of agents' flows by the rules above."""
        local = batch.array("local_ends")
        open_rows = np.flatnonzero((local == _DST) | (local == _NONE))  # all others are counted
        if not len(open_rows):
            return
        rows, local = batch.only(*_ASKED).take(open_rows), local[open_rows]
        agents = self._directory.agents()
        elsewhere = has_agent(rows, "src", agents)
        passing = ~elsewhere & (local == _NONE)
        to_agent = passing & has_agent(rows, "dst", agents)
        found = np.where(
            elsewhere & (local == _DST), _FAR_END, np.where(elsewhere | (to_agent & ~translated(rows)), _TRANSIT, 0)
        )
        foreign = np.flatnonzero(passing & ~to_agent)
        if len(foreign):
            patience_ms = agents.patience_ns // 1_000_000
            found[foreign] = np.where(self._paths.lowest(rows.take(foreign), patience_ms), 0, _TRANSIT)
        marks[open_rows] = found


def has_agent(rows: FlowBatch, end: Literal["src", "dst"], agents: AgentNodes) -> Flags:
    """Whether an agent observes the node on which an end lives: by the node's name, else by the node's own address."""
    nodes = rows.names(f"{end}_node")
    known = np.fromiter((value in agents.names for value in nodes.values), np.bool_, len(nodes.values))
    found = known[nodes.codes]
    unplaced = np.flatnonzero(nodes.codes == 0)
    if agents.addresses and len(unplaced):
        distinct, inverse = addresses.unique(rows.array(f"{end}_addr")[unplaced])
        found[unplaced] = np.fromiter((bytes(one) in agents.addresses for one in distinct), np.bool_, len(distinct))[inverse]
    return found


def translated(rows: FlowBatch) -> Flags:
    """Whether the reporting node gave the packets another source address."""
    after = addresses.words(rows.array("post_nat_src_addr"))
    before = addresses.words(rows.array("src_addr"))
    flags: Flags = (after != 0).any(axis=1) & (after != before).any(axis=1)
    return flags


class TransitPaths:
    """The lowest observation domain heard between each pair of ends without agents, and when its latest flow ended, in ms."""

    def __init__(self) -> None:
        self._lowest: dict[bytes, tuple[int, int]] = {}

    def lowest(self, rows: FlowBatch, patience_ms: int) -> Flags:
        """Whether each row's domain is the lowest on its path, this batch included, of those not silent for ``patience_ms``."""
        ends = np.concatenate((rows.array("src_addr"), rows.array("dst_addr")), axis=1)
        domains = rows.array("obs_domain_id").tolist()
        keys = [bytes(pair) for pair in ends]
        if len(self._lowest) >= MAX_PATHS:
            self._lowest.clear()
        for key, domain, end_ms in zip(keys, domains, rows.array("time_end_ms").tolist(), strict=True):
            known, heard_ms = self._lowest.get(key, (domain, end_ms))
            if domain < known or end_ms - heard_ms > patience_ms:
                known, heard_ms = domain, end_ms
            if domain == known:
                self._lowest[key] = known, max(heard_ms, end_ms)
        return np.fromiter((self._lowest[key][0] == domain for key, domain in zip(keys, domains, strict=True)), np.bool_)
