# SPDX-License-Identifier: Apache-2.0
"""From the kernel's structures to the agent's columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowgauge.agent.accounter import account, directions, interfaces
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.agent.rtnetlink import LOCAL, Link, Route
from flowgauge.ebpf.abi import FLOW_KEY, FLOW_VALUE, OBSERVED_EGRESS, TRANSLATION, Structured
from flowgauge.ebpf.ticks import Ticks
from flowgauge.ebpf.translations import join
from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.enums import FLOW_DIRECTION, LOCAL_ENDS

OUT = OBSERVED_EGRESS
WALL = 1_800_000_000_000_000_000
TICK = 4_000_000
TICKS = Ticks(TICK, WALL - 1000 * TICK)


def key(src: str, dst: str, **fields: int) -> Structured:
    row = np.zeros(1, FLOW_KEY)
    row["src_addr"], row["dst_addr"] = addresses.from_texts([src]), addresses.from_texts([dst])
    for name, number in {"proto": 6, "src_port": 40000, "dst_port": 5432, **fields}.items():
        row[name] = number
    return row


def value(**fields: Any) -> Structured:
    row = np.zeros(1, FLOW_VALUE)
    defaults = {"packets": 3, "bytes": 300, "first_tick": 1000, "last_tick": 1005, "observed": (11, OUT | 2, 0, 0)}
    for name, number in {**defaults, **fields}.items():
        row[name] = number
    return row


def node(*pods: str) -> LocalAddresses:
    """A node whose pods have these addresses."""
    local = LocalAddresses(lambda: WALL, lambda: 0)
    local.on_routes([Link(11, "vp", "veth")], [Route(addresses.packed(pod), 128, LOCAL, 255, (11,), ()) for pod in pods])
    return local


def accounted(keys: Structured, values: Structured, local: LocalAddresses | None = None, sampling: int = 1) -> FlowBatch:
    nothing = join(keys, np.zeros(0, FLOW_KEY), np.zeros(0, TRANSLATION))
    return account(keys, values, nothing, local or node(), ticks=TICKS, sampling_rate=np.full(len(keys), sampling, np.uint32))


def test_counts_times_and_key_are_taken_over() -> None:
    row = accounted(key("10.244.1.2", "10.244.2.3"), value(tcp_flags=0x1FF, ip_tos=184, vlan_id=42, bytes=2**40, packets=2**33))
    expected = {
        "time_start_ns": WALL, "time_end_ns": WALL + 5 * TICK, "src_port": 40000, "dst_port": 5432, "proto": 6, "ip_tos": 184,
        "tcp_flags": 0x1FF, "vlan_id": 42, "bytes": 2**40, "packets": 2**33, "sampling_rate": 1,
        "icmp_type": -1, "icmp_code": -1,
    }  # fmt: skip
    assert {name: int(row.array(name)[0]) for name in expected} == expected
    assert addresses.to_text(row.array("src_addr")[0].tobytes()) == "10.244.1.2"
    assert addresses.to_text(row.array("dst_addr")[0].tobytes()) == "10.244.2.3"
    assert row.array("observed_ifs").tolist() == [[11, OUT | 2, 0, 0]]


def test_the_sampling_rate_is_a_column() -> None:
    assert accounted(key("10.0.0.1", "10.0.0.2"), value(), sampling=100).array("sampling_rate").tolist() == [100]


@pytest.mark.parametrize(("proto", "expected"), [(1, (0, 3)), (58, (0, 3)), (6, (-1, -1)), (17, (-1, -1))])
def test_icmp_type_zero_is_a_value_and_only_icmp_has_one(proto: int, expected: tuple[int, int]) -> None:
    row = accounted(key("10.0.0.1", "10.0.0.2", proto=proto, icmp_type=0, icmp_code=3), value())
    assert (row.array("icmp_type")[0], row.array("icmp_code")[0]) == expected


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ((11, OUT | 2, 0, 0), (11, 2)),  # pod to another node
        ((2, OUT | 12, 0, 0), (2, 12)),  # another node to a pod
        ((2, 3, OUT | 3, OUT | 4), (2, 4)),  # over a bridge
        ((OUT | 2, 0, 0, 0), (0, 2)),  # the node's own packets
        ((2, 0, 0, 0), (2, 0)),
        ((OUT | 7, 8, OUT | 9, 0), (8, 9)),
        ((0, 0, 0, 0), (0, 0)),
    ],
)
def test_where_packets_came_in_and_went_out(points: tuple[int, ...], expected: tuple[int, int]) -> None:
    in_if, out_if = interfaces(np.array([points], np.uint32))
    assert (in_if[0], out_if[0]) == expected


@pytest.mark.parametrize(
    ("ends", "first", "expected"),
    [
        ("src", 11, "egress"),
        ("dst", 2, "ingress"),
        ("both", 11, "inner"),
        ("none", 2, "ingress"),
        ("none", OUT | 2, "egress"),
    ],
)
def test_direction_is_the_nodes_view(ends: str, first: int, expected: str) -> None:
    found = directions(np.array([[first, 0, 0, 0]], np.uint32), np.array([LOCAL_ENDS.index(ends)], np.uint8))
    assert FLOW_DIRECTION[found[0]] == expected


def test_a_translated_flow_has_its_backend_and_its_end_is_judged_by_it() -> None:
    keys, values = key("10.244.1.2", "10.96.0.80", dst_port=80), value()
    after = np.zeros(1, TRANSLATION)
    after["src_addr"], after["dst_addr"] = keys["src_addr"], addresses.from_texts(["10.244.1.9"])
    after["src_port"], after["dst_port"] = 40000, 8080
    row = account(
        keys,
        values,
        join(keys, keys, after),
        node("10.244.1.2", "10.244.1.9"),
        ticks=TICKS,
        sampling_rate=np.ones(1, np.uint32),
    )
    assert addresses.to_text(row.array("post_nat_dst_addr")[0].tobytes()) == "10.244.1.9"
    assert row.array("post_nat_dst_port").tolist() == [8080]
    assert addresses.to_text(row.array("post_nat_src_addr")[0].tobytes()) == ""
    assert LOCAL_ENDS[row.array("local_ends")[0]] == "both"
    assert FLOW_DIRECTION[row.array("flow_direction")[0]] == "inner"


def test_rows_stay_in_step() -> None:
    keys = np.concatenate([key("10.244.1.2", "10.244.2.3"), key("2001:db8::1", "2001:db8::2", proto=17)])
    values = np.concatenate([value(bytes=1), value(bytes=2, observed=(2, OUT | 11, 0, 0))])
    batch = accounted(keys, values, node("10.244.1.2", "2001:db8::2"))
    assert batch.array("bytes").tolist() == [1, 2]
    assert [LOCAL_ENDS[end] for end in batch.array("local_ends")] == ["src", "dst"]
    assert batch.array("in_if").tolist() == [11, 2]
    assert batch.array("out_if").tolist() == [2, 11]


def test_an_empty_table_is_an_empty_batch_with_all_columns() -> None:
    batch = accounted(np.zeros(0, FLOW_KEY), np.zeros(0, FLOW_VALUE))
    assert len(batch) == 0
    assert "post_nat_dst_addr" in batch
