# SPDX-License-Identifier: Apache-2.0
"""The report's score of connections to Services: one port in both directions, or it does not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowgauge.demo.report.one_port import ONE_PORT, OnePort
from flowgauge.demo.report.score import Score
from flowgauge.demo.scene.translations import Translated
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch

SHOP, SERVICE, POD, OTHER = "10.244.1.2", "10.96.0.9", "10.244.2.3", "10.244.2.4"
CONNECTION = Translated("node-a", 6, (SHOP, 50_000), (SERVICE, 443), (POD, 8443))


def flow(src: str, src_port: int, dst: str, dst_port: int, target_port: int = 0, **more: int) -> dict[str, Any]:
    row = {"src_addr": src, "src_port": src_port, "dst_addr": dst, "dst_port": dst_port, "target_port": target_port}
    return row | {"proto": 6, "packets": 5, "duplicate_of": 0} | more


REQUEST, ANSWER = flow(SHOP, 50_000, SERVICE, 443, 8443), flow(POD, 8443, SHOP, 50_000, 8443)


def score(*rows: dict[str, Any], truth: tuple[Translated, ...] = (CONNECTION,)) -> Score:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arrays = {
        name: from_texts(values) if name.endswith("addr") else np.array(values, np.uint16) for name, values in columns.items()
    }
    judge = OnePort(truth)
    judge.add(FlowBatch(arrays))
    (found,) = judge.scores()
    assert found.name == ONE_PORT
    return found


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((REQUEST, ANSWER), id="both numbers in both directions"),
        pytest.param((REQUEST, flow(POD, 8443, SHOP, 50_000)), id="an answer with the pod's port alone"),
        pytest.param((REQUEST, flow(SHOP, 50_000, POD, 8443, duplicate_of=1)), id="what counts elsewhere"),
        pytest.param((REQUEST, flow(SHOP, 50_001, SERVICE, 443)), id="another connection"),
        pytest.param((REQUEST, flow(SHOP, 50_000, SERVICE, 443, packets=0)), id="a row that tells of no packets"),
    ],
)
def test_a_connection_under_one_port_holds(rows: tuple[dict[str, Any], ...]) -> None:
    assert (score(*rows).held, score(*rows).measured) == (True, 1)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((flow(SHOP, 50_000, SERVICE, 443), ANSWER), id="a request of which only the Service's port is known"),
        pytest.param((REQUEST, flow(SERVICE, 443, SHOP, 50_000)), id="an answer of which only the Service's port is known"),
        pytest.param((flow(SHOP, 50_000, SERVICE, 443, 9443), ANSWER), id="another pod's port"),
        pytest.param((flow(OTHER, 50_000, SERVICE, 443, 8443),), id="never seen"),
    ],
)
def test_a_connection_under_two_ports_or_none_does_not_hold(rows: tuple[dict[str, Any], ...]) -> None:
    assert (score(*rows).held, score(*rows).measured) == (False, 0)


def test_without_a_translated_connection_there_is_no_score() -> None:
    judge = OnePort(())
    judge.add(FlowBatch({}, 0))
    assert judge.scores() == []
