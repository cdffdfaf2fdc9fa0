# SPDX-License-Identifier: Apache-2.0
"""FlowBatch → rows for the edges: the JSON of one flow, as the API, the command line and files have it.

Public names and units (``rtt_avg_ns``, not µs), texts for addresses, labels for codes, lists for lists; what is absent is left
out. One Python object a value: only for what somebody will read, never in the data path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flowgauge.flow.addresses import to_text, unique
from flowgauge.flow.batch import Array, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.column import ABSENT_BY_PROTOCOL, Column, Kind
from flowgauge.schema.columns import BY_NAME, BY_PHYSICAL, PORT_PROTOCOLS

Row = dict[str, Any]
Values = Sequence[Any]

_START = "time_start_ns"
_START_OF = ("time_end_ms", "duration_ms")
"""Physical columns of which the start is made once flows are normalised."""


def to_rows(batch: FlowBatch, names: Sequence[str] | None = None) -> list[Row]:
    """One dictionary a flow, with the public columns ``names`` in that order, or all that the batch has in the registry's."""
    columns = list(to_values(batch, names).items())
    return [{name: values[row] for name, values in columns if values[row] is not None} for row in range(len(batch))]


def to_values(batch: FlowBatch, names: Sequence[str] | None = None) -> dict[str, Values]:
    """The same column by column: one value a row, None where absent."""
    wanted = _held(batch) if names is None else [name for name in names if _has(batch, name)]
    return {name: _values(batch, name) for name in wanted}


def _held(batch: FlowBatch) -> list[str]:
    return [name for name in BY_NAME if _has(batch, name)]


def _has(batch: FlowBatch, name: str) -> bool:
    if name in batch or BY_NAME[name].physical in batch:
        return True
    return name == _START and all(part in batch for part in _START_OF)


def _values(batch: FlowBatch, name: str) -> Values:
    """The public values of one column, None where absent."""
    column = BY_NAME[name]
    if name not in batch and name == _START:
        end, duration = (batch.array(part).astype(np.int64) for part in _START_OF)
        values: list[Any] = ((end - duration) * BY_PHYSICAL["time_end_ms"].scale).tolist()
        return values
    physical = name not in batch or column.physical == name
    data = batch[column.physical if physical else name]
    if isinstance(data, Names):
        return _of_names(column, data)
    if data.ndim == 2:
        return _of_bytes(column, data)
    return _of_numbers(column, data, batch, scale=column.scale if physical and column.held_as else 1)


def _of_names(column: Column, data: Names) -> Values:
    read: Callable[[str], Any] = str
    if column.kind is Kind.LIST:
        read = _numbers if column.of_numbers else lambda text: text.split(",")
    values = [read(text) if text else None for text in data.values]
    return [values[code] for code in data.codes.tolist()]


def _numbers(text: str) -> list[int | str]:
    return [int(item) if item.isdecimal() else item for item in text.split(",")]


def _of_bytes(column: Column, data: Array) -> Values:
    if column.kind is Kind.U32X4:
        return [[int(item) for item in row if item] or None for row in data.tolist()]
    if column.kind is Kind.ADDR:
        addresses, inverse = unique(data)
        content = addresses.tobytes()
        texts = [to_text(content[at : at + 16]) or None for at in range(0, len(content), 16)]
    else:
        flat = np.ascontiguousarray(data)
        distinct, inverse = np.unique(flat.view(np.dtype((np.void, flat.shape[1]))).reshape(-1), return_inverse=True)
        texts = [_mac_text(value.tobytes()) or None for value in distinct]
    return [texts[code] for code in inverse.reshape(-1).tolist()]


def _mac_text(value: bytes) -> str:
    return value.hex(":") if any(value) else ""


def _of_numbers(column: Column, data: Array, batch: FlowBatch, *, scale: int) -> Values:
    values: list[Any] = data.tolist()
    if column.kind is Kind.ENUM:
        labels = [label or None for label in column.labels]
        return [labels[code] if code < len(labels) else str(code) for code in values]
    if column.absent == ABSENT_BY_PROTOCOL:
        for row in np.flatnonzero(_without_ports(data, batch)).tolist():
            values[row] = None
        return values
    if scale != 1:
        values = [value * scale for value in values]
    if column.absent is not None and (absent := np.flatnonzero(data == column.absent)).size:
        for row in absent.tolist():
            values[row] = None
    return values


def _without_ports(ports: Array, batch: FlowBatch) -> Array:
    """Where there is no port: by the protocol, or where that was not asked for, by the port being 0."""
    if "proto" not in batch:
        return np.equal(ports, 0)
    return ~np.isin(batch.array("proto"), np.array(sorted(PORT_PROTOCOLS), np.uint8))
