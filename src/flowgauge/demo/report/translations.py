# SPDX-License-Identifier: Apache-2.0
"""Translated connections of flows against those of the nodes' connection tracking: pod → service → backend is one conversation.

A row says what its packets were sent to, and where they were sent instead. It is right when that is what the kernel did, and
when no other counted row has the same connection as one with the backend. Ports come back: of rows with the same ends the
last one tells of the connection that the kernel still knows. Packets of a connection before its first answer may be in a row
without translation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.report.tenants import Mask, is_address
from flowgauge.demo.scene.translations import Translated
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch

TRANSLATED = "connections to a Service, each with its backend"
TWICE = "connections to a Service that are counted twice"
_SOURCE = "nf_conntrack of the nodes"

_Ends = tuple[int, tuple[str, int], tuple[str, int]]
"""Protocol, the end that sends, the end that it sends to."""


@dataclass(slots=True)
class Translations:
    """Reads batches; ``scores`` afterwards. ``truth`` is what the nodes' kernels translated after the last connection began."""

    truth: Sequence[Translated]
    _last: dict[tuple[str, _Ends], tuple[int, str]] = field(default_factory=dict)
    _direct: set[_Ends] = field(default_factory=set)

    def add(self, batch: FlowBatch) -> None:
        """Takes the rows of connections to services, and the counted ones to their backends."""
        untranslated = ~batch.array("post_nat_dst_addr").any(axis=1)
        passed = batch.array("packets") > 0
        to_service = batch.take(passed & ~untranslated & _to({one.service[0] for one in self.truth}, batch))
        backends, times = to_service.array("post_nat_dst_addr"), to_service.array("time_end_ms").tolist()
        reporters = to_service.names("node_reporter")
        for at, ends in enumerate(_ends(to_service)):
            key = (reporters.values[int(reporters.codes[at])], ends)
            if self._last.get(key, (0, ""))[0] <= times[at]:
                self._last[key] = (times[at], to_text(backends[at].tobytes()))
        counted = passed & untranslated & (batch.array("duplicate_of") == 0)
        self._direct.update(_ends(batch.take(counted & _to({one.backend[0] for one in self.truth}, batch))))

    def scores(self) -> list[Score]:
        """None when no kernel showed a translated connection."""
        if not self.truth:
            return []
        wrong = sum(self._backend(one) != one.backend[0] for one in self.truth)
        twice = sum((one.proto, one.client, one.backend) in self._direct for one in self.truth)
        right = len(self.truth) - wrong
        return [
            judged(TRANSLATED, right, len(self.truth), wrong, 0, source=_SOURCE),
            judged(TWICE, twice, 0, twice, 0, source=_SOURCE),
        ]

    def _backend(self, one: Translated) -> str:
        return self._last.get((one.node, (one.proto, one.client, one.service)), (0, ""))[1]


def _to(addresses: set[str], batch: FlowBatch) -> Mask:
    found = np.zeros(len(batch), np.bool_)
    for address in addresses:
        found |= is_address(batch.array("dst_addr"), address)
    return found


def _ends(rows: FlowBatch) -> Iterator[_Ends]:
    sources, targets = rows.array("src_addr"), rows.array("dst_addr")
    protocols, source_ports, target_ports = (rows.array(name).tolist() for name in ("proto", "src_port", "dst_port"))
    for at, proto in enumerate(protocols):
        source, target = to_text(sources[at].tobytes()), to_text(targets[at].tobytes())
        yield proto, (source, source_ports[at]), (target, target_ports[at])
