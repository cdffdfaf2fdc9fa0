# SPDX-License-Identifier: Apache-2.0
"""Places the flows of NetObserv's agents: on which node they were seen, and which of their ends live there.

Those agents do not say it. Their address is their node's, so enrichment knows the node's name; an end lives there when
enrichment places it on the same node. With that, dedup's rules for our own agents hold for theirs: a packet that crosses two
nodes counts once. An agent whose address no node has is left as it is, and its flows are counted. After: ``enrich``; before:
``dedup``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flowgauge.flow import addresses
from flowgauge.flow.addresses import AddressColumn
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.schema.enums import FLOW_FORMAT, LOCAL_ENDS, code

ASK_AGAIN_MS = 10_000
"""A node's name is looked up again this often: nodes come, and addresses move."""
MAX_AGENTS = 10_000
"""Agents' addresses remembered; beyond it all are looked up anew."""

_PBFLOW = code(FLOW_FORMAT, "pbflow")
_NEITHER, _SRC, _DST, _BOTH = (code(LOCAL_ENDS, label) for label in ("none", "src", "dst", "both"))
_ENDS = np.array([[_NEITHER, _DST], [_SRC, _BOTH]], np.uint8)
"""By whether the source, and the destination, live on the reporting node."""


class OtherAgents:
    """The stage.

    Args:
        directory: is told which nodes have an agent.
        enrich: puts names on flows; asked for the nodes that have the agents' addresses.
    """

    def __init__(self, directory: ExporterDirectory, enrich: Callable[[FlowBatch], FlowBatch]) -> None:
        self._directory, self._enrich = directory, enrich
        self._nodes: dict[bytes, tuple[str, int]] = {}

    def __call__(self, batch: FlowBatch) -> FlowBatch:
        """The batch with ``local_ends`` and ``node_reporter`` in the rows of such agents."""
        rows = np.flatnonzero(batch.array("flow_format") == _PBFLOW)
        if not len(rows):
            return batch
        theirs = batch.take(rows)
        reporters = self._reporters(theirs)
        known = reporters.codes != 0
        at_home = [(known & _same(reporters, theirs.names(f"{end}_node"))).astype(np.intp) for end in ("src", "dst")]
        local = batch.array("local_ends").copy()
        local[rows] = np.where(known, _ENDS[at_home[0], at_home[1]], local[rows])
        return batch.with_columns(
            {"local_ends": local, "node_reporter": _placed(batch.names("node_reporter"), rows, reporters)}
        )

    def _reporters(self, theirs: FlowBatch) -> Names:
        """The node of each row's agent; empty where nobody has its address."""
        distinct, inverse = addresses.unique(theirs.array("exporter_addr"))
        now_ms = int(theirs.array("time_end_ms").max())
        keys = [bytes(one) for one in distinct]
        old = [at for at, key in enumerate(keys) if abs(now_ms - self._nodes.get(key, ("", -ASK_AGAIN_MS))[1]) >= ASK_AGAIN_MS]
        if old:
            if len(self._nodes) > MAX_AGENTS:
                self._nodes.clear()
            names = self._nodes_of(distinct[old], now_ms)
            self._nodes.update({keys[at]: (name, now_ms) for at, name in zip(old, names, strict=True)})
        found = [self._nodes[key][0] if key in self._nodes else "" for key in keys]
        received_ns = int(theirs.array("time_received_ns").max()) if "time_received_ns" in theirs else now_ms * 1_000_000
        self._directory.know_agents(filter(None, found), received_ns)
        texts = Names.from_strings(found)
        return Names(texts.codes[inverse], texts.values)

    def _nodes_of(self, agents: AddressColumn, now_ms: int) -> list[str]:
        count = len(agents)
        asked = FlowBatch({
            "src_addr": agents, "dst_addr": agents, "time_end_ms": np.full(count, now_ms, np.int64),
            "duration_ms": np.zeros(count, np.uint32),
        })  # fmt: skip
        return self._enrich(asked).names("src_node").to_list()


def _same(one: Names, other: Names) -> np.ndarray:
    """Where two columns have the same text."""
    index = {text: code for code, text in enumerate(one.values)}
    translated = np.fromiter((index.get(text, -1) for text in other.values), np.int64, len(other.values))
    return np.asarray(one.codes == translated[other.codes])


def _placed(column: Names, rows: np.ndarray, texts: Names) -> Names:
    """``column`` with ``texts`` in ``rows``."""
    both = Names.concat([column, texts])
    codes = both.codes[: len(column)].copy()
    codes[rows] = both.codes[len(column) :]
    return Names(codes, both.values)
