# SPDX-License-Identifier: Apache-2.0
"""Names against the truth: for both ends of every stored flow, who really had the address when the flow ended.

The far end of a translated flow is the pod behind the service; then the service's own name is checked too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from flowgauge.demo.report.tenants import Mask, at_hand_over, during, has_text, is_address, surely_during
from flowgauge.demo.truth import Tenure, TruthLog
from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch

MAX_EXAMPLES = 5


@dataclass(slots=True)
class Identity:
    """How many ends were checked, how many had a wrong name and how many none though the scene knows one.

    ``reused`` counts, by holder, the checked ends at addresses that had more than one. Ends of flows in the very millisecond of
    such an address's hand-over cannot be judged, since flows have the millisecond; ``at_hand_over`` counts them.
    """

    truth: TruthLog
    checked: int = 0
    wrong: int = 0
    unknown: int = 0
    at_hand_over: int = 0
    reused: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, batch: FlowBatch) -> None:
        """Judges both ends of every row."""
        reused = set(self.truth.reused())
        for tenure in self.truth.tenures():
            in_time = during(batch, tenure)
            for end in ("src", "dst"):
                rows = in_time & _at(batch, end, tenure)
                if tenure.address in reused:
                    sure = surely_during(batch, tenure)
                    self.at_hand_over += int((rows & ~sure & at_hand_over(batch, tenure)).sum())
                    rows &= sure
                if not rows.any():
                    continue
                self._judge(batch.take(rows), end, tenure)
                if tenure.address in reused:
                    self.reused[tenure.name] = self.reused.get(tenure.name, 0) + int(rows.sum())

    def summary(self) -> dict[str, object]:
        """As the report has it."""
        return {
            "checked": self.checked,
            "wrong": self.wrong,
            "unknown": self.unknown,
            "at_hand_over": self.at_hand_over,
            "reused": self.reused,
            "examples": self.examples,
        }

    def _judge(self, batch: FlowBatch, end: str, tenure: Tenure) -> None:
        expected = _expected(end, tenure)
        right = np.logical_and.reduce([has_text(batch, name, text) for name, text in expected.items()])
        silent = np.logical_and.reduce([has_text(batch, name, "") for name in expected])
        self.checked += len(batch)
        self.unknown += int(silent.sum())
        bad = ~right & ~silent
        self.wrong += int(bad.sum())
        for row in np.flatnonzero(~right)[: MAX_EXAMPLES - len(self.examples)]:
            self.examples.append(_example(batch.take(np.array([row])), end, expected, tenure))


def _at(batch: FlowBatch, end: str, tenure: Tenure) -> Mask:
    """Rows whose ``end`` is the holder: for a destination behind a service, by its translated address."""
    own = is_address(batch.array(f"{end}_addr"), tenure.address)
    if end == "src":
        return own
    translated = batch.array("post_nat_dst_addr")
    if tenure.kind == "Service":
        return own
    return np.where(translated.any(axis=1), is_address(translated, tenure.address), own)


def _expected(end: str, tenure: Tenure) -> dict[str, str]:
    """Column → text that a right row has."""
    if tenure.kind == "Subnet":
        return {f"{end}_subnet": tenure.name}
    if tenure.kind == "Service":
        return {f"{end}_service": tenure.name, f"{end}_namespace": tenure.namespace}
    own = {f"{end}_name": tenure.name, f"{end}_kind": tenure.kind, f"{end}_node": tenure.node, f"{end}_zone": tenure.zone}
    if tenure.kind == "Node":
        return own
    workload = {f"{end}_namespace": tenure.namespace, f"{end}_owner": tenure.owner, f"{end}_owner_kind": tenure.owner_kind}
    return own | workload


def _example(row: FlowBatch, end: str, expected: dict[str, str], tenure: Tenure) -> str:
    found = ", ".join(f"{name}={row.names(name).to_list()[0]!r}" for name in expected)
    time_ms = int(row.array("time_end_ms")[0])
    addresses = " → ".join(to_text(row.array(name)[0].tobytes()) for name in ("src_addr", "dst_addr"))
    return f"{addresses} at {time_ms}: {end} is {tenure.kind} {tenure.namespace}/{tenure.name}, stored: {found}"
