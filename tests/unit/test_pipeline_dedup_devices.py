# SPDX-License-Identifier: Apache-2.0
"""Devices that count packets twice, by themselves (trap 88) or beside an agent: what is marked and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from collector_kit import SECOND_NS, decoded, labels
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline import dedup_devices
from flowgauge.pipeline.dedup import Dedup, Mode
from flowgauge.pipeline.dedup_devices import METERED_MS, DeviceDedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.normalise import Normalise
from flowgauge.pipeline.recent_flows import RECENT_MS, RecentFlows
from flowgauge.runtime.ledger import Ledger

NOW = 1_800_000_000_000_000_000


def device(rows: int = 1, at_s: float = 0, flow_format: str = "netflow9", **columns: object) -> FlowBatch:
    """Flows as they come to ``dedup``, a second long, that ended ``at_s`` after ``NOW``."""
    ended = NOW + int(at_s * SECOND_NS)
    batch = decoded(rows, received_ns=ended, flow_format=flow_format, **columns)  # type: ignore[arg-type]
    return Normalise(ExporterDirectory())(batch)


def agent(rows: int = 1, at_s: float = 0, **columns: object) -> FlowBatch:
    return device(rows, at_s, "agent", **{"local_ends": "src", "exporter": "198.51.100.1", **columns})


def stage(mode: Mode = "Mark") -> Dedup:
    return Dedup(ExporterDirectory(), mode, Ledger("collector", "x@1"))


def marked(*batches: FlowBatch, by: Dedup | None = None) -> list[str]:
    """The marks of the last batch."""
    dedup = by or stage()
    return [labels(dedup(batch), "duplicate_of") for batch in batches][-1]


COUNTED, TWICE, BESIDE = ["counted"], ["other_direction"], ["router_beside_agent"]
IN = {"flow_direction": "ingress", "in_if": 1, "out_if": 2}
OUT = {"flow_direction": "egress", "in_if": 1, "out_if": 2}


def test_what_went_out_is_marked_where_the_device_counts_what_comes_in() -> None:
    assert marked(device(2, flow_direction=["ingress", "egress"], in_if=1, out_if=2)) == ["counted", "other_direction"]
    assert marked(device(**IN), device(**OUT)) == TWICE
    assert marked(device(**IN), device(**OUT, flow_format="sflow5")) == TWICE


def test_what_came_in_elsewhere_or_is_the_devices_own_is_counted() -> None:
    """The way out may be all that a device meters of a flow."""
    assert marked(device(**IN), device(**{**OUT, "in_if": 3})) == COUNTED
    assert marked(device(**IN), device(**{**OUT, "in_if": 0}, dst_port=9)) == COUNTED


def test_of_two_probes_at_one_address_replies_that_one_calls_egress_are_named_and_all_else_is_counted_twice() -> None:
    """Of softflowd replies are egress, of pmacctd both ways ingress; neither names interfaces. One address is one device."""
    request, reply = {"src_port": 40000, "dst_port": 443}, {"src_port": 443, "dst_port": 40000}
    softflowd = [device(**request, flow_direction="ingress"), device(**reply, flow_direction="egress")]
    pmacctd = [device(**way, flow_direction="ingress") for way in (request, reply)]
    dedup = stage()
    marked(*softflowd, by=dedup)  # from now on what comes in is remembered
    assert [marked(flow, by=dedup) for flow in (*pmacctd, *softflowd)] == [COUNTED, COUNTED, COUNTED, TWICE]


def test_translation_on_the_way_through_does_not_matter() -> None:
    assert marked(device(**IN), device(**OUT, src_addr="203.0.113.7", src_port=1)) == TWICE


def test_each_device_for_itself_whatever_the_line_card() -> None:
    assert marked(device(**IN), device(**OUT, exporter="192.0.2.2")) == COUNTED
    assert marked(device(**IN), device(**OUT, domain=77)) == TWICE


def test_without_a_direction_nothing_is_marked() -> None:
    assert marked(device(**IN), device(in_if=1, out_if=2)) == COUNTED


def test_an_interface_that_is_metered_no_more_is_forgotten() -> None:
    assert marked(device(**IN), device(**OUT, at_s=METERED_MS / 1000 - 1)) == TWICE
    assert marked(device(**IN), device(**OUT, at_s=METERED_MS / 1000 + 1)) == COUNTED


def test_an_egress_flow_without_input_interface_is_found_by_itself() -> None:
    """The first tells that such flows come; from then on what comes in is remembered."""
    unnamed = {"flow_direction": "egress", "out_if": 2}
    dedup = stage()
    marked(device(**unnamed), by=dedup)
    assert marked(device(**IN), device(**unnamed), by=dedup) == TWICE
    assert marked(device(**unnamed, dst_port=9), by=dedup) == COUNTED
    assert marked(device(**unnamed, at_s=60), by=dedup) == COUNTED
    assert marked(device(**unnamed, exporter="192.0.2.2"), by=dedup) == COUNTED


def test_notices_of_dropped_packets_are_no_flows() -> None:
    assert marked(device(**IN), device(**OUT, record_kind="event")) == COUNTED


def test_interfaces_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup_devices, "MAX_INTERFACES", 8)
    dedup = stage()
    for number in range(1, 50):
        marked(device(**{**IN, "in_if": number}), by=dedup)
    assert marked(device(**{**OUT, "in_if": 49}), by=dedup) == TWICE
    assert marked(device(**{**OUT, "in_if": 1}), by=dedup) == COUNTED


def test_a_routers_flow_is_marked_where_an_agent_saw_it_too() -> None:
    dedup = stage()
    marked(device(dst_port=1), by=dedup)  # there is a router
    assert marked(agent(), device(at_s=3), by=dedup) == BESIDE
    assert marked(device(src_port=5432, dst_port=40000, src_addr="10.0.0.2", dst_addr="10.0.0.1"), by=dedup) == COUNTED
    assert marked(device(at_s=60), by=dedup) == COUNTED  # the same ports, a minute later
    assert marked(device(at_s=60, time_start_ns=NOW), by=dedup) == BESIDE  # a long flow


def test_in_one_batch_the_order_does_not_matter() -> None:
    assert marked(FlowBatch.concat([device(), agent()])) == ["router_beside_agent", "counted"]


@pytest.mark.parametrize("ends", [{"dst_addr": "10.9.9.9", "dst_port": 8080}, {"src_addr": "10.9.9.9", "src_port": 33333}])
def test_the_wire_shows_a_translated_flow_as_translated(ends: dict[str, object]) -> None:
    after = {f"post_nat_{name}": value for name, value in ends.items()}
    assert marked(FlowBatch.concat([device(**ends), agent(**after)])) == ["router_beside_agent", "counted"]
    assert marked(FlowBatch.concat([device(), agent(**after)])) == ["router_beside_agent", "counted"]


def test_other_agents_flows_are_neither() -> None:
    assert marked(FlowBatch.concat([agent(), device(flow_format="pbflow")])) == ["counted", "counted"]


def test_where_there_are_no_devices_nothing_is_remembered() -> None:
    counts = Ledger("collector", "x@1")
    devices = DeviceDedup(counts, places=2)
    rows = agent(100, src_port=list(range(100)))
    devices.mark(rows, np.zeros(len(rows), np.uint8))
    assert counts.snapshot() == {}


@pytest.mark.parametrize(("mode", "kept"), [("Mark", 2), ("Drop", 1), ("Off", 2)])
def test_drop_leaves_them_out_and_off_marks_nothing(mode: Mode, kept: int) -> None:
    dedup = stage(mode)
    found = dedup(device(2, flow_direction=["ingress", "egress"], in_if=1, out_if=2))
    assert len(found) == kept
    assert set(labels(found, "duplicate_of")) <= ({"counted", "other_direction"} if mode == "Mark" else {"counted"})


def test_the_memory_forgets_the_older_and_says_how_many() -> None:
    memory, one = RecentFlows(places=64), np.ones(1, np.int64)
    hashes = np.arange(1, 200, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    lost = sum(memory.add(hashes[at : at + 1], one * at, one * at) for at in range(199))
    kept = [bool(memory.seen(hashes[at : at + 1], one * at, one * at)[0]) for at in range(199)]
    assert sum(kept) + lost == 199
    assert sum(kept) <= 64
    assert kept[-1]
    assert memory.add(hashes[:1], one * 10 * RECENT_MS, one * 10 * RECENT_MS) == 0  # what went was over long since


def test_the_memory_keeps_nearly_all_while_half_full() -> None:
    chance = np.random.default_rng(1)
    memory, hashes = RecentFlows(places=1 << 14), chance.integers(1, 1 << 63, 1 << 13).astype(np.uint64)
    times = np.arange(len(hashes), dtype=np.int64)
    lost = sum(memory.add(*(column[at : at + 512] for column in (hashes, times, times))) for at in range(0, 1 << 13, 512))
    kept = memory.seen(hashes, times, times)
    assert lost == np.count_nonzero(~kept) < 0.1 * len(hashes)


def test_observations_of_one_flow_become_one_span() -> None:
    memory, key = RecentFlows(places=64), np.full(2, 77, np.uint64)
    memory.add(key, np.array([50, 10]), np.array([60, 20]))
    probe = np.array([0, 21, 61]), np.array([9, 49, 70])
    assert memory.seen(np.full(3, 77, np.uint64), *probe).tolist() == [False, True, False]
