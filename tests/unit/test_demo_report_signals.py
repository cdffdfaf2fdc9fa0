# SPDX-License-Identifier: Apache-2.0
"""Signals are scored against logs and the kernel's counters: what agrees is held, what does not is not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pytest

from flowgauge.config.model import Feature
from flowgauge.demo.acts.payments import Handshakes
from flowgauge.demo.fault import drop_log
from flowgauge.demo.report.connections import OPENED
from flowgauge.demo.report.icmp_errors import IcmpTruth
from flowgauge.demo.report.score import Score
from flowgauge.demo.report.signals import Signals, Truth
from flowgauge.demo.scene.counters import Connections, IcmpErrors
from flowgauge.demo.scene.faults import Dropped
from flowgauge.demo.scene.sockets import RoundTrip, parsed
from flowgauge.demo.truth import Tenure
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names

WEB, DATABASE, DNS = "10.244.1.2", "10.244.2.2", "10.244.3.2"
CONNECTION = (WEB, 50_000, DATABASE, 5432)
MEAN, SMALLEST = "round trips to PostgreSQL, ms", "smallest round trip to PostgreSQL, ms"


def _batch() -> FlowBatch:
    """A query of 401 ms sent again once, its answer with 3 such segments (seen twice), 5 packets dropped by a rule, a question.

    The first row, of the 2 s before 12 s, has round trips: 20 ms at least, 22 ms in the mean; the last but one is an event of
    the same socket. The last is what another demo's database sent again, of which no packet passed our links.
    """
    return FlowBatch({
        "src_addr": from_texts([WEB, DATABASE, DATABASE, WEB, WEB, WEB, DATABASE]),
        "dst_addr": from_texts([DATABASE, WEB, WEB, DATABASE, DNS, DATABASE, WEB]),
        "src_port": np.array([50_000, 5432, 5432, 50_001, 50_002, 50_000, 5432], np.uint16),
        "dst_port": np.array([5432, 40_000, 40_000, 5432, 53, 5432, 40_009], np.uint16),
        "time_end_ms": np.full(7, 12_000, np.int64),
        "duration_ms": np.array([2_000, 2_000, 2_000, 2_000, 2_000, 1_500, 2_000], np.uint32),
        "packets": np.array([9, 9, 9, 9, 1, 0, 0], np.uint64),
        "rtt_avg_us": np.array([22_000, 0, 0, 0, 0, 1_000, 0], np.uint32),
        "rtt_min_us": np.array([20_000, 0, 0, 0, 0, 1_000, 0], np.uint32),
        "server_time_max_us": np.array([401_000, 0, 0, 0, 0, 0, 0], np.uint32),
        "retransmits": np.array([1, 3, 3, 0, 0, 1, 40], np.uint32),
        "duplicate_of": np.array([0, 0, 1, 1, 0, 5, 0], np.uint8),
        "drop_packets": np.array([0, 0, 0, 5, 0, 0, 0], np.uint64),
        "drop_cause": Names.from_strings(["", "", "", "NETFILTER_DROP", "", "", ""]),
        "dns_name": Names.from_strings(["", "", "", "", "postgresql.flow-demo.svc", "", ""]),
    })  # fmt: skip


def _scores(folder: Path, *, duration_ms: float = 400.6, repeated: int = 3, dropped: int = 5,
            name: str = "postgresql.flow-demo.svc", readings: Sequence[RoundTrip] = (),
            features: Collection[Feature] = (Feature.RTT, Feature.DNS)) -> dict[str, Score]:  # fmt: skip
    database_log, dns_log = folder / "postgresql.log", folder / "dns.log"
    database_log.write_text(f"LOG:  duration: {duration_ms} ms  statement: SELECT pg_sleep(0.4)\n")
    dns_log.write_text(f"dnsmasq: query[A] {name} from {WEB}\ndnsmasq: config {name} is {DATABASE}\n")
    truth = Truth(
        features=features, database=DATABASE, database_log=database_log, repeated=repeated,
        tenures=[Tenure(address, "Pod", "", "", "", "", 0) for address in (WEB, DATABASE, DNS)], pods_repeated=repeated + 1,
        connections=Connections(), within=0, handshakes=Handshakes([], []), translated=[], readings=readings,
        dns_logs=[dns_log],
        dropped={DATABASE: Dropped(dropped, 60)} if dropped else {},
        icmp=IcmpTruth({}, (IcmpErrors(), IcmpErrors()), (WEB, 0), {}), tunnelled=None,
    )  # fmt: skip
    signals = Signals(truth)
    signals.add(_batch())
    return {score.name: score for score in signals.scores()}


def _shown(smoothed_ms: float, smallest_ms: float, *, at_ms: int = 11_000, port: int = 50_000) -> RoundTrip:
    return RoundTrip((WEB, port, DATABASE, 5432), at_ms, smoothed_ms, smallest_ms)


def test_signals_that_agree_with_their_truth_are_held(tmp_path: Path) -> None:
    scores = _scores(tmp_path, readings=[_shown(21.5, 19.0), *[_shown(23.0, 19.0)] * 3, _shown(90.0, 19.0)])
    assert {name: (score.measured, score.truth) for name, score in scores.items()} == {
        "segments sent again by pods": (4, 4),
        "segments sent again by PostgreSQL": (3, 3),
        "slowest query of PostgreSQL, ms": (401.0, 400.6),
        "names asked of DNS": (1, 1),
        "packets dropped by rules": (5, 5),
        MEAN: (22.0, 23.0),
        SMALLEST: (20.0, 19.0),
    }
    assert all(score.held for score in scores.values())


def test_signals_that_do_not_agree_are_not_held(tmp_path: Path) -> None:
    scores = _scores(tmp_path, duration_ms=900, repeated=30, dropped=20, name="another.svc", readings=[_shown(25.0, 24.0)] * 5)
    assert len(scores) == 7
    assert not any(score.held for score in scores.values()), scores
    assert scores["packets dropped by rules"].error == pytest.approx(15)
    assert scores[MEAN].error == pytest.approx(3)
    assert scores[SMALLEST].error == pytest.approx(4)


def test_the_smallest_round_trip_is_none_that_the_kernel_saw_before_flows_did(tmp_path: Path) -> None:
    """Smoothed times of 10 ms, where flows have no smaller one than 20 ms: they have missed some."""
    scores = _scores(tmp_path, readings=[_shown(10.0, 9.0), *[_shown(22.0, 9.0)] * 4])
    assert scores[MEAN].held
    assert (scores[SMALLEST].held, scores[SMALLEST].error) == (False, 10.0)
    assert SMALLEST not in _scores(tmp_path, readings=[_shown(10.0, 9.0)]), "what it had later is not known"


def test_a_reading_between_two_rows_belongs_to_the_one_before(tmp_path: Path) -> None:
    """Nothing came since, so that the kernel's smoothed time is still that; before the first row nothing is compared."""
    scores = _scores(tmp_path, readings=[_shown(500.0, 19.0, at_ms=9_000), _shown(22.0, 19.0, at_ms=60_000)])
    assert (scores[MEAN].truth, scores[MEAN].error) == (22.0, 0.0)


