# SPDX-License-Identifier: Apache-2.0
"""FlowBatch: flows as columns. Every arrow of the data path carries one; no stage builds an object per flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.names import Names
from flowgauge.schema.column import Column, Kind
from flowgauge.schema.columns import BY_NAME, BY_PHYSICAL

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp] | npt.NDArray[np.bool_]
ColumnData = Array | Names

_DTYPE: dict[Kind, np.dtype[Any]] = {
    Kind.U8: np.dtype(np.uint8),
    Kind.U16: np.dtype(np.uint16),
    Kind.U32: np.dtype(np.uint32),
    Kind.U64: np.dtype(np.uint64),
    Kind.I16: np.dtype(np.int16),
    Kind.I64: np.dtype(np.int64),
    Kind.ADDR: np.dtype(np.uint8),
    Kind.MAC: np.dtype(np.uint8),
    Kind.U32X4: np.dtype(np.uint32),
    Kind.ENUM: np.dtype(np.uint8),
}
_WIDTH: dict[Kind, int] = {Kind.ADDR: 16, Kind.MAC: 6, Kind.U32X4: 4}


def definition(name: str) -> Column:
    """The registry entry of a public or physical column ``name``; KeyError when there is none."""
    return BY_NAME.get(name) or BY_PHYSICAL[name]


def dtype_of(column: Column, name: str = "") -> np.dtype[Any]:
    """The numpy type of one element of ``column`` under its public or physical ``name`` (its physical one when left out).

    Codes of NAMES and LIST are int32.
    """
    return _DTYPE.get(column.kind_as(name), np.dtype(np.int32))


def shape_of(column: Column, length: int) -> tuple[int, ...]:
    """The shape of ``length`` rows of ``column``: (n,) or (n, width)."""
    width = _WIDTH.get(column.kind)
    return (length,) if width is None else (length, width)


def absent_column(column: Column, length: int, name: str = "") -> ColumnData:
    """A column of ``length`` rows without a value, as it is held under ``name``."""
    if column.kind in (Kind.NAMES, Kind.LIST):
        return Names.constant("", length)
    fill = column.absent if isinstance(column.absent, int) else 0
    return np.full(shape_of(column, length), fill, dtype_of(column, name))


class FlowBatch:
    """An immutable set of equally long columns, by name.

    A name is a public one (``time_end_ns``) before ``normalise`` or a physical one (``time_end_ms``) after it; both are in
    the registry, which gives kind and shape. A column that a batch does not have reads as absent in every row.
    """

    __slots__ = ("_columns", "_length")

    def __init__(self, columns: Mapping[str, ColumnData], length: int | None = None) -> None:
        self._columns = dict(columns)
        self._length = length if length is not None else (len(next(iter(self._columns.values()))) if self._columns else 0)
        self._check(self._columns)

    def _check(self, columns: Mapping[str, ColumnData]) -> None:
        for name, data in columns.items():
            if len(data) != self._length:
                raise ValueError(f"column {name} has {len(data)} rows, the batch has {self._length}")

    @classmethod
    def _of(cls, columns: dict[str, ColumnData], length: int) -> FlowBatch:
        """A batch of columns that are known to be as long as they should."""
        batch = cls.__new__(cls)
        batch._columns, batch._length = columns, length  # noqa: SLF001 - our own
        return batch

    @classmethod
    def concat(cls, batches: Sequence[FlowBatch]) -> FlowBatch:
        """Joins batches; a column that only some have is absent in the rows of the others."""
        if len(batches) == 1:
            return batches[0]
        names = dict.fromkeys(name for batch in batches for name in batch)
        columns: dict[str, ColumnData] = {}
        for name in names:
            parts = [batch[name] for batch in batches]
            if isinstance(parts[0], Names):
                columns[name] = Names.concat([part for part in parts if isinstance(part, Names)])
            else:
                columns[name] = np.concatenate([part for part in parts if not isinstance(part, Names)])
        return cls(columns, sum(map(len, batches)))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __repr__(self) -> str:
        return f"FlowBatch({self._length} rows: {', '.join(self._columns)})"

    def __getitem__(self, name: str) -> ColumnData:
        """The column ``name``; absent rows when this batch does not have it; KeyError when the registry does not either."""
        data = self._columns.get(name)
        return data if data is not None else absent_column(definition(name), self._length, name)

    def array(self, name: str) -> Array:
        """The numpy column ``name``; TypeError for a column of names."""
        data = self[name]
        if isinstance(data, Names):
            raise TypeError(f"{name} is a column of names")
        return data

    def names(self, name: str) -> Names:
        """The dictionary-encoded column ``name``; TypeError for a numeric column."""
        data = self[name]
        if not isinstance(data, Names):
            raise TypeError(f"{name} is not a column of names")
        return data

    def take(self, rows: Rows) -> FlowBatch:
        """The rows chosen by index or by boolean mask."""
        columns = {name: data.take(rows) if isinstance(data, Names) else data[rows] for name, data in self._columns.items()}
        length = int(np.count_nonzero(rows)) if rows.dtype == np.bool_ else len(rows)
        return FlowBatch._of(columns, length)

    def with_columns(self, columns: Mapping[str, ColumnData]) -> FlowBatch:
        """This batch with ``columns`` added or replaced; the rest is shared."""
        self._check(columns)
        return FlowBatch._of({**self._columns, **columns}, self._length)

    def without(self, *names: str) -> FlowBatch:
        """This batch without the columns ``names`` (those that it does not have are no error)."""
        return FlowBatch._of({name: data for name, data in self._columns.items() if name not in names}, self._length)

    def only(self, *names: str) -> FlowBatch:
        """This batch with no other columns than ``names`` (those that it does not have are absent, as ever)."""
        return FlowBatch._of({name: self._columns[name] for name in names if name in self._columns}, self._length)
