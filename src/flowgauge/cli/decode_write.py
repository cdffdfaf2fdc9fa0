# SPDX-License-Identifier: Apache-2.0
"""Writes rows to standard output for programs: JSON lines, CSV, or a stream of Arrow record batches."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import msgspec

from flowgauge.cli.decode_rows import EXTRA, Row
from flowgauge.schema.column import Column, Kind
from flowgauge.schema.columns import COLUMNS

FIRST_COLUMNS = (
    "src_addr", "dst_addr", "src_port", "dst_port", "proto", "tcp_flags", "bytes", "packets", "sampling_rate",
    "time_start_ns", "time_end_ns", "in_if", "out_if", "ip_tos", "src_as", "dst_as", "src_mask", "dst_mask", "next_hop",
    "src_mac", "dst_mac", "vlan_id", "icmp_type", "icmp_code", "forwarding_status", "post_nat_src_addr", "post_nat_dst_addr",
    "post_nat_src_port", "post_nat_dst_port", "exporter_addr", "obs_domain_id", "template_id", "record_kind", "flow_format",
)  # fmt: skip
"""Where there is a fixed order of columns (CSV, Arrow) it begins with these; then come the others, then ``extra``."""


class Writer(Protocol):
    """Writes rows."""

    def write(self, rows: Sequence[Row]) -> None:
        """Writes some rows."""

    def close(self) -> None:
        """Writes what belongs to the end."""


def writer(how: str) -> Writer:
    """The writer of ``jsonl``, ``csv`` or ``arrow``."""
    writers: dict[str, type[Writer]] = {"jsonl": _JsonLines, "csv": _Csv, "arrow": _Arrow}
    return writers[how]()


def columns() -> tuple[Column, ...]:
    """Every column that the wire can fill, in the order of CSV and Arrow."""
    place = {name: number for number, name in enumerate(FIRST_COLUMNS)}
    wire = [
        column for column in COLUMNS if column.element or column.enterprise or column.name in _OTHERS or column.name in place
    ]
    return tuple(sorted(wire, key=lambda column: place.get(column.name, len(place))))


_OTHERS = ("time_received_ns", "sampling_source")


class _JsonLines:
    """One object a line."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def write(self, rows: Sequence[Row]) -> None:
        sys.stdout.buffer.write(self._encoder.encode_lines(rows))

    def close(self) -> None:
        sys.stdout.buffer.flush()


def _plain(row: Row) -> dict[str, Any]:
    """A record as a dictionary."""
    found: dict[str, Any] = msgspec.to_builtins(row)
    return found


class _Csv:
    """A header, then a line a record; lists with commas in between, ``extra`` as JSON."""

    def __init__(self) -> None:
        self._names = [*(column.name for column in columns()), EXTRA]
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(self._names)

    def write(self, rows: Sequence[Row]) -> None:
        kind: Any
        for kind, same in groupby(rows, type):
            if issubclass(kind, dict):
                self._writer.writerows([_cell(row.get(name)) for name in self._names] for row in map(_plain, same))
            else:
                self._records(kind, same)

    def close(self) -> None:
        sys.stdout.flush()

    def _records(self, kind: type[msgspec.Struct], rows: Iterable[Any]) -> None:
        """Records of one type: each cell is found by its place."""
        keys = kind.__struct_encode_fields__
        place = {name: number for number, name in enumerate(keys)}
        chosen = itemgetter(*(place.get(name, len(keys)) for name in self._names))
        nested = [number for number, name in enumerate(keys) if name in _NESTED]
        for row in rows:
            values = [*msgspec.structs.astuple(row), None]
            for number in nested:
                values[number] = _cell(values[number])
            self._writer.writerow(chosen(values))


_NESTED = {EXTRA, *(column.name for column in COLUMNS if column.kind in (Kind.LIST, Kind.U32X4))}


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return msgspec.json.encode(value).decode() if isinstance(value, dict | msgspec.Struct) else value


class _Arrow:
    """An Arrow IPC stream: null where absent, addresses and labels as texts, ``extra`` as JSON."""

    def __init__(self) -> None:
        import pyarrow as pa

        self._schema = pa.schema([*((column.name, _arrow_type(column)) for column in columns()), (EXTRA, pa.utf8())])
        self._batch = pa.RecordBatch.from_pylist
        output: Any = sys.stdout.buffer
        self._writer = pa.ipc.new_stream(output, self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        plain = [{name: _cell(value) if name == EXTRA else value for name, value in _plain(row).items()} for row in rows]
        self._writer.write_batch(self._batch(plain, schema=self._schema))

    def close(self) -> None:
        self._writer.close()
        sys.stdout.buffer.flush()


def _arrow_type(column: Column) -> Any:
    import pyarrow as pa

    types = {Kind.U8: pa.uint8(), Kind.U16: pa.uint16(), Kind.U32: pa.uint32(), Kind.U64: pa.uint64(), Kind.I16: pa.int16(),
             Kind.I64: pa.int64(), Kind.U32X4: pa.list_(pa.uint32())}  # fmt: skip
    if column.kind is Kind.LIST:
        return pa.list_(pa.uint32() if column.of_numbers else pa.utf8())
    return types.get(column.kind_as(column.name), pa.utf8())
