# SPDX-License-Identifier: Apache-2.0
"""Connections that were sampled as a whole: the stated error is the spread that repeated draws have, known by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.hashes import flow_hashes
from flowgauge.flow.names import Names
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.thin import Thin
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema.enums import SAMPLING_ALGORITHM, code
from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.store.store import FlowStore
from store_kit import StoreProcess, flows, in_namespace, last, running_store

FLOW, OTHER = code(SAMPLING_ALGORITHM, "flow"), code(SAMPLING_ALGORITHM, "other")
Sizes = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def store(process: StoreProcess) -> Iterator[FlowStore]:
    opened = process.open()
    yield opened
    opened.close()


def records(namespace: str, packets: Sizes, rate: int, *, ports: Sizes, algorithm: int = FLOW) -> FlowBatch:
    """One record for each of ``packets``; records with one port are of one connection."""
    batch = flows(namespace, len(packets), packets=packets.tolist(), bytes=(packets * 500).tolist(), sampling_rate=rate,
                  src_port=ports.tolist(), sampling_algorithm=algorithm)  # fmt: skip
    return batch.with_columns({"src_addr": np.repeat(batch.array("src_addr")[:1], len(batch), axis=0)})


def test_records_of_one_connection_are_one_draw(store: FlowStore) -> None:
    """Ten records of 20 packets of one connection, and ten connections of one such record: 10 times the variance."""
    rate, packets = 4, np.full(10, 20)
    store.write(records("one", packets, rate, ports=np.full(10, 40_000)), "one")
    store.write(records("ten", packets, rate, ports=np.arange(40_000, 40_010)), "ten")
    for namespace, variance in (("one", rate * (rate - 1) * 200**2), ("ten", rate * (rate - 1) * 10 * 20**2)):
        answer = store.query(FlowQuery(last(), in_namespace(namespace), group_by=("src_owner",)))
        for sampling in (answer.groups[0].sampling, answer.total.sampling):
            assert sampling.packets_variance == pytest.approx(variance)
            assert sampling.bytes_variance == pytest.approx(variance * 500**2)
        assert store.edges(FlowQuery(last(), in_namespace(namespace))).edges[0].sampling.packets_variance == pytest.approx(
            variance
        )


def test_both_directions_are_one_draw_in_the_total_and_two_groups_apart(store: FlowStore) -> None:
    there = records("ways", np.array([10, 10]), 3, ports=np.array([40_000, 40_000]))
    mirrored = {f"{a}_{name}": there[f"{b}_{name}"] for a, b in (("src", "dst"), ("dst", "src")) for name in ("addr", "port")}
    back = there.with_columns(mirrored).with_columns({"src_owner": there["dst_owner"]})
    store.write(FlowBatch.concat([there, back]), "ways")
    answer = store.query(FlowQuery(last(), in_namespace("ways"), group_by=("src_owner",)))
    assert [group.sampling.packets_variance for group in answer.groups] == pytest.approx([6 * 20**2] * 2)
    assert answer.total.sampling.packets_variance == pytest.approx(6 * 40**2)


def test_groups_beyond_the_limit_keep_their_variance(store: FlowStore) -> None:
    owners = ("a", "b", "c")
    batch = flows("rest", 6, owners=owners, packets=[9, 5, 1, 9, 5, 1], sampling_rate=2, sampling_algorithm=FLOW)
    store.write(batch, "rest")
    answer = store.query(FlowQuery(last(), in_namespace("rest"), group_by=("src_owner",), order_by="packets", limit=1))
    assert answer.groups[0].sampling.packets_variance == pytest.approx(2 * (81 + 81))
    assert answer.others.sampling.packets_variance == pytest.approx(2 * (25 + 25 + 1 + 1))


def test_packets_drawn_one_by_one_are_as_before_beside_connections_drawn_whole(store: FlowStore) -> None:
    store.write(flows("mixed", 2, packets=50, sampling_rate=10, sampling_algorithm=[0, FLOW]), "mixed")
    total = store.query(FlowQuery(last(), in_namespace("mixed"))).total
    assert total.sampling.packets_variance == pytest.approx(90 * 50 + 90 * 50**2)


Round = Callable[[int], tuple[int, FlowBatch]]
"""Of a number: how many packets there were, and what is stored of them."""
ROUNDS = 200


def coverage(store: FlowStore, name: str, kept: Round) -> float:
    """The share of rounds in which the truth lies in the 95 % interval of what was stored of it."""
    drawn = [kept(turn) for turn in range(ROUNDS)]
    named = [batch.with_columns({"src_namespace": Names.constant(f"{name}{turn}", len(batch))})
             for turn, (_, batch) in enumerate(drawn)]  # fmt: skip
    store.write(FlowBatch.concat(named), name)
    answer = store.query(FlowQuery(last(), group_by=("src_namespace",), limit=10_000))
    found = {group.key["src_namespace"]: group for group in answer.groups}
    covered = 0
    for turn, (truth, _) in enumerate(drawn):
        group = found[f"{name}{turn}"]
        value, error = float(group.values[Measure.PACKETS] or 0), group.error(Measure.PACKETS)
        assert error is not None
        covered += abs(value - truth) <= error * value
    return covered / ROUNDS


def population(turn: int) -> tuple[int, FlowBatch]:
    """400 connections of 1 to 6 records each, of unequal size; how many packets they have."""
    random = np.random.default_rng(turn)
    ports = np.repeat(np.arange(33_000, 33_400), random.integers(1, 7, 400))
    packets = random.integers(1, 400, len(ports))
    return int(packets.sum()), records("drawn", packets, 1, ports=ports, algorithm=0)


@pytest.mark.slow
def test_the_interval_covers_the_truth_of_flows_sampled_by_an_agent(store: FlowStore) -> None:
    """Each connection kept by its own chance, 200 times: of 95 % at least 89 (a chance of 1 in 5,000 to be below)."""
    rate = 4

    def kept(turn: int) -> tuple[int, FlowBatch]:
        truth, batch = population(turn)
        drawn = np.random.default_rng(1000 + turn).random(65_536) < 1 / rate
        chosen = batch.take(drawn[batch.array("src_port")])
        each = {
            "sampling_rate": np.full(len(chosen), rate, np.uint32),
            "sampling_algorithm": np.full(len(chosen), FLOW, np.uint8),
        }
        return truth, chosen.with_columns(each)

    assert coverage(store, "agent", kept) >= 0.89


@pytest.mark.slow
def test_the_interval_covers_the_truth_of_flows_thinned_by_the_collector(store: FlowStore) -> None:
    """Packets at 1 of 5, then connections at 1 of 3 by the collector's own hash; the stated error may only be too large."""

    def kept(turn: int) -> tuple[int, FlowBatch]:
        truth, batch = population(turn)
        random = np.random.default_rng(2000 + turn)
        seen = random.binomial(batch.array("packets").astype(np.int64), 0.2).astype(np.uint64)
        src = batch.array("src_addr").copy()
        src[:, 12:] = random.integers(0, 256, 4)  # other connections in each round, else the hash keeps the same ones
        observed = batch.with_columns({"packets": seen, "src_addr": src, "sampling_rate": np.full(len(batch), 5, np.uint32)})
        thin = Thin(ExporterDirectory(), Ledger("collector", "x@1"), keep_one_of=3)
        decoded = observed.take(seen > 0).with_columns({
            "time_received_ns": np.zeros(int((seen > 0).sum()), np.int64),
        })  # fmt: skip
        stored = thin(decoded)
        assert set(stored.array("sampling_algorithm").tolist()) == {OTHER}
        assert len(np.unique(flow_hashes(stored))) < 400
        return truth, FlowBatch({name: stored[name] for name in stored if name in batch or name == "sampling_algorithm"})

    assert coverage(store, "thinned", kept) >= 0.89


