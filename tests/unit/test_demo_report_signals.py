# SPDX-License-Identifier: Apache-2.0
"""Signals are scored against logs and the kernel's counters: what agrees is held, what does not is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flowgauge.demo.fault import drop_log
from flowgauge.demo.report.signals import Score, Signals, Truth
from flowgauge.demo.scene.faults import Dropped
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names

WEB, DATABASE, DNS = "10.244.1.2", "10.244.2.2", "10.244.3.2"


def _batch() -> FlowBatch:
    """A query of 401 ms, its answer with 3 segments sent again (seen twice), 5 packets dropped by a rule, a question of DNS."""
    return FlowBatch({
        "src_addr": from_texts([WEB, DATABASE, DATABASE, WEB, WEB]),
        "dst_addr": from_texts([DATABASE, WEB, WEB, DATABASE, DNS]),
        "dst_port": np.array([5432, 40_000, 40_000, 5432, 53], np.uint16),
        "server_time_max_us": np.array([401_000, 0, 0, 0, 0], np.uint32),
        "retransmits": np.array([0, 3, 3, 0, 0], np.uint32),
        "duplicate_of": np.array([0, 0, 1, 1, 0], np.uint8),
        "drop_packets": np.array([0, 0, 0, 5, 0], np.uint64),
        "drop_cause": Names.from_strings(["", "", "", "NETFILTER_DROP", ""]),
        "dns_name": Names.from_strings(["", "", "", "", "postgresql.flow-demo.svc"]),
    })  # fmt: skip


def _scores(folder: Path, *, duration_ms: float, repeated: int, dropped: int, name: str) -> dict[str, Score]:
    database_log, dns_log = folder / "postgresql.log", folder / "dns.log"
    database_log.write_text(f"LOG:  duration: {duration_ms} ms  statement: SELECT pg_sleep(0.4)\n")
    dns_log.write_text(f"dnsmasq: query[A] {name} from {WEB}\ndnsmasq: config {name} is {DATABASE}\n")
    truth = Truth(DATABASE, database_log, repeated, [dns_log], {DATABASE: Dropped(dropped, 60)} if dropped else {})
    signals = Signals(truth)
    signals.add(_batch())
    return {score.name: score for score in signals.scores()}


def test_signals_that_agree_with_their_truth_are_held(tmp_path: Path) -> None:
    scores = _scores(tmp_path, duration_ms=400.6, repeated=3, dropped=5, name="postgresql.flow-demo.svc")
    assert {name: (score.measured, score.truth) for name, score in scores.items()} == {
        "segments sent again by PostgreSQL": (3, 3),
        "slowest query of PostgreSQL, ms": (401.0, 400.6),
        "names asked of DNS": (1, 1),
        "packets dropped by rules": (5, 5),
    }
    assert all(score.held for score in scores.values())


def test_signals_that_do_not_agree_are_not_held(tmp_path: Path) -> None:
    scores = _scores(tmp_path, duration_ms=900, repeated=30, dropped=20, name="another.svc")
    assert not any(score.held for score in scores.values()), scores
    assert scores["packets dropped by rules"].error == pytest.approx(15)


def test_where_nothing_was_dropped_there_is_no_score_of_drops(tmp_path: Path) -> None:
    assert "packets dropped by rules" not in _scores(tmp_path, duration_ms=1, repeated=0, dropped=0, name="a.svc")


def test_what_several_faults_dropped_on_the_way_to_an_address_is_summed(tmp_path: Path) -> None:
    assert drop_log.read(tmp_path) == {}
    for packets in (3, 4):
        drop_log.append(tmp_path, DATABASE, Dropped(packets, packets * 60))
    assert drop_log.read(tmp_path) == {DATABASE: Dropped(7, 420)}
