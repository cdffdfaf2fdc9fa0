# SPDX-License-Identifier: Apache-2.0
"""The directory of exporters: bounded, names made safe, agents that fall silent, flows counted for each."""

from __future__ import annotations

import pytest

from collector_kit import SECOND_NS, decoded, directory, options, report
from flowgauge.flow.addresses import packed
from flowgauge.pipeline import exporters
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.options import MAX_NAME_LENGTH

NOW = 1_800_000_000_000_000_000


def test_flows_are_counted_for_each_exporter_and_domain() -> None:
    known = ExporterDirectory()
    batch = decoded(6, exporter=["192.0.2.1"] * 3 + ["192.0.2.2"] * 3, domain=[1, 1, 2, 1, 1, 1], flow_format="ipfix")
    rows = known.count(batch, NOW)
    assert rows.codes.tolist() == [0, 0, 1, 2, 2, 2]
    assert [(e.addr[-1], e.domain, e.flows, e.seen_ns) for e in known.snapshot()] == [
        (1, 1, 2, NOW), (1, 2, 1, NOW), (2, 1, 3, NOW),
    ]  # fmt: skip
    known.count(batch, NOW + SECOND_NS)
    assert [e.flows for e in known.snapshot()] == [4, 2, 6]


def test_the_rate_levels_off_and_dies_away() -> None:
    known = ExporterDirectory()
    for second in range(60):
        known.count(decoded(100), NOW + second * SECOND_NS)
    (exporter,) = known.snapshot()
    assert exporter.flows_per_s(NOW + 59 * SECOND_NS) == pytest.approx(100, rel=0.1)
    assert exporter.flows_per_s(NOW + 200 * SECOND_NS) < 0.01


def test_an_agent_that_falls_silent_is_gone_after_a_minute_or_three_of_its_intervals() -> None:
    known = directory(["node-a"], NOW)
    assert known.agents().names == {"node-a"}
    known.count(decoded(exporter="203.0.113.9"), NOW + 60 * SECOND_NS)
    assert known.agents().names == {"node-a"}
    known.count(decoded(exporter="203.0.113.9"), NOW + 61 * SECOND_NS)
    assert known.agents().names == frozenset()
    known.learn([options(report("node-a"), received_ns=NOW + 100 * SECOND_NS)])
    known.count(decoded(exporter="203.0.113.9"), NOW + 399 * SECOND_NS)
    assert known.agents().names == {"node-a"}


def test_agents_of_before_a_restart_count_until_they_must_have_spoken() -> None:
    known = ExporterDirectory()
    known.know_agents(["node-a", "node-b"], NOW)
    assert known.agents().names == {"node-a", "node-b"}
    known.count(decoded(), NOW + 61 * SECOND_NS)
    assert known.agents().names == frozenset()


def test_addresses_of_agents_are_known_but_for_loopback() -> None:
    known = directory(["node-a"], NOW)
    known.learn([options(report("node-b"), exporter="127.0.0.1", received_ns=NOW),
                 options(report("node-c"), exporter="::1", received_ns=NOW)])  # fmt: skip
    assert known.agents().addresses == {packed("192.0.2.1")}
    assert known.agents().names == {"node-a", "node-b", "node-c"}


def test_netflow9_names_an_interface_by_its_scope() -> None:
    known = ExporterDirectory()
    known.learn([options({"scopeInterface": 7, "interfaceName": "Ethernet7"})])
    assert known.snapshot()[0].interfaces == {7: "Ethernet7"}


def test_names_from_the_network_are_cut_and_cleaned() -> None:
    known = ExporterDirectory()
    known.learn([options({"ingressInterface": 3, "interfaceName": "eth0\x00\x1b[31m"},
                         {"observationDomainName": "x" * 5000})])  # fmt: skip
    (exporter,) = known.snapshot()
    assert exporter.interfaces == {3: "eth0[31m"}
    assert exporter.name == "x" * MAX_NAME_LENGTH


def test_what_strangers_make_us_remember_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporters, "MAX_EXPORTERS", 20)
    monkeypatch.setattr(exporters, "MAX_NAMES", 30)
    known = ExporterDirectory()
    for domain in range(100):
        named = [{"ingressInterface": index, "interfaceName": f"if{index}"} for index in range(1, 5)]
        known.learn([options(*named, domain=domain, received_ns=NOW + domain)])
        assert len(known.snapshot()) <= 20
        assert sum(len(exporter.interfaces) for exporter in known.snapshot()) <= 30
    assert {exporter.domain for exporter in known.snapshot()} >= set(range(90, 100))
    assert any(exporter.interfaces for exporter in known.snapshot())


def test_what_our_own_agent_sends_is_understood() -> None:
    """The agent's messages through the decoder: who it is, its counters under its own instance, names of its devices."""
    from flowgauge.agent.messages import Messages
    from flowgauge.agent.settings import AgentSettings
    from flowgauge.config.model import Exporter
    from flowgauge.wire.datagrams import Datagrams
    from flowgauge.wire.decoder import Decoder

    messages = Messages(AgentSettings(node="node-a"), clock=lambda: NOW)
    sent = [
        *messages.templates(),
        *messages.options({"kernel_packets_seen": 7, "eviction_flows": 3}, {2: "eth0", 9: "veth9"}, Exporter(sampling=100)),
    ]
    decoded_ = Decoder().decode(Datagrams.from_payloads([message.payload for message in sent], "192.0.2.1", received_ns=NOW))
    known = ExporterDirectory()
    (told,) = known.learn(decoded_.options)
    assert told.instance == f"node-a@{NOW // 1_000_000}"
    assert {"kernel_packets_seen": 7, "eviction_flows": 3}.items() <= told.counters.items()
    (exporter,) = known.snapshot()
    assert (exporter.name, exporter.sampling, exporter.interfaces) == ("node-a", 100, {2: "eth0", 9: "veth9"})
    assert known.agents().names == {"node-a"}
