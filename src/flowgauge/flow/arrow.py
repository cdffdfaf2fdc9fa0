# SPDX-License-Identifier: Apache-2.0
"""FlowBatch ↔ Arrow, by the registry: how batches travel between processes and into the store.

Names and lists become dictionary<int32, utf8> (sending the dictionary costs the store 30 % less than plain strings),
addresses fixed_size_binary(16), MACs fixed_size_binary(6), enumerations their uint8 code (codes are only ever appended, so
that a new label needs no change of a table), ``time_end_ms`` timestamp[ms, UTC], all else the integer of the same width.
Before in the path: the pipeline; after it: ``store``. Pure; the arrays are shared with the batch, not copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from flowgauge.errors import DataError
from flowgauge.flow.batch import Array, ColumnData, FlowBatch, absent_column, definition, dtype_of, shape_of
from flowgauge.flow.names import Names
from flowgauge.schema.column import Column, Kind

SCHEMA_VERSION = 1
"""Raised when a reader of the previous version would misread a segment; an added column does not raise it."""

_VERSION_KEY = b"flowgauge.schema_version"
_TIMESTAMP = pa.timestamp("ms", tz="UTC")
_FIXED: dict[Kind, pa.DataType] = {
    Kind.U8: pa.uint8(),
    Kind.U16: pa.uint16(),
    Kind.U32: pa.uint32(),
    Kind.U64: pa.uint64(),
    Kind.I16: pa.int16(),
    Kind.I64: pa.int64(),
    Kind.ADDR: pa.binary(16),
    Kind.MAC: pa.binary(6),
    Kind.U32X4: pa.list_(pa.uint32(), 4),
    Kind.ENUM: pa.uint8(),
    Kind.NAMES: pa.dictionary(pa.int32(), pa.utf8()),
    Kind.LIST: pa.dictionary(pa.int32(), pa.utf8()),
}


def share_memory() -> None:
    """From now on Arrow takes memory where numpy does: what one lets go of is the other's, not kept for itself (30 MiB)."""
    pa.set_memory_pool(pa.system_memory_pool())


def is_timestamp(name: str, column: Column) -> bool:
    """Whether the physical column ``name`` is a point in time in ms, which Arrow and stores have a type for."""
    return column.kind is Kind.I64 and name == column.held_as and name.endswith("_ms")


