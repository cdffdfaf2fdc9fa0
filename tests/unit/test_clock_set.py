# SPDX-License-Identifier: Apache-2.0
"""Clocks that are set while everything runs: ours, a collector's, a node's. What goes by distances of time goes on."""

from __future__ import annotations

import time

import numpy as np
import pytest
from test_pipeline_thin import many

from collector_kit import SECOND_NS, options, report
from flowgauge.agent import resolved
from flowgauge.agent.capture_program import monotonic_times
from flowgauge.agent.messages import Messages
from flowgauge.agent.resolved import ResolvedNames
from flowgauge.agent.settings import AgentSettings
from flowgauge.flow.addresses import packed
from flowgauge.pipeline.exporter import RATE_SPAN_S
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.thin import BURST_S, Thin
from flowgauge.runtime.clock import ClockWatch, boot_offset_ns
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema.told import Answer, Kernel
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder

NOW = 1_800_000_000 * SECOND_NS
STEPS_S = [-86_400, -3600, -2, 2, 3600, 86_400]


def test_a_clock_that_is_set_is_noticed_once_and_one_that_is_slewed_never() -> None:
    offset = [NOW]
    watch = ClockWatch(lambda: offset[0])
    for move_ns, told_ns in (
        (0, 0),
        (500_000, 0),
        (-500_000, 0),
        (3600 * SECOND_NS, 3600 * SECOND_NS),
        (0, 0),
        (-2_000_000_000,) * 2,
    ):
        offset[0] += move_ns
        assert watch.moved_ns() == told_ns


def test_this_machines_clocks_stand_still_beside_each_other() -> None:
    watch = ClockWatch()
    time.sleep(0.05)
    assert watch.moved_ns() == 0


@pytest.mark.parametrize("by_s", STEPS_S)
def test_agents_that_reported_just_before_the_clock_was_set_are_there_still_and_dead_ones_are_not(by_s: int) -> None:
    known, by_ns = ExporterDirectory(), by_s * SECOND_NS
    known.learn([options(report("node-a"), exporter="192.0.2.1", received_ns=NOW),
                 options(report("dead"), exporter="192.0.2.9", received_ns=NOW - 300 * SECOND_NS)])  # fmt: skip
    known.know_agents(["node-b"], NOW)
    new_now = NOW + by_ns + SECOND_NS
    if abs(by_s) > 60:  # what comes by the new clock before anybody noticed that it was set
        known.learn([options(report("node-c"), exporter="192.0.2.3", received_ns=new_now)])
    known.clock_was_set(new_now, by_ns)
    assert known.agents().names >= {"node-a", "node-b"}
    assert "dead" not in known.agents().names
    known.learn([options(report("node-d"), exporter="192.0.2.4", received_ns=new_now + 50 * SECOND_NS)])
    assert known.agents().names >= {"node-a", "node-d"}
    known.learn([options(report("node-d"), exporter="192.0.2.4", received_ns=new_now + 70 * SECOND_NS)])
    assert not known.agents().names & {"node-a", "node-b"}


def test_rates_of_exporters_go_on_where_the_clock_was_set_back() -> None:
    known = ExporterDirectory()
    known.count(many(1000, received_ns=NOW), NOW)
    (exporter,) = known.snapshot()
    before = exporter.flows_per_s(NOW)
    known.clock_was_set(NOW - 3600 * SECOND_NS, -3600 * SECOND_NS)
    assert exporter.flows_per_s(NOW - 3600 * SECOND_NS) == pytest.approx(before)
    assert exporter.flows_per_s(NOW + int((RATE_SPAN_S * 10 - 3600) * SECOND_NS)) < before / 1000


@pytest.mark.parametrize("by_s", STEPS_S)
def test_a_rate_limit_goes_on_where_the_clock_was_set(by_s: int) -> None:
    """A sender keeps its flows a second, not those of the time until the clock is where it was."""
    stage, at_ns, kept = Thin(ExporterDirectory(), Ledger("collector", "x@1"), limit_per_s=100), NOW, 0
    for second in range(20):
        if second == 10:
            at_ns += by_s * SECOND_NS
        kept += len(stage(many(400, seed=second, received_ns=at_ns)))
        at_ns += SECOND_NS
    allowed = 100 * (20 + BURST_S)
    assert 0.7 * allowed < kept < 1.3 * allowed + 100 * BURST_S


def test_names_from_dns_stand_by_the_clock_as_it_is_when_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    names, before_ns, at_ns = ResolvedNames(), time.time_ns(), time.monotonic_ns()
    names._take(Answer(packed("10.0.0.1"), packed("192.0.2.1"), "shop.example", at_ns // 1_000_000, 60))
    (told,) = names.due()
    assert before_ns // 1_000_000 - 2000 < told.learned_ms < time.time_ns() // 1_000_000 + 2000
    monkeypatch.setattr(resolved, "boot_offset_ns", lambda: boot_offset_ns() - 3600 * SECOND_NS)
    assert names.due() == []
    names.clock_was_set()
    (again,) = names.due()
    assert abs(told.learned_ms - again.learned_ms - 3_600_000) < 100
    assert names.due() == []


@pytest.mark.parametrize("off_s", [-420, -30, 0, 30, 420])
def test_names_from_dns_of_a_node_whose_clock_is_wrong_are_as_old_as_its_flows(off_s: int) -> None:
    learned: list[Answer] = []
    known = ExporterDirectory(learn_answers=lambda _, answers: learned.extend(answers))
    theirs = NOW + off_s * SECOND_NS
    messages, decoder = Messages(AgentSettings(node="node-a"), clock=lambda: theirs), Decoder()
    answer = Answer(packed("10.0.0.1"), packed("192.0.2.1"), "shop.example", (theirs - 3 * SECOND_NS) // 1_000_000, 60)
    sent = [*messages.templates(), *messages.beside([answer], Kernel())]
    decoder.fresh = True
    known.learn(decoder.decode(Datagrams.from_payloads([one.payload for one in sent], received_ns=NOW)).options)
    expected_ms = NOW // 1_000_000 - 3000 + (off_s * 1000 if abs(off_s) <= 60 else 0)
    assert [one.learned_ms for one in learned] == [expected_ms]


def test_frames_stamped_by_a_clock_that_was_set_meanwhile_came_just_now() -> None:
    """Others are as old as they are: nothing is put in order by a clock that anybody sets."""
    wall = np.array([NOW, NOW - SECOND_NS, NOW - 3600 * SECOND_NS, NOW + 3600 * SECOND_NS, NOW - NOW // 2], np.uint64)
    found = monotonic_times(wall, NOW - 500 * SECOND_NS, 500 * SECOND_NS)
    assert (found // SECOND_NS).tolist() == [500, 499, 500, 500, 500]
    assert found.dtype == np.uint64