def test_round_trips_of_which_flows_have_nothing_are_not_held(tmp_path: Path) -> None:
    score = _scores(tmp_path, readings=[_shown(22.0, 19.0, port=60_000)])[MEAN]
    assert (score.held, score.measured, score.truth) == (False, 0, 22.0)
    assert MEAN not in _scores(tmp_path), "without a reading there is no truth"


def test_what_ss_prints_is_read_and_what_has_no_time_yet_left_out() -> None:
    text = (
        '0      0      10.244.1.2:50000 10.244.2.2:5432 users:(("python",pid=77,fd=12),("sh",pid=78,fd=12)) '
        "bbr wscale:10,10 rto:204 rtt:1.443/1.311 ato:40 mss:1448 "
        "bbr:(bw:170352408bps,mrtt:0.068,pacing_gain:2.9) lastsnd:92 rcv_rtt:8 rcv_space:57076 minrtt:0.068 snd_wnd:65536\n"
        "0      0      10.244.1.2:50001 10.244.2.2:5432 cubic wscale:10,10 rto:1000 mss:1448\n"
    )
    assert list(parsed(text, 7)) == [RoundTrip(CONNECTION, 7, 1.443, 0.068, ((77, "python"), (78, "sh")))]


def test_where_nothing_was_dropped_there_is_no_score_of_drops(tmp_path: Path) -> None:
    assert "packets dropped by rules" not in _scores(tmp_path, dropped=0)


def test_what_several_faults_dropped_on_the_way_to_an_address_is_summed(tmp_path: Path) -> None:
    assert drop_log.read(tmp_path) == {}
    for packets in (3, 4):
        drop_log.append(tmp_path, DATABASE, Dropped(packets, packets * 60, packets - 1, packets * 60 - 60))
    assert drop_log.read(tmp_path) == {DATABASE: Dropped(7, 420, 5, 300)}


def test_features_that_are_switched_off_are_not_scored(tmp_path: Path) -> None:
    readings = [_shown(21.5, 19.0)]
    on, off = _scores(tmp_path, readings=readings), _scores(tmp_path, readings=readings, features=[Feature.SOCKETS])
    assert (MEAN in on, OPENED in on) == (True, False)
    assert (MEAN in off, OPENED in off) == (False, True)
