# SPDX-License-Identifier: Apache-2.0
"""Writing to and asking the embedded store: round trip, tokens, groups, series, sampling, ledger."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from flowgauge.errors import DataError, UsageError
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.columns import BY_NAME, stored_columns
from flowgauge.schema.filters.tree import InRange, OneOf
from flowgauge.schema.flow_query import FlowQuery, Measure, Window
from flowgauge.store.store import KERNEL, FlowStore, LedgerRow
from store_kit import StoreProcess, flows, in_namespace, last, now_ms


@pytest.fixture(scope="module")
def store(process: StoreProcess) -> Iterator[FlowStore]:
    opened = process.open()
    yield opened
    opened.close()


def test_flows_come_back_as_they_were_written(store: FlowStore) -> None:
    ended = now_ms()
    batch = flows("round-trip", 5, ended_ms=ended, bytes=[1, 2, 3, 4, 2**63 + 5], src_port=[1, 2, 3, 4, 65535])
    batch = batch.with_columns({"time_end_ms": ended - np.arange(5, dtype=np.int64) * 7})
    assert store.write(batch, "round-trip") == 5
    back = store.flows(FlowQuery(last(), in_namespace("round-trip")))
    assert set(back) == {column.physical for column in stored_columns()}
    for name in batch:
        column = batch[name]
        if isinstance(column, np.ndarray):
            assert np.array_equal(back.array(name), column), name
        else:
            assert back.names(name).to_list() == column.to_list(), name
    assert back.array("icmp_type").tolist() == [-1] * 5


def test_newest_flows_come_first_and_are_limited(store: FlowStore) -> None:
    ended = now_ms()
    batch = flows("newest", 4).with_columns({"time_end_ms": np.array([ended - 3, ended, ended - 9, ended - 1], np.int64)})
    store.write(batch, "newest")
    back = store.flows(FlowQuery(last(), in_namespace("newest"), limit=2, columns=("time_start_ns", "src_addr")))
    assert back.array("time_end_ms").tolist() == [ended, ended - 1]
    assert set(back) == {"time_end_ms", "duration_ms", "src_addr"}


def test_a_repeated_token_adds_nothing_to_table_and_rollup(store: FlowStore, process: StoreProcess) -> None:
    batch = flows("twice", 10)
    assert store.write(batch, "twice") == 10
    assert store.write(batch, "twice") == 10
    assert store.write(batch, "other") == 10
    total = store.query(FlowQuery(last(), in_namespace("twice"))).total
    assert total.values[Measure.FLOWS] == 20
    assert rollup_flows(process, "twice") == 20


def rollup_flows(process: StoreProcess, namespace: str) -> int:
    import urllib.request

    sql = f"SELECT sum(flows) FROM ns_1m WHERE src_namespace = '{namespace}'"  # noqa: S608 - a test's own name
    request = urllib.request.Request(process.url, sql.encode(), {"X-ClickHouse-Key": process.secret})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return int(answer.read())


def test_a_batch_across_hours_is_deduplicated_as_a_whole(store: FlowStore) -> None:
    ended = now_ms() - np.array([0, 3_600_000, 7_200_000], np.int64)
    batch = flows("hours", 3).with_columns({"time_end_ms": ended})
    store.write(batch, "hours")
    store.write(batch, "hours")
    assert store.query(FlowQuery(last(3 * 3600), in_namespace("hours"))).total.values[Measure.FLOWS] == 3


def test_groups_are_the_largest_and_the_rest_is_summed(store: FlowStore) -> None:
    batch = flows("groups", 6, owners=("a", "b", "c"), bytes=[1, 20, 300, 1, 20, 300], rtt_avg_us=[0, 40, 0, 0, 60, 0])
    store.write(batch, "groups")
    measures = (Measure.BYTES, Measure.PACKETS, Measure.FLOWS, Measure.RTT_AVG)
    answer = store.query(
        FlowQuery(last(), in_namespace("groups"), group_by=("src_owner", "dst_port"), limit=2, measures=measures)
    )
    assert [(g.key, g.values[Measure.BYTES]) for g in answer.groups] == [
        ({"src_owner": "c", "dst_port": 5432}, 600),
        ({"src_owner": "b", "dst_port": 5432}, 40),
    ]
    assert answer.groups[1].values[Measure.RTT_AVG] == 50_000
    assert answer.groups[0].values[Measure.RTT_AVG] is None
    assert answer.others.values[Measure.BYTES] == 2
    assert answer.others.values[Measure.FLOWS] == 2
    assert answer.total.values[Measure.BYTES] == 642
    assert answer.group_count == 3


def test_group_keys_read_as_in_the_json_of_a_flow(store: FlowStore) -> None:
    store.write(flows("keys", 1, proto=1, src_port=0, flow_direction=1, icmp_type=8), "keys")
    by = ("src_addr", "dst_addr", "src_port", "flow_direction", "src_name", "icmp_type", "icmp_code", "duration_ns")
    group = store.query(FlowQuery(last(), in_namespace("keys"), group_by=by)).groups[0]
    assert group.key == {
        "src_addr": "10.0.0.1", "dst_addr": "2001:db8::1", "src_port": None, "flow_direction": "ingress", "src_name": None,
        "icmp_type": 8, "icmp_code": None, "duration_ns": 0,
    }  # fmt: skip


def test_ends_without_a_name_are_told_apart_by_their_subnet_and_others_are_not(store: FlowStore) -> None:
    subnets = ("EXT:Internet", "EXT:Office", "Pods", "Pods of another node")
    batch = flows("subnets", 4, owners=("", "", "web", "web"), src_subnet=subnets)
    store.write(batch.with_columns({"sampling_rate": np.array([1, 1, 100, 100], np.uint32)}), "subnets")
    query = FlowQuery(last(), in_namespace("subnets"), group_by=("src_owner",), by_peer=True, step_ms=60_000)
    answer = store.query(query)
    found = {(group.key["src_owner"], group.key["src_subnet"]): group.values[Measure.FLOWS] for group in answer.groups}
    assert found == {(None, "EXT:Internet"): 1, (None, "EXT:Office"): 1, ("web", None): 2}
    assert all(sum(group.series[Measure.FLOWS]) == group.values[Measure.FLOWS] for group in answer.groups)


def test_duplicates_count_only_when_asked(store: FlowStore, process: StoreProcess) -> None:
    store.write(flows("dup", 3, duplicate_of=[0, 1, 2]), "dup")
    assert store.query(FlowQuery(last(), in_namespace("dup"))).total.values[Measure.FLOWS] == 1
    assert store.query(FlowQuery(last(), in_namespace("dup"), duplicates=True)).total.values[Measure.FLOWS] == 3
    assert len(store.flows(FlowQuery(last(), in_namespace("dup")))) == 1
    assert rollup_flows(process, "dup") == 1


def test_an_empty_answer_is_zero(store: FlowStore) -> None:
    nothing = FlowQuery(last(), in_namespace("nobody"), group_by=("src_owner",), step_ms=60_000)
    answer = store.query(nothing)
    assert answer.groups == ()
    assert answer.total.values[Measure.BYTES] == 0
    assert set(answer.others.series[Measure.BYTES]) == {0.0}
    assert len(store.flows(FlowQuery(last(), in_namespace("nobody")))) == 0


def test_a_long_flow_is_spread_over_its_bins(store: FlowStore) -> None:
    """Trap 90. 10 s of 1000 bytes ending in the middle of the fourth 4 s bin: 500 ms, 4 s, 4 s, 1.5 s."""
    start = (now_ms() - 60_000) // 4000 * 4000
    batch = flows("spread", 1, ended_ms=start + 13_500, duration_ms=10_000, bytes=1000, packets=10)
    store.write(batch, "spread")
    window = Window(start, start + 20_000)
    answer = store.query(FlowQuery(window, in_namespace("spread"), group_by=("src_owner",), step_ms=4000))
    series = answer.groups[0].series
    assert series[Measure.BYTES] == pytest.approx([50, 400, 400, 150, 0])
    assert series[Measure.FLOWS] == [0, 0, 0, 1, 0]
    assert answer.times_ms == tuple(range(start, start + 20_000, 4000))
    assert answer.others.series[Measure.BYTES] == [0.0] * 5


def test_a_flow_gives_its_share_to_a_window_that_it_outlives(store: FlowStore) -> None:
    start = (now_ms() - 60_000) // 4000 * 4000
    store.write(flows("outlives", 1, ended_ms=start + 6_000, duration_ms=8_000, bytes=800), "outlives")
    answer = store.query(FlowQuery(Window(start, start + 4000), in_namespace("outlives"), step_ms=2000))
    assert answer.groups[0].series[Measure.BYTES] == pytest.approx([200, 200])
    assert answer.groups[0].series[Measure.FLOWS] == [0, 0]


def test_series_of_groups_beyond_the_limit_are_others(store: FlowStore) -> None:
    start = (now_ms() - 60_000) // 10_000 * 10_000
    batch = flows("series", 6, owners=("a", "b", "c"), ended_ms=start + 1, bytes=[1, 20, 300, 1, 20, 300])
    store.write(batch, "series")
    query = FlowQuery(Window(start, start + 20_000), in_namespace("series"), group_by=("src_owner",), limit=1, step_ms=10_000)
    answer = store.query(query)
    assert answer.groups[0].key == {"src_owner": "c"}
    assert answer.groups[0].series[Measure.BYTES] == [600, 0]
    assert answer.others.series[Measure.BYTES] == [42, 0]
    assert answer.others.values[Measure.BYTES] == 42


def test_sampled_sums_are_scaled_and_state_their_error(store: FlowStore) -> None:
    store.write(flows("sampled", 4, owners=("x", "y"), packets=25, bytes=2500, sampling_rate=[100, 1, 100, 1]), "sampled")
    answer = store.query(FlowQuery(last(), in_namespace("sampled"), group_by=("src_owner",)))
    sampled, exact = answer.groups
    assert sampled.values[Measure.PACKETS] == 5000
    assert sampled.values[Measure.BYTES] == 500_000
    assert sampled.sampling.approx
    assert sampled.error(Measure.PACKETS) == pytest.approx(1.96 * math.sqrt(0.99 / 50))
    assert sampled.error(Measure.BYTES) == pytest.approx(1.96 * math.sqrt(0.99 / 50))
    assert sampled.error(Measure.FLOWS) is None
    assert not exact.sampling.approx
    assert exact.error(Measure.BYTES) == 0
    assert "≈" not in exact.sampling.words()
    assert "estimates" in answer.total.sampling.words()


def test_unknown_sampling_is_said(store: FlowStore) -> None:
    store.write(flows("unknown", 3, sampling_rate=[0, 0, 10]), "unknown")
    sampling = store.query(FlowQuery(last(), in_namespace("unknown"))).total.sampling
    assert sampling.mixed
    assert "2 flows of unknown sampling" in sampling.words()


def test_the_stated_error_holds_on_simulated_sampling() -> None:
    """The 95 % interval of the sum covers the truth in about 95 % of repeated samplings (binomial, at least 90 %)."""
    from flowgauge.store.answer import Sampling

    random = np.random.default_rng(3)
    truth, rate, rounds, covered = 20_000, 50, 400, 0
    for _ in range(rounds):
        seen = int(random.binomial(truth, 1 / rate))
        sampling = Sampling(packets_variance=rate * (rate - 1) * seen, sampled=1)
        error = sampling.error(Measure.PACKETS, seen * rate)
        assert error is not None
        covered += abs(seen * rate - truth) <= error * seen * rate
    assert covered / rounds > 0.9


def test_what_cannot_be_asked_says_why(store: FlowStore) -> None:
    with pytest.raises(UsageError, match="no column 'src_onwer'"):
        store.query(FlowQuery(last(), group_by=("src_onwer",)))
    with pytest.raises(UsageError, match=r"storage\.index\.columns: \[geo\]"):
        store.query(FlowQuery(last(), OneOf(BY_NAME["src_country"], ("ch",))))
    with pytest.raises(UsageError, match="not stored"):
        store.flows(FlowQuery(last(), columns=("conversation_id",)))
    with pytest.raises(UsageError, match="time bins"):
        store.query(FlowQuery(last(3600), step_ms=1))
    with pytest.raises(UsageError, match="ordered by"):
        store.query(FlowQuery(last(), group_by=("proto",), order_by="speed"))


def test_only_normalised_batches_with_a_token_are_stored(store: FlowStore) -> None:
    with pytest.raises(DataError, match="normalised"):
        store.write(FlowBatch({"proto": np.array([6], np.uint8)}), "raw")
    with pytest.raises(DataError, match="token"):
        store.write(flows("t", 1), "it's")
    assert store.write(flows("t", 1).take(np.zeros(0, np.intp)), "empty") == 0


def test_extreme_windows_and_bounds_are_no_errors(store: FlowStore) -> None:
    store.write(flows("extreme", 2, bytes=[5, 2**64 - 1]), "extreme")
    query = FlowQuery(Window(-(2**62), 2**62), in_namespace("extreme"))
    assert store.query(query).total.values[Measure.FLOWS] == 2
    for where in (InRange(BY_NAME["proto"], -5, 2**70), InRange(BY_NAME["bytes"], None, None)):
        assert len(store.flows(FlowQuery(last(), where, limit=10_000))) >= 2
    assert len(store.flows(FlowQuery(last(), InRange(BY_NAME["proto"], 256, None)))) == 0
    assert len(store.flows(FlowQuery(last(), OneOf(BY_NAME["proto"], (-1, 999))))) == 0


IN_DROPPED = "device_in_dropped_packets"


def test_the_ledger_tells_how_counters_moved(store: FlowStore) -> None:
    now = now_ms()
    born, old = f"node-a@{now - 30_000}", f"node-b@{now - 90 * 86_400_000}"
    rows = [
        LedgerRow(now - 20_000, "agent", born, "export_records_sent", 100),
        LedgerRow(now - 5_000, "agent", born, "export_records_sent", 130),
        LedgerRow(now - 20_000, "agent", old, "export_records_sent", 5_000),
        LedgerRow(now - 5_000, "agent", old, "export_records_sent", 5_010),
        LedgerRow(now - 90_000, "collector", f"c@{now - 100_000}", "store_rows_written", 1),
    ]
    store.write_ledger(rows)
    moved = {(c.instance, c.counter): (c.change, c.value) for c in store.ledger(Window(now - 10_000, now + 1))}
    assert moved == {(born, "export_records_sent"): (30, 130), (old, "export_records_sent"): (10, 5_010)}
    changes = {c.instance: c.change for c in store.ledger(Window(now - 60_000, now + 1))}
    assert changes[born] == 130  # started within the window: everything it counted
    assert changes[old] == 10  # started long before: only what it moved since it was first heard


def test_what_an_old_instance_loses_for_the_first_time_is_a_loss(store: FlowStore) -> None:
    """A counter is told of from its first move on: one that is new, of an instance that was heard all along, began at 0."""
    now = now_ms()
    old, silent = f"c@{now - 90 * 86_400_000}", f"d@{now - 90 * 86_400_000}"
    store.write_ledger([
        LedgerRow(now - 20_000, "collector", old, "receive_datagrams", 70),
        LedgerRow(now - 2_000, "collector", old, "sequence_gap_records", 5_000),
        LedgerRow(now - 2_000, "collector", silent, "sequence_gap_records", 5_000),
    ])  # fmt: skip
    for start in (now - 10_000, now - 3_000):
        moved = {(c.instance, c.counter): c.change for c in store.ledger(Window(start, now + 1))}
        assert moved[old, "sequence_gap_records"] == 5_000
        assert moved[silent, "sequence_gap_records"] == 0


def _moved(store: FlowStore, node: str, window: Window) -> tuple[dict[str, int], int]:
    """By how much each counter of a kernel went up, and those of dropped packets in all steps together."""
    steps = [one.moved for one in store.ledger_steps(KERNEL, window, 30_000) if (one.instance, one.name) == (node, IN_DROPPED)]
    return {c.counter: c.change for c in store.ledger(window) if (c.component, c.instance) == (KERNEL, node)}, sum(steps)


def test_what_a_node_drops_first_counts_from_what_it_was_before(store: FlowStore) -> None:
    """The collector writes what the counter was shortly before with the first value, as of the same time."""
    now, node = now_ms(), "node-young"
    store.write_ledger([
        LedgerRow(now - 600_000, KERNEL, node, "conntrack_entries", 3),
        LedgerRow(now - 590_000, KERNEL, node, f"{IN_DROPPED}@eth0", 70_000),
        LedgerRow(now - 2_000, KERNEL, node, f"{IN_DROPPED}@eth1", 20),
        LedgerRow(now - 2_000, KERNEL, node, f"{IN_DROPPED}@eth1", 520),
    ])  # fmt: skip
    for length_ms in (700_000, 60_000):
        moved, in_steps = _moved(store, node, Window(now - length_ms, now + 1))
        assert (moved[f"{IN_DROPPED}@eth1"], in_steps) == (500, 500)
    latest = {c.counter: c.latest for c in store.ledger(Window(now - 60_000, now + 1)) if c.instance == node}
    assert latest == {f"{IN_DROPPED}@eth1": 520}


def test_what_a_node_had_dropped_before_it_was_heard_is_none_of_it_however_late_it_is_told(store: FlowStore) -> None:
    """Words get lost, and an agent that observes more devices than before tells of old drops."""
    now, node, counter = now_ms(), "node-late", f"{IN_DROPPED}@eth0"
    store.write_ledger([
        LedgerRow(now - 3_000_000, KERNEL, node, "conntrack_entries", 3),
        LedgerRow(now - 200_000, KERNEL, node, "conntrack_entries", 3),
        LedgerRow(now - 50_000, KERNEL, node, counter, 70_000),
        LedgerRow(now - 2_000, KERNEL, node, counter, 70_007),
    ])  # fmt: skip
    for length_ms in (300_000, 60_000):
        moved, in_steps = _moved(store, node, Window(now - length_ms, now + 1))
        assert (moved[counter], in_steps) == (7, 7)


def test_the_ledgers_steps_tell_when_counters_moved(store: FlowStore) -> None:
    """Devices together; what moved before the window, and what had moved when it was first told, is none of it."""
    start, step, node = 1_795_000_000_000, 30_000, "node-steps"
    rows = [
        (-20_000, "cpu_dropped_packets", 100), (5_000, "cpu_dropped_packets", 100), (35_000, "cpu_dropped_packets", 130),
        (50_000, "cpu_dropped_packets", 150), (95_000, "cpu_dropped_packets", 4),  # the machine began anew
        (5_000, "device_in_dropped_packets@eth0", 9), (35_000, "device_in_dropped_packets@eth0", 10),
        (95_000, "device_in_dropped_packets@eth1", 2), (95_000, "device_in_dropped_packets@eth1", 7),
        (5_000, "conntrack_entries", 8), (15_000, "conntrack_entries", 3),
        (120_000, "cpu_dropped_packets", 9_000),
    ]  # fmt: skip
    store.write_ledger([LedgerRow(start + at, KERNEL, node, name, value) for at, name, value in rows])
    store.write_ledger([LedgerRow(start + 5_000, "agent", node, "cpu_dropped_packets", 7)])
    found = store.ledger_steps(KERNEL, Window(start, start + 120_000), step)
    moved = {((one.start_ms - start) // step, one.name): one.moved for one in found if one.instance == node}
    assert moved == {
        (0, "cpu_dropped_packets"): 0, (1, "cpu_dropped_packets"): 50, (3, "cpu_dropped_packets"): 4,
        (0, "device_in_dropped_packets"): 0, (1, "device_in_dropped_packets"): 1, (3, "device_in_dropped_packets"): 5,
        (0, "conntrack_entries"): 0,
    }  # fmt: skip
    assert [one.largest for one in found if one.name == "conntrack_entries"] == [8]


def test_status_tells_size_and_age(store: FlowStore) -> None:
    store.write(flows("status", 1), "status")
    status = store.status()
    assert status.embedded
    assert status.rows >= 1
    assert status.disk_bytes > 0
    assert abs(status.newest_ms - now_ms()) < 600_000
    assert status.detached_parts == 0
    assert status.problem == ""
