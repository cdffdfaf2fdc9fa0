# SPDX-License-Identifier: Apache-2.0
"""Thinning: directions stay together, totals stay unbiased within their error, and the ledger has what was left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from collector_kit import SECOND_NS, decoded, labels, options
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.hashes import flow_hashes
from flowgauge.pipeline import thin as module
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.normalise import Normalise
from flowgauge.pipeline.thin import Thin
from flowgauge.runtime.ledger import Ledger

NOW = 1_800_000_000_000_000_000


def many(rows: int, *, seed: int = 1, received_ns: int = NOW, **more: object) -> FlowBatch:
    """Flows of many connections, with bytes as unequal as they are in networks."""
    random = np.random.default_rng(seed)
    batch = decoded(rows, received_ns=received_ns, sampling_rate=1, **more)
    src, dst = batch.array("src_addr").copy(), batch.array("dst_addr").copy()
    src[:, 13:] = random.integers(0, 256, (rows, 3))
    dst[:, 13:] = random.integers(0, 256, (rows, 3))
    size = (random.pareto(2.5, rows) * 1000 + 60).astype(np.uint64)
    return batch.with_columns({"src_addr": src, "dst_addr": dst, "bytes": size, "packets": size // 100 + 1,
                               "src_port": random.integers(1024, 65536, rows).astype(np.uint16)})  # fmt: skip


def reverse(batch: FlowBatch) -> FlowBatch:
    """The answers."""
    return batch.with_columns({"src_addr": batch["dst_addr"], "dst_addr": batch["src_addr"], "src_port": batch["dst_port"],
                               "dst_port": batch["src_port"]})  # fmt: skip


def total(batch: FlowBatch, measure: str) -> float:
    """As answers scale it."""
    rate = np.maximum(batch.array("sampling_rate"), 1).astype(np.float64)
    values = np.ones(len(batch)) if measure == "flows" else batch.array(measure).astype(np.float64)
    return float((rate * values).sum())


def thinned(batch: FlowBatch, **settings: int) -> tuple[FlowBatch, dict[str, int]]:
    ledger = Ledger("collector", "x@1")
    kept = Thin(ExporterDirectory(), ledger, **settings)(batch)
    return kept, ledger.snapshot()


def test_without_settings_everything_passes_as_it_is() -> None:
    batch = many(100)
    kept, counted = thinned(batch)
    assert kept is batch
    assert counted == {}


@pytest.mark.parametrize("one_of", [2, 10, 64])
@pytest.mark.slow
def test_totals_of_one_in_n_are_unbiased_within_their_error(one_of: int) -> None:
    """Horvitz and Thompson: the variance of a sum scaled by N is N - 1 times the sum of squares; five deviations is never."""
    batch = many(200_000)
    kept, counted = thinned(batch, keep_one_of=one_of)
    assert counted == {"pipeline_thinned": len(batch) - len(kept)}
    assert set(kept.array("sampling_rate").tolist()) == {one_of}
    assert set(labels(kept, "sampling_algorithm")) == {"flow"}
    for measure in ("flows", "bytes", "packets"):
        values = np.ones(len(batch)) if measure == "flows" else batch.array(measure).astype(np.float64)
        deviation = math.sqrt((one_of - 1) * float((values**2).sum()))
        assert abs(total(kept, measure) - float(values.sum())) < 5 * deviation, measure


def test_both_directions_of_a_connection_stay_or_go() -> None:
    batch = many(5000)
    assert np.array_equal(flow_hashes(batch), flow_hashes(reverse(batch)))
    there, back = thinned(batch, keep_one_of=7)[0], thinned(reverse(batch), keep_one_of=7)[0]
    assert 0 < len(there) < 5000
    assert np.array_equal(reverse(back).array("src_addr"), there.array("src_addr"))


def test_hashes_are_uniform_for_neighbouring_addresses_and_ports() -> None:
    """Flows of networks are anything but random: here one client opens ports one by one, to one server."""
    batch = decoded(50_000, src_port=list(range(10_000, 60_000)))
    counts = np.bincount((flow_hashes(batch) >> np.uint64(60)).astype(np.int64), minlength=16)
    expected = 50_000 / 16
    assert float(((counts - expected) ** 2 / expected).sum()) < 45  # chi-squared, 15 degrees: 1 in 10 000
    assert len(np.unique(flow_hashes(batch))) == 50_000


def test_the_rate_multiplies_what_was_observed_and_what_exporters_told() -> None:
    known = ExporterDirectory()
    known.learn([options({"samplingInterval": 100}, domain=1)])
    batch = many(4000).with_columns({
        "sampling_rate": np.tile(np.array([10, 0, 0, 2**31], np.uint32), 1000),
        "obs_domain_id": np.tile(np.array([3, 1, 2, 3], np.uint32), 1000),
        "flow_format": np.tile(np.array([7, 5, 5, 5], np.uint8), 1000),
    })  # fmt: skip
    kept = Thin(known, Ledger("collector", "x@1"), keep_one_of=4)(batch)
    stored = Normalise(known)(kept)
    found = set(zip(stored.array("sampling_rate").tolist(), labels(stored, "sampling_source"), strict=True))
    assert found == {(40, "agent"), (400, "system"), (4, "unknown"), (2**32 - 1, "record")}


def test_an_exporter_above_its_limit_keeps_a_fraction_that_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds: one sends 20 times its limit, the other half of it, from another address and untouched."""
    ledger, limit = Ledger("collector", "x@1"), 500
    stage = Thin(ExporterDirectory(), ledger, limit_per_s=limit)
    kept: list[FlowBatch] = []
    for turn in range(50):
        at = NOW + turn * SECOND_NS // 5
        loud = many(2000, seed=turn, received_ns=at, exporter="192.0.2.1", domain=[turn % 3] * 2000)
        calm = many(50, seed=1000 + turn, received_ns=at, exporter="192.0.2.2")
        kept.append(stage(FlowBatch.concat([loud, calm])))
    flows = FlowBatch.concat(kept)
    is_calm = flows.array("exporter_addr")[:, 15] == 2
    calm, loud = flows.take(is_calm), flows.take(~is_calm)
    assert (len(calm), set(calm.array("sampling_rate").tolist())) == (50 * 50, {1})
    assert len(loud) < limit * (10 + module.BURST_S) * 1.1
    assert ledger.snapshot() == {"pipeline_rate_limited": 100_000 - len(loud)}
    rates = loud.array("sampling_rate").astype(np.float64)
    deviation = math.sqrt(float((rates * (rates - 1)).sum()))  # estimated from what was kept
    assert abs(total(loud, "flows") - 100_000) < 5 * deviation


def test_a_burst_within_the_limit_is_not_touched_and_the_time_of_replays_does_no_harm() -> None:
    stage = Thin(ExporterDirectory(), Ledger("collector", "x@1"), limit_per_s=1000)
    assert len(stage(many(2000))) == 2000
    assert len(stage(many(100, received_ns=NOW - 3600 * SECOND_NS))) <= 100
    assert len(stage(many(1000, received_ns=NOW + SECOND_NS))) == 1000


def test_thinned_flows_are_limited_by_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = many(40_000)
    kept, counted = thinned(batch, keep_one_of=10, limit_per_s=500)
    assert counted["pipeline_thinned"] + counted["pipeline_rate_limited"] + len(kept) == 40_000
    (rate,) = set(kept.array("sampling_rate").tolist())
    assert rate in (40, 50)
    assert abs(total(kept, "flows") - 40_000) < 5 * math.sqrt((rate - 1) * 40_000)


def test_senders_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SENDERS", 5)
    stage = Thin(ExporterDirectory(), Ledger("collector", "x@1"), limit_per_s=10)
    for number in range(50):
        stage(decoded(1, exporter=f"192.0.2.{number}"))
    assert len(stage._buckets) <= 5