@pytest.mark.slow
def test_a_table_without_the_column_answers_as_before_and_gets_it_at_the_next_start(tmp_path: Path) -> None:
    def variance(process: StoreProcess) -> float:
        return (
            process.open()
            .query(FlowQuery(last(), in_namespace("old"), group_by=("src_owner",)))
            .total.sampling.packets_variance
        )

    batch = flows("old", 2, packets=50, sampling_rate=10)
    with running_store(tmp_path / "store") as process:
        process.sql("DROP VIEW ns_1m_view")
        process.sql("ALTER TABLE flows DROP COLUMN sampling_algorithm")
        assert process.open().write(batch, "old") == 2
        assert variance(process) == pytest.approx(90 * 100)
        assert len(process.open().flows(FlowQuery(last(), columns=("bytes", "sampling_algorithm")))) == 2
        assert math.isfinite(process.open().edges(FlowQuery(last())).edges[0].sampling.bytes_variance)
        process.sql("CREATE MATERIALIZED VIEW ns_1m_view TO ns_1m AS SELECT toStartOfMinute(time_end_ms) AS minute, "
                     "src_namespace, dst_namespace, proto, count() AS flows FROM flows GROUP BY ALL")  # fmt: skip
    with running_store(tmp_path / "store") as process:
        assert variance(process) == pytest.approx(90 * 100)
        assert process.open().flows(FlowQuery(last())).array("sampling_algorithm").tolist() == [0, 0]
        process.open().write(flows("old", 1, packets=50, sampling_rate=10, sampling_algorithm=FLOW), "new")
        assert variance(process) == pytest.approx(90 * 100 + 90 * 50**2)
