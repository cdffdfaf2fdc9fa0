# SPDX-License-Identifier: Apache-2.0
"""What is told of exporters, and the one sentence of advice; and the table that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from flowgauge.cli.exporters import _lines
from flowgauge.collector.exporter_report import exporter_report
from flowgauge.collector.standing import Standing
from flowgauge.flow.addresses import packed
from flowgauge.pipeline.exporter import Exporter
from flowgauge.schema.enums import FLOW_FORMAT, code
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import RateReport, StreamReport
from flowgauge.wire.decoder import Decoder
from legacy_kit import EXPORT_S, datagram1, datagram5, record1, record5
from sflow_kit import datagram, ethernet, flow_sample, ipv4, raw, tcp
from wire_kit import a_set, message, template

NOW = 1_800_000_000_000_000_000
SECOND = 1_000_000_000
FINE = StreamReport(
    exporter_addr=packed("192.0.2.1"), obs_domain_id=7, flow_format=code(FLOW_FORMAT, "netflow9"), source_port=0,
    heard_ns=NOW - SECOND, skew_ns=100_000_000, lost_records=0, lost_datagrams=0, late=0, duplicates=0, resets=0, templates=3,
    options_templates=1, provisional=0, announced_ns=NOW - 60 * SECOND, refresh_ns=1800 * SECOND, waiting_sets=0,
    waiting_since_ns=0, said={},
)  # fmt: skip


def told(report: Mapping[str, Any] | None = None, **exporter: Any) -> dict[str, Any]:
    """The entry of an exporter that sent 10,000 flows just now, at 1 of 10 packets as its records say."""
    given: dict[str, Any] = {
        "flow_format": code(FLOW_FORMAT, "netflow9"),
        "flows": 10_000,
        "seen_ns": NOW - SECOND,
        "flow_sampling": 10,
        "flow_sampling_source": 1,
    }
    reports = [replace(FINE, **report)] if report is not None else []
    return exporter_report(Exporter(packed("192.0.2.1"), 7, **{**given, **exporter}), reports, NOW)


def test_an_exporter_that_does_well_gets_no_advice() -> None:
    found = told({})
    assert found["advice"] == ""
    assert (found["templates"], found["template_refresh_s"], found["clock_skew_ms"], found["lost_records"]) == (4, 1800, 100, 0)
    assert (found["sampling"], found["sampling_source"]) == (10, "record")


def test_protocols_without_templates_do_not_claim_to_know() -> None:
    found = told()
    assert (found["templates"], found["lost_records"], found["clock_skew_ms"]) == (None, None, None)


def test_netflow5_tells_lost_flows_and_its_clock_but_no_templates() -> None:
    """Its numbers count flows (trap 5): the 30 of one datagram are missing."""
    payloads = [datagram5(*[record5()] * 30, sequence=number) for number in (0, 30, 90, *range(120, 3000, 30))]
    decoder = Decoder()
    received_ns = (EXPORT_S + 7) * SECOND
    decoder.decode(Datagrams.from_payloads(payloads, "192.0.2.1", received_ns=received_ns))
    found = exporter_report(Exporter(packed("192.0.2.1"), 0, flows=2970), decoder.reports(), received_ns)
    assert (found["lost_records"], found["templates"], found["template_refresh_s"]) == (30, None, None)
    assert 6000 < found["clock_skew_ms"] <= 7000
    assert found["flow_format"] == "netflow5"


def test_netflow1_has_a_clock_and_no_numbers() -> None:
    decoder = Decoder()
    decoder.decode(Datagrams.from_payloads([datagram1(record1())], "192.0.2.1", received_ns=(EXPORT_S + 7) * SECOND))
    (one,) = decoder.reports()
    assert (one.lost_records, one.lost_datagrams, one.skew_ns is not None) == (None, None, True)


def test_sflow_tells_samples_and_datagrams_lost_by_agent_and_how_it_really_samples() -> None:
    """Traps 72 and 74: the agent, not the sender; rates by data source; samples that it left out itself."""
    sample = raw(ethernet(0x0800, ipv4(6, tcp())))
    payloads = [
        datagram(flow_sample(sample, source=9, sequence=n, rate=1000, pool=2000 * n, drops=n), sequence=n)
        for n in range(1, 300)
        if n not in (5, 6)
    ]
    decoder = Decoder()
    decoder.decode(Datagrams.from_payloads(payloads, "198.51.100.9", received_ns=NOW))
    (one,) = decoder.reports()
    found = exporter_report(Exporter(one.exporter_addr, 0, flows=297), [one], NOW)
    assert (found["lost_datagrams"], found["lost_records"], found["sampler_drops"]) == (2, 2, 298)
    assert (found["rates"], found["effective_sampling"]) == (
        [{"of": "interface 9", "rate": 1000, "source": "record", "effective": 2000.0}], 2000.0,
    )  # fmt: skip
    assert (found["socket_addrs"], found["templates"], found["clock_skew_ms"]) == (["198.51.100.9"], None, None)
    assert found["last_seen_ms"] == NOW // 1_000_000


def test_an_exporter_behind_a_relay_has_the_relays_account() -> None:
    """Trap 65: flows stand under the address that the records give, loss is that of the stream from the relay."""
    template_, records = template(256, [(130, 4), (8, 4), (2, 4)]), bytes((10, 9, 9, 9, 10, 0, 0, 1, 0, 0, 0, 1))
    decoder = Decoder()
    first, second = message(a_set(2, template_), a_set(256, records)), message(a_set(256, records), sequence=41)
    decoder.decode(Datagrams.from_payloads([first, second], "192.0.2.1", received_ns=NOW))
    decoder.finish()
    standing = Standing()
    standing.tell(decoder.reports())
    (one,) = standing.snapshot()[packed("10.9.9.9"), 1]
    found = exporter_report(Exporter(packed("10.9.9.9"), 1, flows=2), [one], NOW)
    assert (found["lost_records"], found["socket_addrs"]) == (40, ["192.0.2.1"])


@pytest.mark.parametrize(
    ("report", "exporter", "words"),
    [
        (
            {"waiting_sets": 5, "waiting_since_ns": NOW - 40 * SECOND},
            {"flows": 0},
            "no template yet for 40 s, and without it flows cannot be read: this exporter sends templates every 30 min",
        ),
        ({"waiting_sets": 5, "waiting_since_ns": NOW - 40 * SECOND, "refresh_ns": 0}, {}, "send them every minute"),
        ({"waiting_sets": 5, "waiting_since_ns": NOW - SECOND}, {}, ""),
        ({"skew_ns": 3600 * SECOND}, {}, "its clock is 60 min behind: its flows are placed by when they came"),
        ({"skew_ns": 3600 * SECOND, "may_wait": True}, {}, "its clock is behind, or what it sends waits on its way, by 60 min"),
        (
            {"skew_ns": -3600 * SECOND, "may_wait": True},
            {},
            "its clock is 60 min ahead: its flows are placed by when they came",
        ),
        ({"skew_ns": 20 * SECOND}, {}, "its clock is 20 s behind: synchronise it (NTP), or its flows stand beside"),
        ({"skew_ns": -300 * SECOND}, {}, "its clock is 5 min ahead"),
        ({"lost_records": 500}, {}, "4.8% of its records were lost"),
        ({"lost_records": 5}, {}, ""),
        ({"lost_datagrams": 12}, {}, "12 of its datagrams were lost"),
        ({"lost_datagrams": 12, "lost_records_estimated": 340}, {}, "12 of its datagrams, with about 340 records, were lost"),
        ({"heard_ns": NOW - 900 * SECOND}, {"seen_ns": NOW - 900 * SECOND}, "nothing came for 15 min"),
        ({"heard_ns": 0}, {"seen_ns": 0}, "known from before the collector was started; nothing came since"),
        ({"sampler_drops": 500}, {}, "it left out 500 samples for lack of resources"),
        ({"rates": (RateReport(1, "interface 7", 1000, 2000.0),)}, {}, "on interface 7 it samples 1 of 2,000 packets"),
        ({"rates": (RateReport(1, "interface 7", 1000, 1100.0),)}, {}, ""),
        ({}, {"flow_sampling": 0}, "does not tell whether it samples"),
        ({}, {"flow_sampling": 0, "sampling": 100}, ""),
        ({}, {"flow_sampling": 0, "flow_sampling_source": 7}, "its other domains tell different sampling rates"),
    ],
)
def test_the_most_important_thing_is_said(report: dict[str, Any], exporter: dict[str, Any], words: str) -> None:
    advice = told(report, **exporter)["advice"]
    assert words in advice
    assert bool(advice) == bool(words)


def test_the_table_shows_each_exporter_and_its_advice_below(capsys: pytest.CaptureFixture[str]) -> None:
    found = [told({}, name="core-1"), told({"lost_records": 500, "skew_ns": 0})]
    title, first, second, advice = _lines(found, NOW // 1_000_000)
    assert title.split()[:4] == ["exporter", "name", "protocol", "domain"]
    assert first.split()[:4] == ["192.0.2.1", "core-1", "netflow9", "7"]
    assert "1:10 (record)" in first
    assert " 500 " in second
    assert "1.0 s ago" in second or "1 s ago" in second
    assert advice.startswith("  4.8% of its records")
    assert _lines([], 0) == ["nobody has sent anything yet"]


def test_an_exporter_of_which_only_datagrams_are_numbered_shows_those_lost() -> None:
    _, line, _ = _lines([told({"lost_records": 0, "lost_datagrams": 12})], NOW // 1_000_000)
    assert " 12 dgram " in line
    _, line, _ = _lines([told({"lost_records": 0, "lost_datagrams": 12, "lost_records_estimated": 340})], NOW // 1_000_000)
    assert " 12 dgram ≈ 340 " in line


def test_details_tell_rates_statistics_and_addresses() -> None:
    found = told(
        {
            "rates": (RateReport(1, "interface 7", 1000, 1990.4), RateReport(2, "selector 1", 10)),
            "said": {"notSentFlowTotalCount": 4321},
            "socket_addr": packed("198.51.100.9"),
            "resets": 2,
        },
        interfaces={7: "eth7"},
    )
    assert found["socket_addrs"] == ["198.51.100.9"]
    details = [line.strip() for line in _lines([found], NOW // 1_000_000, details=True)[3:]]
    assert details == [
        "sends from 198.51.100.9",
        "samples 1:1000 on interface 7, in fact 1:1,990",
        "samples 1:10 on selector 1",
        "2 restarts, 1 interfaces named",
        "says: notSentFlowTotalCount 4,321",
    ]


def test_names_cannot_command_the_terminal() -> None:
    assert "\x1b" not in "".join(_lines([told({}, name="\x1b[2Jowned")], NOW // 1_000_000))
