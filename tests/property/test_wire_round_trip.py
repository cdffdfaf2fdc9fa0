# SPDX-License-Identifier: Apache-2.0
"""What the agent encodes is what the collector decodes: every column, every row, any batch."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.flow.addresses import packed
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import FLOW_FORMAT, code
from flowgauge.wire.flow_fields import COLUMNS, COUNTERS, EVENT, GROUPS, TEXTS
from wire_kit import decode, random_column, random_flows, rows

COLUMN_SETS = st.sets(st.sampled_from(COLUMNS)).map(lambda names: [name for name in COLUMNS if name in names])
ADDRESSES = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.ip_addresses(v=4).map(lambda address: packed(str(address))),
    st.sampled_from([bytes(16), packed("0.0.0.0"), packed("255.255.255.255"), packed("::1")]),
)


def agent_settings(mtu_bytes: int) -> AgentSettings:
    return AgentSettings(node="node-a", obs_domain_id=77, mtu_bytes=mtu_bytes)


def through_the_wire(batch: FlowBatch, mtu_bytes: int = 1400) -> FlowBatch:
    """Encodes, stamps sequence numbers, decodes; nothing may be counted but records and templates."""
    messages, sequence, payloads = Messages(agent_settings(mtu_bytes)).flows(batch), 0, []
    for message in messages:
        assert len(message.payload) <= mtu_bytes
        stamped = bytearray(message.payload)
        struct.pack_into("!I", stamped, 8, sequence)
        sequence += message.records
        payloads.append(bytes(stamped))
    decoded = decode(*payloads)
    assert not decoded.problems
    options = decoded.counts["decode_options_records"]
    assert decoded.counts.get("decode_records", 0) + options == sequence
    assert set(decoded.counts) <= {"decode_records", "decode_options_records", "decode_template_changes"}
    return decoded.flows


@given(count=st.integers(1, 200), seed=st.integers(0, 2**32), v6_share=st.sampled_from([0.0, 0.5, 1.0]),
       mtu_bytes=st.sampled_from([600, 1400, 9000]))  # fmt: skip
def test_flows_of_an_agent_come_out_as_they_went_in(count: int, seed: int, v6_share: float, mtu_bytes: int) -> None:
    batch = random_flows(count, seed, v6_share=v6_share)
    flows = through_the_wire(batch, mtu_bytes)
    assert rows(flows, list(batch)) == rows(batch, list(batch))
    assert set(flows.array("flow_format").tolist()) == {code(FLOW_FORMAT, "agent")}
    assert set(flows.array("obs_domain_id").tolist()) == {77}


@given(count=st.integers(1, 60), seed=st.integers(0, 2**32), names=COLUMN_SETS)
def test_any_values_of_any_columns_come_out_as_they_went_in(count: int, seed: int, names: list[str]) -> None:
    """Extremes, absent values, columns that are not there. ICMP has type and code, others neither; events have no counters."""
    random = np.random.default_rng(seed)
    columns = {name: random_column(name, count, random) for name in names}
    icmp = np.isin(columns.get("proto", np.zeros(count)), (1, 58))
    for name in {"icmp_type", "icmp_code"} & columns.keys():
        columns[name] = np.where(icmp, np.maximum(columns[name], 0), -1).astype(np.int16)
    if ("icmp_type" in columns) != ("icmp_code" in columns):
        columns.pop("icmp_type", None)
        columns.pop("icmp_code", None)
    event = np.logical_or.reduce([columns.get(name, np.zeros(count)) != 0 for name in GROUPS[EVENT]])
    for name in set(COUNTERS) & columns.keys():
        columns[name] = columns[name] * ~event
    batch = FlowBatch(columns, count)
    assert rows(through_the_wire(batch, 9000), COLUMNS) == rows(batch, COLUMNS)


@pytest.mark.parametrize("mtu_bytes", [600, 1400])
def test_strings_that_are_too_long_together_are_cut_to_a_message(mtu_bytes: int) -> None:
    names = sorted(TEXTS)
    flows = through_the_wire(FlowBatch({name: Names.from_strings(["x" * 255, "short"]) for name in names}), mtu_bytes)
    short, long = rows(flows, names)
    assert set(short) == {"short"}
    assert {*"".join(long)} == {"x"}
    assert all(5 < len(text) < 255 for text in long)


@given(pairs=st.lists(st.tuples(ADDRESSES, ADDRESSES, ADDRESSES), min_size=1, max_size=20))
def test_any_addresses_come_out_as_they_went_in(pairs: list[tuple[bytes, bytes, bytes]]) -> None:
    """Mapped, unspecified and mixed families: 0.0.0.0 and "no address" stay apart."""
    names = ("src_addr", "dst_addr", "post_nat_dst_addr")
    columns: dict[str, Any] = {
        name: np.frombuffer(b"".join(row[place] for row in pairs), np.uint8).reshape(-1, 16) for place, name in enumerate(names)
    }
    batch = FlowBatch(columns)
    assert rows(through_the_wire(batch), names) == rows(batch, names)


def test_times_keep_their_milliseconds() -> None:
    """What is finer is cut, as ``normalise`` cuts it."""
    times = np.array([1_767_000_000_123_999_999], np.int64)
    flows = through_the_wire(FlowBatch({"time_start_ns": times, "time_end_ns": times}))
    assert flows.array("time_start_ns").tolist() == [1_767_000_000_123_000_000]


def test_groups_hold_each_column_once() -> None:
    names = [name for group in GROUPS for name in group]
    assert len(names) == len(set(names))
    assert not set(names) & set(COLUMNS[: len(COLUMNS) - len(names)])


@given(count=st.integers(1, 400), seed=st.integers(0, 2**32), mtu_bytes=st.sampled_from([600, 1400, 9000]))
def test_strings_that_many_rows_share_and_those_of_few_come_out_as_they_went_in(count: int, seed: int, mtu_bytes: int) -> None:
    random = np.random.default_rng(seed)
    causes = random.choice(["NETFILTER_DROP", "NO_SOCKET", "ü" * 140, ""], count, p=[0.6, 0.2, 0.1, 0.1]).tolist()
    states = [f"state {number}" if number < 5 else "established" for number in random.integers(0, 200, count)]
    texts = {"drop_cause": Names.from_strings(causes), "drop_tcp_state": Names.from_strings(states)}
    ones = np.ones(count, np.uint64)
    batch = random_flows(count, seed).with_columns({**texts, "drop_packets": ones, "drop_bytes": ones})
    assert rows(through_the_wire(batch, mtu_bytes), list(batch)) == rows(batch, list(batch))
