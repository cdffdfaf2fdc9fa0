# SPDX-License-Identifier: Apache-2.0
"""FlowBatch ↔ Arrow."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flowgauge.errors import DataError
from flowgauge.flow.arrow import arrow_schema, arrow_type, from_arrow, to_arrow
from flowgauge.flow.batch import FlowBatch, absent_column, dtype_of, shape_of
from flowgauge.flow.names import Names
from flowgauge.schema.column import Kind
from flowgauge.schema.columns import COLUMNS


def every_column(rows: int, seed: int = 7) -> FlowBatch:
    """A batch that has each physical column of the registry, with values over its whole range."""
    random = np.random.default_rng(seed)
    columns: dict[str, np.ndarray | Names] = {}
    for column in COLUMNS:
        if column.kind in (Kind.NAMES, Kind.LIST):
            columns[column.physical] = Names.from_strings([f"näme-{i % 3}" if i % 3 else "" for i in range(rows)])
        else:
            dtype = dtype_of(column)
            info = np.iinfo(dtype)
            columns[column.physical] = random.integers(info.min, info.max, shape_of(column, rows), dtype, endpoint=True)
    return FlowBatch(columns)


def assert_same(left: FlowBatch, right: FlowBatch) -> None:
    assert set(left) == set(right)
    for name in left:
        mine, theirs = left[name], right[name]
        if isinstance(mine, Names):
            assert isinstance(theirs, Names)
            assert mine.to_list() == theirs.to_list(), name
        else:
            assert isinstance(theirs, np.ndarray)
            assert mine.dtype == theirs.dtype, name
            assert np.array_equal(mine, theirs), name


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_every_column_survives_the_round_trip(rows: int) -> None:
    batch = every_column(rows).with_columns({"time_end_ms": np.arange(rows, dtype=np.int64) + 1_700_000_000_123})
    table = to_arrow(batch)
    assert table.schema.equals(arrow_schema(batch))
    assert_same(from_arrow(table), batch)


def test_slices_and_chunks_read_as_one_batch() -> None:
    batch = every_column(50).with_columns({"time_end_ms": np.arange(50, dtype=np.int64)})
    whole = to_arrow(batch)
    table = pa.Table.from_batches([whole.slice(0, 20), whole.slice(20, 30)])
    assert_same(from_arrow(table), batch)


def test_a_dictionary_that_outnumbers_its_rows_is_shrunk() -> None:
    names = Names(np.array([0, 900], np.int32), ["", *(f"pod-{i}" for i in range(1000))])
    array: Any = to_arrow(FlowBatch({"src_name": names})).column(0)
    assert array.to_pylist() == ["", "pod-899"]
    assert len(array.dictionary) == 2


def test_a_wanted_column_that_the_batch_lacks_is_absent() -> None:
    table = to_arrow(FlowBatch({"proto": np.array([1], np.uint8)}), ["proto", "icmp_type", "src_name"])
    assert table.to_pylist() == [{"proto": 1, "icmp_type": -1, "src_name": ""}]


def test_nulls_become_absent() -> None:
    table = pa.table({"src_name": ["a", None], "icmp_type": pa.array([None, 3], pa.int16())})
    batch = from_arrow(table)
    assert batch.names("src_name").to_list() == ["a", ""]
    assert batch.array("icmp_type").tolist() == [-1, 3]


def test_unknown_columns_and_newer_versions_are_data_errors() -> None:
    with pytest.raises(DataError, match="no_such_column"):
        from_arrow(pa.table({"no_such_column": [1]}))
    newer = to_arrow(FlowBatch({"proto": np.array([6], np.uint8)})).replace_schema_metadata({"flowgauge.schema_version": "99"})
    with pytest.raises(DataError, match="version 99"):
        from_arrow(newer)
    with pytest.raises(DataError, match="bytes"):
        from_arrow(pa.table({"bytes": ["many"]}))


def test_times_are_timestamps_and_names_dictionaries() -> None:
    assert arrow_type("time_end_ms") == pa.timestamp("ms", "UTC")
    assert arrow_type("time_start_ns") == pa.int64()
    assert arrow_type("src_owner") == pa.dictionary(pa.int32(), pa.utf8())
    assert isinstance(absent_column(COLUMNS[0], 1), np.ndarray)


def test_neither_writing_nor_reading_a_segment_loads_what_it_does_not_need() -> None:
    """pyarrow.compute takes 0.1 s and pandas 0.3 s to load, which at a low rate is more than all flows of some seconds."""
    program = """
import sys
import numpy as np
from flowgauge.collector import frames
from flowgauge.flow.batch import FlowBatch
lists = np.arange(12, dtype=np.uint32).reshape(3, 4)
batch = FlowBatch({"observed_ifs": lists, "src_addr": np.ones((3, 16), np.uint8), "bytes": np.ones(3, np.uint64)})
read = frames.unframe(frames.frame(batch))
assert (read.array("observed_ifs") == lists).all()
print(*({"pandas", "pyarrow.compute", "numpy.ma"} & sys.modules.keys()))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""


def test_lists_of_a_part_of_a_segment_are_those_of_its_rows() -> None:
    """Arrow shares memory between a batch and a slice of it: the slice's lists begin somewhere within."""
    lists = np.arange(40, dtype=np.uint32).reshape(10, 4)
    whole = to_arrow(FlowBatch({"observed_ifs": lists}))
    assert (from_arrow(whole.slice(3, 4)).array("observed_ifs") == lists[3:7]).all()
