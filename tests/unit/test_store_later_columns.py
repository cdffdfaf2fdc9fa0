# SPDX-License-Identifier: Apache-2.0
"""A table that an earlier version wrote, without columns that came later: ``port`` means the two that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.errors import UsageError
from flowgauge.schema.filters import bound
from flowgauge.schema.flow_query import FlowQuery
from store_kit import flows, last, running_store

ASKED = {
    "port = 5432": 2, "port != 5432": 0, "port = 443": 0, "port < 10": 0, "port > 40000": 0, "port exists": 2,
    "not port in (80, 443)": 2, "not port exists": 0,
}  # fmt: skip


def test_ports_of_which_the_table_knows_one_number(tmp_path: Path) -> None:
    with running_store(tmp_path / "store") as process:
        for column in ("service_port", "target_port"):
            process.sql(f"ALTER TABLE flows DROP COLUMN {column}")
        store = process.open()
        store.write(flows("old", 2), "old")
        assert {text: len(store.flows(FlowQuery(last(), bound(text)))) for text in ASKED} == ASKED
        with pytest.raises(UsageError, match=r"'target_port' is not stored here: switch on its group \(.*\[seen\]\)"):
            store.flows(FlowQuery(last(), bound("target_port = 8443")))
        assert len(store.flows(FlowQuery(last(), columns=("bytes", "service_port", "target_port")))) == 2
        (edge,) = store.edges(FlowQuery(last())).edges
        assert (edge.port, edge.asked_ports, edge.flows) == (5432, (), 2)
    with running_store(tmp_path / "store") as process:  # which brings the table up to date
        store = process.open()
        store.write(flows("new", 1, dst_port=443, service_port=443, target_port=8443), "new")
        assert sorted(store.flows(FlowQuery(last())).array("target_port").tolist()) == [0, 0, 8443]
        for text in ("port = 443", "port = 8443", "port < 444"):
            assert len(store.flows(FlowQuery(last(), bound(text)))) == 1
