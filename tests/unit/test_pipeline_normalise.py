# SPDX-License-Identifier: Apache-2.0
"""Normalise: units, plausible times, names and sampling from what exporters told; late flows are kept out and counted."""

from __future__ import annotations

import time

import numpy as np
import pytest

from collector_kit import SECOND_NS, decoded, directory, labels, options, report
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.interfaces import EGRESS, distinct_rows
from flowgauge.pipeline.late import DropLate
from flowgauge.pipeline.normalise import Normalise
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema.columns import BY_PHYSICAL

NOW = 1_800_000_000_123_456_789


def test_times_become_milliseconds_and_the_start_a_duration() -> None:
    batch = decoded(received_ns=NOW, time_end_ns=NOW - 1, time_start_ns=NOW - 1 - 2_500_000_000)
    kept = Normalise(ExporterDirectory())(batch)
    assert kept.array("time_end_ms").tolist() == [1_800_000_000_123]
    assert kept.array("duration_ms").tolist() == [2500]
    assert kept.array("duration_ms").dtype == np.uint32
    assert labels(kept, "time_source") == ["flow"]


def test_every_column_it_gives_is_physical_but_the_receive_time_for_the_next_stage() -> None:
    batch = decoded(2, rtt_avg_ns=5000, observed_ifs=[[1, 0, 0, 0]] * 2, template_id=300)
    kept = Normalise(ExporterDirectory())(batch)
    assert {name for name in kept if name not in BY_PHYSICAL} == set()
    assert "time_received_ns" in kept
    assert not {"time_start_ns", "time_end_ns", "observed_ifs", "template_id", "rtt_avg_ns"} & set(kept)


