# SPDX-License-Identifier: Apache-2.0
"""What goes on between namespaces, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowgauge.query.crossing import Crossing, crossing, words
from flowgauge.store.answer import Edge, End, Sampling

REPORT = End("other-team", "stock-report", "Deployment", "app")
POSTGRES, DJANGO = (End("flow-demo", name, "Deployment", "app") for name in ("postgresql", "django"))
DNS = End("openshift-dns", "dns-default", "DaemonSet", "infra")
NODE, OUTSIDE, NAMELESS = End("", "node-a", "Node", "infra"), End("", "EXT:office", "Subnet", ""), End("other-team", "", "", "")


def edge(client: End, server: End, port: int = 5432) -> Edge:
    return Edge(
        client, server, port, 6, "", bytes=1, packets=1, flows=1, bytes_to_server=1, retransmits=0, drop_packets=0,
        rtt_avg_ns=None, sampling=Sampling(unsampled=1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("client", "server", "found"),
    [
        pytest.param(REPORT, POSTGRES, Crossing.APP, id="applications"),
        pytest.param(DJANGO, POSTGRES, Crossing.NONE, id="one namespace"),
        pytest.param(DJANGO, DNS, Crossing.INFRA, id="what all need"),
        pytest.param(DNS, DJANGO, Crossing.INFRA, id="and that asks back"),
        pytest.param(NODE, DJANGO, Crossing.NONE, id="a node"),
        pytest.param(OUTSIDE, DJANGO, Crossing.NONE, id="the outside"),
        pytest.param(NAMELESS, DJANGO, Crossing.NONE, id="no workload"),
    ],
)
def test_between_namespaces_are_workloads_of_two_of_them(client: End, server: End, found: Crossing) -> None:
    assert crossing(edge(client, server)) is found


def test_it_says_who_reaches_what_of_whom_the_largest_first() -> None:
    one = edge(REPORT, POSTGRES)
    assert words([one, edge(DJANGO, DNS), edge(DJANGO, POSTGRES)]) == (
        "1 conversation between namespaces: stock-report (other-team) → postgresql:5432 (flow-demo)"
    )
    assert words([one, edge(REPORT, DJANGO, 8080), one, one]) == (
        "4 conversations between namespaces: stock-report (other-team) → postgresql:5432 (flow-demo), "
        "stock-report (other-team) → django:8080 (flow-demo) and 2 more"
    )
    assert words([replace(one, server=REPORT)]) == ""
