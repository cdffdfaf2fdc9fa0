# SPDX-License-Identifier: Apache-2.0
"""The JSON of a flow: public names and units, texts, absent values left out."""

from __future__ import annotations

import json

import numpy as np

from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.flow.rows import to_rows
from flowgauge.schema.column import Kind
from flowgauge.schema.columns import COLUMNS


def batch(**columns: np.ndarray | Names) -> FlowBatch:
    return FlowBatch(columns)


def test_physical_columns_become_public_ones() -> None:
    (row,) = to_rows(
        batch(
            time_end_ms=np.array([1_800_000_000_123]), duration_ms=np.array([1500], np.uint32), proto=np.array([6], np.uint8),
            src_port=np.array([40000], np.uint16), rtt_avg_us=np.array([250], np.uint32), bytes=np.array([2**63], np.uint64),
            src_addr=from_texts(["10.0.0.1"]), dst_addr=from_texts(["2001:db8::1"]), src_owner=Names.from_strings(["web"]),
            flow_direction=np.array([2], np.uint8), src_mac=np.array([[2, 0, 0x5E, 16, 0, 1]], np.uint8),
            observed_if_names=Names.from_strings(["eth0,veth1"]), observed_if_dirs=Names.from_strings(["0,1"]),
        )
    )  # fmt: skip
    assert row == {
        "time_start_ns": 1_799_999_998_623_000_000, "time_end_ns": 1_800_000_000_123_000_000, "duration_ns": 1_500_000_000,
        "proto": 6, "src_port": 40000, "rtt_avg_ns": 250_000, "bytes": 2**63, "src_addr": "10.0.0.1", "dst_addr": "2001:db8::1",
        "src_owner": "web", "flow_direction": "egress", "src_mac": "02:00:5e:10:00:01",
        "observed_if_names": ["eth0", "veth1"], "observed_if_dirs": [0, 1],
    }  # fmt: skip
    assert json.loads(json.dumps(row)) == row


def test_before_normalise_values_are_public_already() -> None:
    (row,) = to_rows(batch(time_start_ns=np.array([5]), time_end_ns=np.array([7]), rtt_avg_ns=np.array([250_001], np.uint32)))
    assert row == {"time_start_ns": 5, "time_end_ns": 7, "rtt_avg_ns": 250_001}


def test_absent_values_are_left_out() -> None:
    rows = to_rows(
        batch(
            proto=np.array([1, 6], np.uint8), src_port=np.array([0, 0], np.uint16), icmp_type=np.array([0, -1], np.int16),
            rtt_avg_us=np.array([0, 1], np.uint32), sampling_rate=np.array([0, 1], np.uint32),
            exporter_addr=from_texts(["::", "::1"]), src_owner=Names.from_strings(["", "web"]),
            src_mac=np.zeros((2, 6), np.uint8),
            flow_direction=np.array([0, 1], np.uint8), duplicate_of=np.array([0, 2], np.uint8),
            policy_names=Names.from_strings(["", "a"]),
        )
    )  # fmt: skip
    assert rows == [
        {"proto": 1, "icmp_type": 0, "duplicate_of": "counted"},
        {"proto": 6, "src_port": 0, "rtt_avg_ns": 1000, "sampling_rate": 1, "exporter_addr": "::1", "src_owner": "web",
         "flow_direction": "ingress", "duplicate_of": "transit", "policy_names": ["a"]},
    ]  # fmt: skip


def test_wanted_columns_come_in_the_wanted_order_and_unknown_ones_not_at_all() -> None:
    flows = batch(proto=np.array([17], np.uint8), src_port=np.array([53], np.uint16), bytes=np.array([9], np.uint64))
    assert [list(row) for row in to_rows(flows, ["bytes", "src_owner", "proto"])] == [["bytes", "proto"]]
    assert to_rows(flows, []) == [{}]
    assert to_rows(flows.take(np.zeros(0, np.intp))) == []


def test_a_port_without_its_protocol_is_absent_when_it_is_zero() -> None:
    assert to_rows(batch(src_port=np.array([0, 80], np.uint16))) == [{}, {"src_port": 80}]


def test_a_code_of_a_newer_version_is_shown_as_its_number() -> None:
    assert to_rows(batch(flow_format=np.array([200], np.uint8))) == [{"flow_format": "200"}]


def test_observation_points_are_numbers_without_the_unused_ones() -> None:
    points = np.array([[3, 2**31 + 3, 0, 0], [0, 0, 0, 0]], np.uint32)
    assert to_rows(batch(observed_ifs=points)) == [{"observed_ifs": [3, 2**31 + 3]}, {}]


def test_every_column_of_the_registry_can_be_shown() -> None:
    empty = FlowBatch({}, 2)
    whole = FlowBatch({column.physical: empty[column.physical] for column in COLUMNS}, 2)
    assert len(to_rows(whole)) == 2
    shown = FlowBatch({c.physical: Names.constant("1,2", 2) for c in COLUMNS if c.kind is Kind.LIST}, 2)
    assert to_rows(shown)[0] == {c.name: [1, 2] if c.of_numbers else ["1", "2"] for c in COLUMNS if c.kind is Kind.LIST}