@pytest.mark.parametrize(
    ("end_ns", "start_ns", "source", "end_ms", "duration_ms"),
    [
        (NOW + 59 * SECOND_NS, NOW + 58 * SECOND_NS, "flow", (NOW + 59 * SECOND_NS) // 1_000_000, 1000),
        (NOW + 61 * SECOND_NS, NOW + 60 * SECOND_NS, "received", NOW // 1_000_000, 1000),
        (0, 0, "received", NOW // 1_000_000, 0),
        (5 * SECOND_NS, 3 * SECOND_NS, "received", NOW // 1_000_000, 2000),
        (-1, -1, "received", NOW // 1_000_000, 0),
        (2**63 - 1, 1, "received", NOW // 1_000_000, 0),
        (NOW - 3 * 3600 * SECOND_NS, 0, "flow", (NOW - 3 * 3600 * SECOND_NS) // 1_000_000, 0),
        (NOW, NOW + 5, "flow", NOW // 1_000_000, 0),
        (NOW, NOW - 2 * 86_400 * SECOND_NS, "flow", NOW // 1_000_000, 0),
    ],
)
def test_clocks_that_cannot_be_right_give_way_to_the_receive_time(
    end_ns: int, start_ns: int, source: str, end_ms: int, duration_ms: int
) -> None:
    """Trap 89."""
    kept = Normalise(ExporterDirectory())(decoded(received_ns=NOW, time_end_ns=end_ns, time_start_ns=start_ns))
    assert labels(kept, "time_source") == [source]
    assert kept.array("time_end_ms").tolist() == [end_ms]
    assert kept.array("duration_ms").tolist() == [duration_ms]


def test_latencies_become_microseconds_and_a_measured_one_never_absent() -> None:
    kept = Normalise(ExporterDirectory())(decoded(4, rtt_avg_ns=[0, 1, 1_500_000, 4_000_000_000]))
    assert kept.array("rtt_avg_us").tolist() == [0, 1, 1500, 4_000_000]
    assert kept.array("rtt_avg_us").dtype == np.uint32


def test_interfaces_and_reporters_are_named_by_each_exporter_for_itself() -> None:
    known = directory(["node-a", "node-b"])
    known.learn([options({"ingressInterface": 2, "interfaceName": "eth0"}, {"ingressInterface": 7, "interfaceName": "veth,7"}),
                 options({"ingressInterface": 2, "interfaceName": b"ens3"}, exporter="192.0.2.2", domain=2)])  # fmt: skip
    batch = decoded(
        4,
        exporter=["192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.9"],
        domain=[1, 2, 2, 9],
        in_if=[2, 2, 0, 2],
        out_if=[7, 7, 2, 0],
        observed_ifs=[[2, 7 | EGRESS, 0, 0], [2, 9, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]],
    )  # fmt: skip
    kept = Normalise(known)(batch)
    assert kept.names("in_if_name").to_list() == ["eth0", "ens3", "", ""]
    assert kept.names("out_if_name").to_list() == ["veth,7", "", "ens3", ""]
    assert kept.names("observed_if_names").to_list() == ["eth0,veth_7", "ens3,9", "", "2"]
    assert kept.names("observed_if_dirs").to_list() == ["0,1", "0,0", "", "0"]
    assert kept.names("node_reporter").to_list() == ["node-a", "node-b", "node-b", ""]


def test_sampling_comes_from_the_record_else_from_the_exporters_options() -> None:
    known = ExporterDirectory()
    known.learn(
        [options({"samplingInterval": 100}), options({"samplingPacketInterval": 1, "samplingPacketSpace": 49}, domain=2)]
    )
    batch = decoded(
        4, domain=[1, 1, 2, 3], sampling_rate=[10, 0, 0, 0], flow_format=["agent", "ipfix", "ipfix", "ipfix"]
    )  # fmt: skip
    kept = Normalise(known)(batch)
    assert kept.array("sampling_rate").tolist() == [10, 100, 50, 0]
    assert labels(kept, "sampling_source") == ["agent", "system", "system", "unknown"]
    assert labels(Normalise(known)(decoded(sampling_rate=7, flow_format="ipfix")), "sampling_source") == ["record"]


def test_an_empty_batch_passes() -> None:
    assert len(Normalise(ExporterDirectory())(decoded(0))) == 0


def test_rows_are_told_apart_exactly_even_when_hashes_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(1).integers(0, 3, (500, 4)).astype(np.uint32)
    index, inverse = distinct_rows(table)
    assert np.array_equal(table[index][inverse], table)
    assert len(index) == len(np.unique(table, axis=0))
    real = np.unique
    monkeypatch.setattr(np, "unique", lambda array, **more: real(array if more.get("axis") == 0 else array * 0, **more))
    index, inverse = distinct_rows(table)
    assert np.array_equal(table[index][inverse], table)


def test_late_flows_are_counted_and_kept_out() -> None:
    """Trap 90."""
    ledger = Ledger("collector", "x@1")
    now = time.time_ns()
    hour = 3600 * SECOND_NS
    batch = decoded(4, received_ns=now, time_end_ns=[now, now - hour, now - 2 * hour - SECOND_NS, now - 23 * hour])
    normal = Normalise(ExporterDirectory())(batch)
    kept = DropLate(ledger, retention_hours=168)(normal)
    assert len(kept) == 2
    assert "time_received_ns" not in kept
    assert ledger.snapshot() == {"pipeline_late": 2}
    assert len(DropLate(ledger, retention_hours=1)(normal.take(np.array([0, 1])))) == 2
    assert (
        len(DropLate(ledger, retention_hours=1)(Normalise(ExporterDirectory())(decoded(ended_ns=now - hour - SECOND_NS)))) == 0
    )


def test_reports_of_anything_but_agents_are_none() -> None:
    known = ExporterDirectory()
    assert known.learn([options({"observationDomainName": "router", "samplingInterval": 10})]) == []
    assert known.learn([options({**report("node-a"), "observationDomainName": 5})]) == []
    (told,) = known.learn([options(report("node-a", 77, kernel_packets_seen=5, store_rows_written=9))])
    assert (told.instance, dict(told.counters)) == ("node-a@77", {"kernel_packets_seen": 5})
