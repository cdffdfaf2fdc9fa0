# SPDX-License-Identifier: Apache-2.0
"""Slots of several CPUs, entries of the table and notes become one flow each, and no packet is lost or doubled."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.ebpf import abi
from flowgauge.ebpf.flow_parts import whole_flows
from flowgauge.ebpf.map_reader import Entries

PARTS = st.lists(
    st.fixed_dictionaries(
        {
            "src_port": st.integers(1, 5),
            "packets": st.integers(0, 9),
            "first_tick": st.integers(4_294_892_296, 4_294_892_396),
            "last_tick": st.integers(4_294_892_400, 4_294_892_500),
            "tcp_flags": st.integers(0, 511),
            "handshake_us": st.integers(0, 9),
        }
    ),
    max_size=30,
)


def entries(rows: list[dict[str, int]], observed: int = 1) -> Entries:
    """Table entries of these parts; bytes are ten times the packets."""
    keys: Any = np.zeros(len(rows), abi.FLOW_KEY)
    values = np.zeros(len(rows), abi.FLOW_VALUE)
    for at, row in enumerate(rows):
        keys[at]["src_port"] = row["src_port"]
        for name in row.keys() - {"src_port"}:
            values[name][at] = row[name]
    values["bytes"], values["observed"][:, 0] = values["packets"] * 10, observed
    return Entries(keys, values)


@given(PARTS, PARTS, PARTS)
def test_parts_add_up_flow_by_flow(table: list[dict[str, int]], one: list[dict[str, int]], other: list[dict[str, int]]) -> None:
    found = whole_flows(entries(table), entries(one), entries(other))
    flows: dict[int, list[dict[str, int]]] = {}
    for row in (*table, *one, *other):
        flows.setdefault(row["src_port"], []).append(row)
    counted = {port: rows for port, rows in flows.items() if any(row["packets"] for row in rows)}
    assert sorted(found.keys["src_port"].tolist()) == sorted(counted)
    for port, value in zip(found.keys["src_port"].tolist(), found.values, strict=True):
        rows = counted[port]
        assert value["packets"] == sum(row["packets"] for row in rows)
        assert value["bytes"] == value["packets"] * 10
        assert value["first_tick"] == min(row["first_tick"] for row in rows if row["packets"])
        assert value["last_tick"] == max(row["last_tick"] for row in rows)
        assert value["handshake_us"] == max(row["handshake_us"] for row in rows)
        assert value["tcp_flags"] == np.bitwise_or.reduce([row["tcp_flags"] for row in rows])


def part(packets: int, first_tick: int) -> list[dict[str, int]]:
    return [{"src_port": 1, "packets": packets, "first_tick": first_tick, "last_tick": first_tick}]


def test_what_began_first_says_where_the_flow_was_counted_first() -> None:
    found = whole_flows(entries(part(0, 1), 7), entries(part(5, 9), 8), entries(part(5, 3), 9))
    assert found.values["observed"].tolist() == [[9, 8, 7, 0]]


def test_four_observation_points_are_kept_each_once() -> None:
    parts = [entries(part(1, tick), point) for tick, point in enumerate((5, 6, 5, 7, 8, 9), 1)]
    assert whole_flows(*parts).values["observed"].tolist() == [[5, 6, 7, 8]]


def test_flows_without_parts_stay_as_they_are() -> None:
    rows = [{"src_port": port, "packets": port, "first_tick": 1, "last_tick": 2} for port in (3, 1, 2)]
    assert whole_flows(entries([]), entries(rows)).values["packets"].tolist() == [3, 1, 2]
    assert len(whole_flows(entries([]), entries([]))) == 0


def test_a_note_alone_is_no_flow() -> None:
    assert len(whole_flows(entries(part(0, 1)), entries([]))) == 0
