# SPDX-License-Identifier: Apache-2.0
"""Column kind → ClickHouse type, codec and default. What ``ddl`` and ``where`` know of types is here."""

from __future__ import annotations

from flowgauge.flow.arrow import is_timestamp
from flowgauge.schema.column import Column, Kind, Role

_TYPES: dict[Kind, str] = {
    Kind.U8: "UInt8",
    Kind.U16: "UInt16",
    Kind.U32: "UInt32",
    Kind.U64: "UInt64",
    Kind.I16: "Int16",
    Kind.I64: "Int64",
    Kind.ADDR: "IPv6",
    Kind.MAC: "FixedString(6)",
    Kind.ENUM: "UInt8",
    Kind.NAMES: "LowCardinality(String)",
    Kind.LIST: "LowCardinality(String)",
}


def is_time(column: Column) -> bool:
    """Whether the stored column is a DateTime64(3)."""
    return is_timestamp(column.physical, column)


def sql_type(column: Column) -> str:
    """The type of the stored column. ``U32X4`` is never stored (KeyError)."""
    return "DateTime64(3, 'UTC')" if is_time(column) else _TYPES[column.kind]


def codec(column: Column) -> str:
    """The compression of the stored column, as measured best: times grow, counters are small, the rest repeats."""
    if is_time(column):
        return "CODEC(Delta(8), ZSTD(1))"
    small_counter = column.role in (Role.MEASURE, Role.DETAIL) and column.kind in (Kind.U32, Kind.U64)
    return "CODEC(T64, ZSTD(1))" if small_counter else "CODEC(ZSTD(1))"


def default(column: Column) -> str:
    """What rows written before the column existed read as: its absent value."""
    return f"DEFAULT {column.absent}" if isinstance(column.absent, int) and column.absent else ""
