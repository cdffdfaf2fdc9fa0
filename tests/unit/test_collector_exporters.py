# SPDX-License-Identifier: Apache-2.0
"""What is told of exporters, and the one sentence of advice; and the table that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from flowgauge.cli.exporters import _lines
from flowgauge.collector.exporter_report import exporter_report
from flowgauge.flow.addresses import packed
from flowgauge.pipeline.exporters import Exporter
from flowgauge.schema.enums import FLOW_FORMAT, code
from flowgauge.wire.decoded import StreamReport

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
    given = {"flow_format": code(FLOW_FORMAT, "netflow9"), "flows": 10_000, "seen_ns": NOW - SECOND, "record_sampling": 10}
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
        ({"skew_ns": 3600 * SECOND}, {}, "its clock is 60 min behind"),
        ({"skew_ns": -300 * SECOND}, {}, "its clock is 5 min ahead"),
        ({"lost_records": 500}, {}, "4.8% of its records were lost"),
        ({"lost_records": 5}, {}, ""),
        ({"lost_datagrams": 12}, {}, "12 of its datagrams were lost"),
        ({"heard_ns": NOW - 900 * SECOND}, {"seen_ns": NOW - 900 * SECOND}, "nothing came for 15 min"),
        ({}, {"record_sampling": 0}, "does not tell whether it samples"),
        ({}, {"record_sampling": 0, "sampling": 100}, ""),
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


def test_names_cannot_command_the_terminal() -> None:
    assert "\x1b" not in "".join(_lines([told({}, name="\x1b[2Jowned")], NOW // 1_000_000))
