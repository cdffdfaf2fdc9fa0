# SPDX-License-Identifier: Apache-2.0
"""Where no flow has a signal, that nothing is said to go wrong means nothing, and is said so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowgauge.query.unseen import WORDS, unseen
from flowgauge.store.answer import Edge, EdgeSignals, End, Latency, Sampling

COUNTED = Edge(
    End("a", "web", "Deployment", "app"), End("a", "db", "Deployment", "app"), 5432, 6, "", bytes=1, packets=20, flows=20,
    bytes_to_server=1, retransmits=0, drop_packets=0, rtt_avg_ns=None, sampling=Sampling(unsampled=1),
)  # fmt: skip


def test_counts_alone_show_no_trouble() -> None:
    assert unseen([COUNTED]) == unseen([replace(COUNTED, flows=10)] * 2) == WORDS


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(replace(COUNTED, rtt_avg_ns=1e5), id="round trips"),
        pytest.param(replace(COUNTED, drop_packets=1), id="drops"),
        pytest.param(replace(COUNTED, signals=EdgeSignals(made=1)), id="the end of a connection"),
        pytest.param(replace(COUNTED, proto=17, signals=EdgeSignals(dns=Latency(1e6))), id="an answer of DNS"),
    ],
)
def test_one_signal_is_enough(seen: Edge) -> None:
    assert unseen([COUNTED, seen]) == ""


def test_few_connections_and_other_protocols_need_have_none() -> None:
    assert unseen([]) == unseen([replace(COUNTED, flows=19)]) == unseen([replace(COUNTED, proto=17)]) == ""