@cache
def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of the public or physical column ``name``; KeyError when the registry has none."""
    column = definition(name)
    return _TIMESTAMP if is_timestamp(name, column) else _FIXED[column.kind_as(name)]


def arrow_schema(names: Iterable[str]) -> pa.Schema:
    """The schema of a segment with these columns, with the schema version in its metadata."""
    return _schema(tuple(names))


@lru_cache(maxsize=64)
def _schema(names: tuple[str, ...]) -> pa.Schema:
    """Made once: batches of an exporter have the same columns again and again."""
    fields = [pa.field(name, arrow_type(name), nullable=False) for name in names]
    return pa.schema(fields, metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()})


def to_arrow(batch: FlowBatch, names: Iterable[str] | None = None) -> pa.RecordBatch:
    """The columns ``names`` of ``batch`` (all of its own by default); one that the batch lacks is absent in every row."""
    wanted = tuple(batch if names is None else names)
    arrays = [_array(name, batch[name]) for name in wanted]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(wanted))


def from_arrow(table: pa.Table | pa.RecordBatch) -> FlowBatch:
    """The batch in an Arrow table; nulls become absent. DataError: a column we do not know, of a type we do not expect."""
    version = (table.schema.metadata or {}).get(_VERSION_KEY, b"1")
    if int(version) > SCHEMA_VERSION:
        raise DataError(f"segment of schema version {version.decode()}, we read up to {SCHEMA_VERSION}")
    if isinstance(table, pa.Table):
        table = table.unify_dictionaries().combine_chunks()
    columns = {name: _column(name, table.column(name), table.num_rows) for name in table.column_names}
    return FlowBatch(columns, table.num_rows)


def _array(name: str, data: ColumnData) -> Any:
    kind = arrow_type(name)
    if isinstance(data, Names):
        codes, values = _compact(data)
        return pa.DictionaryArray.from_arrays(_shared(codes, pa.int32()), _texts(values))
    if data.dtype != dtype_of(definition(name)):
        return pa.array(data, kind)  # looks whether each value fits
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(_shared(data.reshape(-1), kind.value_type), data.shape[1])
    return _shared(data, kind)


def _shared(data: Array, kind: Any) -> Any:
    """An Arrow array over the same memory. Not ``pa.array``, which imports pandas (0.3 s, 40 MB) to look for its types."""
    return pa.Array.from_buffers(kind, len(data), [None, pa.py_buffer(np.ascontiguousarray(data).reshape(-1).data)])


def _texts(values: Sequence[str]) -> Any:
    encoded = [value.encode() for value in values]
    ends = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, encoded), np.int32, len(encoded)), out=ends[1:])
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends.data), pa.py_buffer(b"".join(encoded)))


def _compact(names: Names) -> tuple[np.ndarray[tuple[int], np.dtype[np.int32]], list[str]]:
    """Codes and values, without the values that no row uses where they outnumber the rows.

    Rows taken from a large batch keep its whole dictionary.
    """
    if len(names.values) <= len(names.codes) + 1:
        return names.codes, list(names.values)
    used, codes = np.unique(names.codes, return_inverse=True)
    return codes.astype(np.int32).reshape(-1), [names.values[code] for code in used.tolist()]


def _column(name: str, data: Any, length: int) -> ColumnData:
    try:
        column = definition(name)
    except KeyError:
        raise DataError(f"segment with an unknown column {name!r}") from None
    if length == 0:
        return absent_column(column, 0, name)
    array = data.combine_chunks() if isinstance(data, pa.ChunkedArray) else data
    if isinstance(array, pa.ChunkedArray):  # pyarrow keeps the wrapper for some types
        array = array.chunk(0)
    try:
        if column.kind in (Kind.NAMES, Kind.LIST):
            return _names(array)
        return _numbers(array, column, name)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"segment column {name!r} of type {array.type}: {error}") from error


def _names(array: Any) -> Names:
    if not pa.types.is_dictionary(array.type):
        array = array.cast(pa.utf8()).dictionary_encode()
    index: dict[str, int] = {"": 0}
    # The last entry stands for null: it is looked up with code -1.
    recode = [index.setdefault(value or "", len(index)) for value in (*array.dictionary.to_pylist(), "")]
    codes = _values(_filled(array.indices, -1))
    return Names(np.array(recode, np.int32)[codes], tuple(index))


def _numbers(array: Any, column: Column, name: str) -> Array:
    dtype, shape = dtype_of(column, name), shape_of(column, len(array))
    if pa.types.is_fixed_size_list(array.type):
        return np.asarray(_values(_elements(array)), dtype).reshape(shape)
    if pa.types.is_fixed_size_binary(array.type):
        array = _filled(array, bytes(array.type.byte_width))
        width = array.type.byte_width
        return np.frombuffer(array.buffers()[1], dtype, len(array) * width, array.offset * width).reshape(shape)
    if pa.types.is_timestamp(array.type):
        array = (array if array.type == _TIMESTAMP else array.cast(_TIMESTAMP)).view(pa.int64())
    absent = column.absent if isinstance(column.absent, int) else 0
    return np.asarray(_values(_filled(array, absent)), dtype)


def _elements(array: Any) -> Any:
    """What the lists hold, one behind the other. Without nulls not ``flatten``, which imports pyarrow.compute (0.1 s)."""
    width = array.type.list_size
    return array.flatten() if array.null_count else array.values.slice(array.offset * width, len(array) * width)


def _values(array: Any) -> Array:
    """Numbers without nulls, over the same memory."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def _filled(array: Any, value: object) -> Any:
    """Without nulls. Where there are none pyarrow is not asked: it would import pandas."""
    return array.fill_null(value) if array.null_count else array
