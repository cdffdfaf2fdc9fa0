# SPDX-License-Identifier: Apache-2.0
"""MAC addresses of flows are compared with those of the pods that had the flows' source at their time."""

from __future__ import annotations

import numpy as np
import pytest

from flowgauge.demo.report.macs import SENT_BY, MacsOfPods
from flowgauge.demo.report.score import Score
from flowgauge.demo.truth import Tenure
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names

WEB, OTHER = "10.244.1.2", "10.244.2.2"
FIRST, SECOND, GATEWAY = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:99"
S = 10**9
PODS = [
    Tenure(WEB, "Pod", "shop", "web-1", "web", "Deployment", 0, 100 * S, node="n1", mac=FIRST),
    Tenure(WEB, "Pod", "jobs", "import-1", "import", "Deployment", 101 * S, node="n1", mac=SECOND),
]


def score(*rows: tuple[str, str, int, str], packets: int = 4) -> list[Score]:
    """Of rows with source, node, end in s, and source MAC."""
    judge = MacsOfPods(PODS)
    sources, nodes, ends, macs = zip(*rows, strict=True)
    judge.add(FlowBatch({
        "src_addr": from_texts(sources),
        "node_reporter": Names.from_strings(nodes),
        "time_end_ms": np.array(ends, np.int64) * 1000,
        "packets": np.full(len(rows), packets, np.uint64),
        "src_mac": np.array([list(bytes.fromhex(mac.replace(":", ""))) for mac in macs], np.uint8),
    }))  # fmt: skip
    return judge.scores()


def test_each_holder_of_an_address_has_its_own() -> None:
    (one,) = score((WEB, "n1", 50, FIRST), (WEB, "n1", 150, SECOND), (WEB, "n2", 50, GATEWAY), (OTHER, "n1", 50, GATEWAY))
    assert (one.name, one.measured, one.truth, one.held) == (SENT_BY, 2, 2, True)


@pytest.mark.parametrize("wrong", [(WEB, "n1", 150, FIRST), (WEB, "n1", 50, GATEWAY), (WEB, "n1", 50, "00:00:00:00:00:00")])
def test_another_one_is_wrong(wrong: tuple[str, str, int, str]) -> None:
    (one,) = score((WEB, "n1", 50, FIRST), wrong)
    assert (one.measured, one.truth, one.error, one.held) == (1, 2, 1, False)


def test_where_nothing_was_sent_nothing_is_judged() -> None:
    assert score((WEB, "n1", 50, FIRST), packets=0) == []
    assert score((WEB, "n1", 100, GATEWAY), (OTHER, "n1", 50, FIRST)) == []
