# SPDX-License-Identifier: Apache-2.0
"""Errors of ICMP that flows tell of against those that pods' kernels received, and those that the path probe was told.

An error goes to whoever sent the packet that it is about: of a pod's flows the pod's own node saw every error that reached the
pod. A row has the commonest error and the number of all; two different ones of one flow in one interval do not happen here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.report.tenants import has_text, is_address
from flowgauge.demo.scene.counters import IcmpErrors
from flowgauge.flow.batch import FlowBatch

UNREACHABLE = "ICMP errors to pods: unreachable"
EXCEEDED = "ICMP errors to pods: time exceeded"
PROBED = "ICMP errors to the path probe, by kind"
_EXCEEDED = frozenset({"ttl exceeded", "reassembly time exceeded"})
_OTHER_TYPES = frozenset({"parameter problem"})


@dataclass(frozen=True, slots=True)
class IcmpTruth:
    """What is known without flows.

    Attributes:
        nodes: address of each pod that there was → its node.
        received: by their kernels, before agents ended and after that: what they told of lies between the two.
        probe: address of the path probe, and since when it probed.
        probed: kind of error, as flows call it → how many the probe's socket was told.
    """

    nodes: Mapping[str, str]
    received: tuple[IcmpErrors, IcmpErrors]
    probe: tuple[str, int]
    probed: Mapping[str, int]


@dataclass(slots=True)
class IcmpErrorsTold:
    """Reads batches; ``scores`` afterwards."""

    truth: IcmpTruth
    _told: Counter[str] = field(default_factory=Counter)
    _of_probe: Counter[str] = field(default_factory=Counter)

    def add(self, batch: FlowBatch) -> None:
        """Takes the errors of what pods sent, as their own nodes saw them."""
        errors = batch.take(batch.array("icmp_error_packets") > 0)
        probe, from_ms = self.truth.probe
        for address, node in self.truth.nodes.items():
            mine = errors.take(is_address(errors.array("src_addr"), address) & has_text(errors, "node_reporter", node))
            self._told += _by_kind(mine)
            if address == probe:
                self._of_probe += _by_kind(mine.take(mine.array("time_end_ms") >= from_ms))

    def scores(self) -> list[Score]:
        """By type, and by kind of those that the act made."""
        exceeded = sum(count for kind, count in self._told.items() if kind in _EXCEEDED)
        unreachable = sum(count for kind, count in self._told.items() if kind not in _EXCEEDED | _OTHER_TYPES)
        before, after = self.truth.received
        by = "of the pods' namespaces"
        return [
            _between(UNREACHABLE, unreachable, before.unreachable, after.unreachable, f"IcmpMsgInType3 {by}"),
            _between(EXCEEDED, exceeded, before.exceeded, after.exceeded, f"IcmpMsgInType11 {by}"),
            self._probed(),
        ]

    def _probed(self) -> Score:
        told, truth = self._of_probe, self.truth.probed
        wrong = sum(abs(told[kind] - truth.get(kind, 0)) for kind in {*told, *truth})
        kinds = ", ".join(f"{count} {kind}" for kind, count in truth.items())
        return judged(PROBED, told.total(), sum(truth.values()), wrong, 0, source=f"its socket's error queue: {kinds}")


def _between(name: str, measured: int, least: int, most: int, source: str) -> Score:
    return judged(name, measured, most, max(least - measured, measured - most, 0), 0, source=source)


def _by_kind(rows: FlowBatch) -> Counter[str]:
    names, packets = rows.names("icmp_error"), rows.array("icmp_error_packets").astype(np.int64)
    sums = np.bincount(names.codes, weights=packets, minlength=len(names.values)).astype(np.int64).tolist()
    return Counter({kind: count for kind, count in zip(names.values, sums, strict=True) if count})
