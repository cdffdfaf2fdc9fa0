# SPDX-License-Identifier: Apache-2.0
"""MAC addresses of flows against those of the pods' devices: what a pod sends is seen first as it leaves that device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flowgauge.demo.report.score import Score, judged
from flowgauge.demo.report.tenants import has_text, is_address, surely_during
from flowgauge.demo.truth import Tenure
from flowgauge.flow.batch import FlowBatch

SENT_BY = "MAC addresses of pods in what they send"


@dataclass(slots=True)
class MacsOfPods:
    """Reads batches; ``scores`` afterwards. ``pods`` are the tenures of all pods that there were."""

    pods: Sequence[Tenure]
    _checked: int = 0
    _right: int = 0

    def add(self, batch: FlowBatch) -> None:
        """Takes what each pod's own node observed of the pod's flows."""
        passed = batch.array("packets") > 0
        for pod in self.pods:
            own = passed & is_address(batch.array("src_addr"), pod.address) & surely_during(batch, pod)
            rows = batch.take(own & has_text(batch, "node_reporter", pod.node))
            wanted = np.frombuffer(bytes.fromhex(pod.mac.replace(":", "")), np.uint8)
            self._checked += len(rows)
            self._right += int((rows.array("src_mac") == wanted).all(axis=1).sum())

    def scores(self) -> list[Score]:
        """None when no pod sent anything."""
        if not self._checked:
            return []
        wrong = self._checked - self._right
        return [judged(SENT_BY, self._right, self._checked, wrong, 0, source="SIOCGIFHWADDR in each pod, by flow")]
