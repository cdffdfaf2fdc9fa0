# SPDX-License-Identifier: Apache-2.0
"""Connections to Services: whether all that is counted of one, in both directions and at every node, has one port.

It is the port of the backend, as the nodes' connection tracking has it, also where the Service's is another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.report.tenants import is_address
from flowgauge.demo.scene.translations import Translated
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch

ONE_PORT = "connections to a Service, one port both ways"

_End = tuple[str, int]
_Ends = tuple[int, _End, _End]
"""Protocol, client, server as it is in the row: Service or backend."""


@dataclass(slots=True)
class OnePort:
    """Reads batches; ``scores`` afterwards. ``truth`` is what the nodes' kernels translated after the last connection began."""

    truth: Sequence[Translated]
    _ports: dict[_Ends, set[int]] = field(default_factory=dict)

    def add(self, batch: FlowBatch) -> None:
        """Takes the counted rows from and to Services and their backends."""
        counted = (batch.array("packets") > 0) & (batch.array("duplicate_of") == 0)
        servers = {end[0] for one in self.truth for end in (one.service, one.backend)}
        for client, server in (("src", "dst"), ("dst", "src")):
            rows = counted & np.logical_or.reduce(
                [is_address(batch.array(f"{server}_addr"), address) for address in servers] or [np.zeros(len(batch), np.bool_)]
            )
            for ends, port in _read(batch.take(rows), client, server):
                self._ports.setdefault(ends, set()).add(port)

    def scores(self) -> list[Score]:
        """None when no kernel showed a translated connection."""
        if not self.truth:
            return []
        right = sum(self._of(one) == {one.backend[1]} for one in self.truth)
        wrong = len(self.truth) - right
        return [judged(ONE_PORT, right, len(self.truth), wrong, 0, source="nf_conntrack of the nodes")]

    def _of(self, one: Translated) -> set[int]:
        ways = ((one.proto, one.client, server) for server in (one.service, one.backend))
        return set().union(*(self._ports.get(way, ()) for way in ways))


def _read(rows: FlowBatch, client: str, server: str) -> Iterator[tuple[_Ends, int]]:
    """Each row's ends, and the port at which the server listens by what the row says."""
    protocols, targets = rows.array("proto").tolist(), rows.array("target_port").tolist()
    ends = {end: (rows.array(f"{end}_addr"), rows.array(f"{end}_port").tolist()) for end in (client, server)}
    for at, proto in enumerate(protocols):
        one, other = ((to_text(column[at].tobytes()), ports[at]) for column, ports in (ends[client], ends[server]))
        yield (proto, one, other), targets[at] or other[1]
