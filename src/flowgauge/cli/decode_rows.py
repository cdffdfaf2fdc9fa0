# SPDX-License-Identifier: Apache-2.0
"""Decoded batches as rows: one object a record, with exactly the columns that it came with, in order of arrival."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.rows import to_values
from flowgauge.schema import enums, iana
from flowgauge.schema.column import Kind
from flowgauge.schema.columns import COLUMNS
from flowgauge.wire.decoded import CounterData, Decoded, Detail, OptionsData, Value

Row = msgspec.Struct | dict[str, Any]
"""One record: its keys and values, nested once under ``extra``."""

ROWS_AT_ONCE = 1 << 14
"""Rows made at once: about 1 KiB each while they wait to be written."""
MAX_TYPES = 4096
"""Types of records remembered: one for each combination of keys."""
EXTRA = "extra"

_FLOW = enums.code(enums.RECORD_KIND, "flow")
_SFLOW = enums.code(enums.FLOW_FORMAT, "sflow5")
_SOURCE, _DOMAIN = "sampling_source", "obs_domain_id"
_UNKNOWN = enums.SAMPLING_SOURCE[0]
_TIME = "time_received_ns"
_TIMES = ("time_start_ns", "time_end_ns")
"""Of sFlow samples these are the time of receipt: they have no other."""
_PLAIN_KINDS = frozenset({Kind.U8, Kind.U16, Kind.U32, Kind.U64, Kind.I16, Kind.I64, Kind.ADDR, Kind.MAC})
_OPTION_COLUMNS: Mapping[str, str] = {
    iana.ELEMENTS[number][0]: column.name
    for column in COLUMNS
    if column.kind in _PLAIN_KINDS and column.name != "template_id"
    for number in (column.element, column.element_v6)
    if number in iana.ELEMENTS
}
"""Elements of options data that a column holds as they are; not the template that options speak of."""


def rows(decoded: Decoded, *, everything: bool) -> Iterator[list[Row]]:
    """The records of one batch, some at a time; flows only, or ``everything``: options, events and counters too."""
    order, positions = _order(decoded, everything=everything)
    told = _told(decoded) if everything else []
    places = np.searchsorted(positions, [position for position, _ in told]).tolist()
    done = 0
    for first in range(0, len(order), ROWS_AT_ONCE):
        last = first + ROWS_AT_ONCE
        found = _flows(decoded, order[first:last])
        merged: list[Row] = []
        at = first
        while done < len(told) and places[done] < last:
            merged += found[at - first : places[done] - first]
            at = places[done]
            merged.append(told[done][1])
            done += 1
        yield merged + found[at - first :] if merged else found
    if done < len(told):
        yield [row for _, row in told[done:]]


def _order(decoded: Decoded, *, everything: bool) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The rows to show in order of arrival, and their positions."""
    if not decoded.details:
        return np.zeros(0, np.intp), np.zeros(0, np.int64)
    position = np.concatenate([detail.position for detail in decoded.details])
    if any(detail.place is not None for detail in decoded.details):
        order = np.lexsort((np.concatenate([_places(detail) for detail in decoded.details]), position))
    else:
        order = np.argsort(position, kind="stable")
    if not everything:
        order = order[decoded.flows.array("record_kind")[order] == _FLOW]
    return order, position[order]


def _places(detail: Detail) -> np.ndarray[Any, Any]:
    return np.arange(detail.last - detail.first) if detail.place is None else detail.place


def _flows(decoded: Decoded, order: np.ndarray[Any, Any]) -> list[Row]:
    """The rows ``order`` of the flows, layout by layout, put into that order."""
    firsts = np.array([detail.first for detail in decoded.details])
    owner = np.searchsorted(firsts, order, side="right") - 1
    if (owner == owner[0]).all():
        return _of_layout(decoded.flows, order, decoded.details[int(owner[0])])
    found: list[Row] = [{}] * len(order)
    for number in np.unique(owner).tolist():
        places = np.flatnonzero(owner == number)
        for place, row in zip(places.tolist(), _of_layout(decoded.flows, order[places], decoded.details[number]), strict=True):
            found[place] = row
    return found


def _of_layout(flows: FlowBatch, order: np.ndarray[Any, Any], detail: Detail) -> list[Row]:
    columns = [name for name in flows if name in detail.columns]
    if not flows.array(_TIME)[order].all():  # a file that does not say when
        sampled = bool((flows.array("flow_format")[order] == _SFLOW).all())
        columns = [name for name in columns if name != _TIME and not (sampled and name in _TIMES)]
    values = to_values(FlowBatch({name: flows[name] for name in columns}, len(flows)).take(order))
    if _SOURCE in values:
        values[_SOURCE] = [None if source == _UNKNOWN else source for source in values[_SOURCE]]
    if detail.extra:
        places = (order - detail.first).tolist()
        values[EXTRA] = _records({name: _plain_all(found, places) for name, found in detail.extra.items()})
    return _records(values)


def _records(values: Mapping[str, Sequence[Any]]) -> list[Row]:
    """Columns as records: objects made and encoded without Python code for each."""
    return list(map(_record_type(tuple(values)), *values.values()))


@lru_cache(MAX_TYPES)
def _record_type(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """A type of records with these keys in this order; None is left out."""
    fields = [(f"f{number}", Any, None) for number in range(len(names))]
    keys = {f"f{number}": name for number, name in enumerate(names)}
    return msgspec.defstruct("Record", fields, rename=keys, omit_defaults=True, gc=False)


def _plain_all(values: Sequence[Value | None], places: Sequence[int]) -> list[Any]:
    chosen = [values[place] for place in places]
    return [_plain(value) for value in chosen] if any(isinstance(value, bytes) for value in chosen) else chosen


def _told(decoded: Decoded) -> list[tuple[int, Row]]:
    """What the exporters say of themselves, one row a record, with its position."""
    found = [(told.position, _option(told, record)) for told in decoded.options for record in told.records]
    found += [(told.position, _counter(told)) for told in decoded.counters]
    return sorted(found, key=lambda entry: entry[0])


def _head(kind: str, flow_format: str, told: OptionsData | CounterData) -> dict[str, Any]:
    row: dict[str, Any] = {"record_kind": kind, "flow_format": flow_format}
    if told.received_ns:
        row[_TIME] = told.received_ns
    if address := to_text(told.exporter_addr):
        row["exporter_addr"] = address
    row["obs_domain_id"] = told.obs_domain_id
    return row


def _counter(told: CounterData) -> Row:
    values = {name: _plain(value) for name, value in told.values.items()}
    source = {"source_type": told.source_type, "source_index": told.source_index}
    return {**_head("counter", "sflow5", told), EXTRA: source | values}


def _option(told: OptionsData, record: Mapping[str, Value]) -> Row:
    row = _head("options", enums.FLOW_FORMAT[told.flow_format], told)
    if told.template_id:
        row["template_id"] = told.template_id
    extra: dict[str, Any] = {}
    for name, value in record.items():
        column = _OPTION_COLUMNS.get(name)
        if column is None or (column == _DOMAIN and value != told.obs_domain_id):
            extra[name] = _plain(value)
        else:
            row[column] = int.from_bytes(value, "big") if isinstance(value, bytes) else value
    if extra:
        row[EXTRA] = extra
    return row


def _plain(value: Value | None) -> Any:
    """What JSON has: bytes become hexadecimal text."""
    return value.hex() if isinstance(value, bytes) else value
