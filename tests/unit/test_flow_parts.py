# SPDX-License-Identifier: Apache-2.0
"""Slots of several CPUs, entries of the table and notes become one flow each, and no packet is lost or doubled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.ebpf import abi
from flowgauge.ebpf.flow_parts import add_slots, each_once, whole_flows
from flowgauge.ebpf.map_reader import BATCH_ENTRIES, Entries, Room

Row = dict[str, int]
PARTS = st.lists(
    st.fixed_dictionaries(
        {
            "src_port": st.integers(1, 5),
            "packets": st.integers(0, 9),
            "bytes": st.integers(0, 2**40),
            "first_tick": st.integers(4_294_892_296, 4_294_892_396),
            "last_tick": st.integers(4_294_892_400, 4_294_892_500),
            "tcp_flags": st.integers(0, 511),
            "handshake_us": st.integers(0, 9),
        }
    ),
    max_size=30,
)


def entries(rows: list[Row], observed: int = 1) -> Entries:
    """Table entries of these parts."""
    keys: Any = np.zeros(len(rows), abi.FLOW_KEY)
    values = np.zeros(len(rows), abi.FLOW_VALUE)
    for at, row in enumerate(rows):
        keys[at]["src_port"] = row["src_port"]
        for name in row.keys() - {"src_port"}:
            values[name][at] = row[name]
    values["observed"][:, 0] = observed
    return Entries(keys, values)


Slots = tuple[abi.Structured, abi.Structured]


def slots(rows: list[Row], observed: int = 1) -> Slots:
    """Slots on any CPUs that hold these parts, and what began in them."""
    parts = entries(rows, observed)
    slots, starts = np.zeros(len(rows), abi.CACHE_SLOT), np.zeros(len(rows), abi.CACHE_START)
    slots["key"] = parts.keys
    for name in ("packets", "bytes", "last_tick", "tcp_flags"):
        slots[name] = parts.values[name]
    for name in ("first_tick", "observed", "handshake_us"):
        starts[name] = parts.values[name]
    return slots, starts


def whole(table: Entries, *cached: Slots) -> Entries:
    """What becomes of the table and of slots, in memory that held something else before and does not suffice."""
    flows = Room(abi.FLOW_KEY, abi.FLOW_VALUE, 1 - 2 * BATCH_ENTRIES)
    former = flows.behind(1)
    former.keys.view(np.uint8)[:], former.values.view(np.uint8)[:] = 0xA5, 0xA5
    for some in cached:
        add_slots(*some, flows)
    return whole_flows(each_once(table), flows)


def counting(rows: list[Row]) -> list[Row]:
    """As slots are, that hold at least a packet each."""
    return [row | {"packets": row["packets"] + 1} for row in rows]


def by_port(rows: list[Row]) -> dict[int, list[Row]]:
    """The parts of flows in which a packet was counted."""
    flows: dict[int, list[Row]] = {}
    for row in rows:
        flows.setdefault(row["src_port"], []).append(row)
    return {port: rows for port, rows in flows.items() if any(row["packets"] for row in rows)}


def assert_whole(found: Entries, rows: list[Row]) -> None:
    """Each flow of these parts is there once, and is their sum."""
    flows = by_port(rows)
    assert sorted(found.keys["src_port"].tolist()) == sorted(flows)
    for port, value in zip(found.keys["src_port"].tolist(), found.values, strict=True):
        parts = flows[port]
        assert value["packets"] == sum(row["packets"] for row in parts)
        assert value["bytes"] == sum(row["bytes"] for row in parts)
        assert value["first_tick"] == min(row["first_tick"] for row in parts if row["packets"])
        assert value["last_tick"] == max(row["last_tick"] for row in parts)
        assert value["handshake_us"] == max(row["handshake_us"] for row in parts)
        assert value["tcp_flags"] == np.bitwise_or.reduce([row["tcp_flags"] for row in parts])
        assert value["reserved"] == 0


@given(PARTS)
def test_slots_of_all_cpus_add_up_flow_by_flow(rows: list[Row]) -> None:
    assert_whole(whole(entries([]), slots(counting(rows))), counting(rows))


@given(PARTS, PARTS, PARTS)
def test_slots_and_the_table_add_up_flow_by_flow(table: list[Row], one: list[Row], other: list[Row]) -> None:
    """Two parts of the cache have no flow in common."""
    one = [row | {"src_port": row["src_port"] + 2} for row in counting(one) if row["src_port"] <= 2]
    other = [row for row in counting(other) if row["src_port"] <= 2]
    assert_whole(whole(entries(table), slots(one), slots(other)), [*table, *one, *other])


@given(st.lists(st.integers(0, 2**16 - 1), max_size=400), st.lists(st.integers(0, 2**16 - 1), max_size=400))
def test_many_flows_stay_apart(ports: list[int], others: list[int]) -> None:
    table = [{"src_port": port, "packets": 1, "bytes": 60, "first_tick": 5} for port in ports]
    cached = [{"src_port": port, "packets": 2, "bytes": 70, "first_tick": 4} for port in others]
    found = whole(entries(table), slots(cached))
    expected = {port: ports.count(port) + 2 * others.count(port) for port in {*ports, *others}}
    assert dict(zip(found.keys["src_port"].tolist(), found.values["packets"].tolist(), strict=True)) == expected
    assert len(found) == len(expected)


def part(packets: int, first_tick: int) -> list[Row]:
    return [{"src_port": 1, "packets": packets, "first_tick": first_tick, "last_tick": first_tick}]


def test_packets_of_more_slots_than_a_slot_can_count() -> None:
    rows = 5 * [{"src_port": 1, "packets": 2**32 - 1, "first_tick": 1}]
    assert whole(entries([]), slots(rows)).values["packets"].tolist() == [5 * (2**32 - 1)]


def test_what_began_first_says_where_the_flow_was_counted_first() -> None:
    found = whole(entries(part(0, 1), 7), slots([*part(5, 9), *part(5, 3)], 8))
    assert found.values["observed"].tolist() == [[8, 7, 0, 0]]
    assert found.values["first_tick"].tolist() == [3]
    found = whole(entries(part(5, 3), 7), slots(part(5, 9), 8))
    assert found.values["observed"].tolist() == [[7, 8, 0, 0]]


def test_what_the_table_has_of_a_flow_that_stays_in_parts_is_told_once() -> None:
    """Slots of two epochs, as one eviction leaves them to the next when it fails, lie in different sets."""
    found = whole(entries(part(1, 3)), slots(part(10, 1)), slots(part(100, 2)))
    assert sorted(found.values["packets"].tolist()) == [11, 100]


def test_four_observation_points_are_kept_each_once() -> None:
    """In the table several epochs may have a flow, when the kernel did not let go of one."""
    parts = [entries(part(1, tick), point) for tick, point in enumerate((5, 6, 5, 7, 8, 9), 1)]
    table = Entries(np.concatenate([one.keys for one in parts]), np.concatenate([one.values for one in parts]))
    assert whole(table).values["observed"].tolist() == [[5, 6, 7, 8]]


@pytest.mark.parametrize("table", [[], [{"src_port": 9, "packets": 9}]], ids=["no table", "another flow in the table"])
def test_flows_without_parts_stay_as_they_are(table: list[Row]) -> None:
    rows = [{"src_port": port, "packets": port, "first_tick": 1, "last_tick": 2} for port in (3, 1, 2)]
    assert sorted(whole(entries(table), slots(rows)).values["packets"].tolist()) == [1, 2, 3, *(9 for _ in table)]
    assert whole(entries(rows)).values["packets"].tolist() == [3, 1, 2]


def test_nothing_makes_no_flow() -> None:
    assert len(whole(entries([]), slots([]))) == 0
    assert len(whole(entries([]))) == 0


def test_a_note_alone_is_no_flow() -> None:
    assert len(whole(entries(part(0, 1)))) == 0
    assert len(whole(entries(part(0, 1)), slots([{"src_port": 2, "packets": 1}]))) == 1
