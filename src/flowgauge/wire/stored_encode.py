# SPDX-License-Identifier: Apache-2.0
"""Encodes flows of the store as sets of IPFIX or flowsets of NetFlow v9, in columns; names travel as strings.

Before it: flows read back, or live ones behind the pipeline; after it: ``export``, which makes messages of the sets. Strings
are many and repeat: rows with the same strings share one piece of bytes, which is made once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.column import ABSENT_BY_PROTOCOL
from flowgauge.schema.columns import BY_NAME, PORT_PROTOCOLS
from flowgauge.wire.elements import absent_value
from flowgauge.wire.flow_fields import FlowField, Rows
from flowgauge.wire.ipfix import SET_HEADER_BYTES
from flowgauge.wire.ipfix_write import Piece, data_set, template_record, variable
from flowgauge.wire.stored_fields import ADDRESSES, COMMON, fixed_fields, groups, is_text, text_field

MAX_TEXT_BYTES = 300
"""Longer strings are cut: the longest name of an object or of a host has 253 bytes."""

Flags = npt.NDArray[np.bool_]
_V6, _EXPORTER_V6 = 1, 2
_GROUPS_FROM = 2
"""Bits of a signature: two for the addresses, then one a group."""
_IANA_DIRECTIONS = np.array([1, 2], np.uint8)
"""Codes of ingress and egress: for flows within a node only our own agents have a value."""
_MAPPED = np.frombuffer(b"\0\0\xff\xff", np.uint32)[0]
"""Third word of a v4-mapped address."""


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """The template of one signature: fields of fixed length, then ``texts``, the columns of strings."""

    template_id: int
    fields: tuple[FlowField, ...]
    texts: tuple[str, ...]
    record: bytes
    dtype: np.dtype[Any]


class StoredEncoder:
    """Encodes batches with physical columns; template ids are dealt out as signatures occur.

    Args:
        room: bytes of sets that a message takes.
        pen: private enterprise number of our own elements; None for NetFlow v9.
        first_template: the first id to deal out.
    """

    def __init__(self, room: int, pen: int | None, first_template: int) -> None:
        self._room, self._pen, self._first_template = room, pen, first_template
        self._groups = groups(pen)
        self._templates: dict[int, StoredTemplate] = {}

    def template_records(self) -> list[bytes]:
        """The records of all templates so far."""
        return [template.record for template in self._templates.values()]

    def encode(self, batch: FlowBatch) -> tuple[list[bytes], list[Piece]]:
        """Template records that no batch before needed, and the sets that hold the flows: in order within one template."""
        known = len(self._templates)
        signature = self._signatures(batch)
        pieces: list[Piece] = []
        for one in np.unique(signature).tolist():
            pieces += self._pieces(batch, np.flatnonzero(signature == one), self._template(one))
        return self.template_records()[known:], pieces

    def _signatures(self, batch: FlowBatch) -> npt.NDArray[np.uint64]:
        """Which template each row needs."""
        found = _needs_v6(batch).astype(np.uint64) * np.uint64(_V6)
        found |= (_reported_over_v6(batch)).astype(np.uint64) * np.uint64(_EXPORTER_V6)
        for bit, group in enumerate(self._groups, _GROUPS_FROM):
            present = [self._present(batch, name) for name in group if BY_NAME[name].physical in batch]
            if present:
                found |= np.logical_or.reduce(present).astype(np.uint64) << np.uint64(bit)
        return found

    def _present(self, batch: FlowBatch, name: str) -> Flags:
        """Where a row has a value that can be sent."""
        column = BY_NAME[name]
        if column.absent == ABSENT_BY_PROTOCOL and "proto" in batch:
            return np.isin(batch.array("proto"), np.array(sorted(PORT_PROTOCOLS), np.uint8))
        if is_text(column):
            return np.not_equal(batch.names(name).codes, 0)
        if name == "flow_direction" and self._pen is None:
            return np.isin(batch.array(name), _IANA_DIRECTIONS)
        present: Flags = (batch.array(column.physical) != absent_value(column)).reshape(len(batch), -1).any(axis=1)
        return present

    def _template(self, signature: int) -> StoredTemplate:
        found = self._templates.get(signature)
        if found is None:
            found = self._templates[signature] = self._made(signature, self._first_template + len(self._templates))
        return found

    def _made(self, signature: int, template_id: int) -> StoredTemplate:
        chosen = (group for bit, group in enumerate(self._groups, _GROUPS_FROM) if signature >> bit & 1)
        names = (*COMMON, *(name for group in chosen for name in group))
        fields = tuple(fixed_fields(names, self._pen, v6=bool(signature & _V6), exporter_v6=bool(signature & _EXPORTER_V6)))
        texts = tuple(name for name in names if is_text(BY_NAME[name]))
        specifiers = [*(field.specifier for field in fields), *(text_field(name, self._pen or 0) for name in texts)]
        dtype = np.dtype([(f"f{number}", field.dtype) for number, field in enumerate(fields)])
        return StoredTemplate(template_id, fields, texts, template_record(template_id, specifiers), dtype)

    def _pieces(self, batch: FlowBatch, rows: Rows, template: StoredTemplate) -> list[Piece]:
        """Rows of one template, as many to a set as a message takes."""
        records = np.empty(len(rows), template.dtype)
        for number, field in enumerate(template.fields):
            records[f"f{number}"] = field.values(batch, rows)
        if template.texts:
            shared, strings = _strings([batch.names(name).take(rows) for name in template.texts])
            return list(_in_sets(template.template_id, records, shared, strings, self._room))
        size = template.dtype.itemsize
        step = max(1, (self._room - SET_HEADER_BYTES) // size)
        content = records.tobytes()
        return [
            Piece(data_set(template.template_id, content[at * size : (at + step) * size]), min(step, len(rows) - at))
            for at in range(0, len(rows), step)
        ]


def _strings(columns: list[Names]) -> tuple[npt.NDArray[np.intp], list[bytes]]:
    """For each row the number of its strings, and these as they travel: all columns' values one behind the other.

    Rows are grouped by a hash of their codes; rows that share a hash without sharing the codes are found, and then grouped by
    the codes themselves.
    """
    codes = np.stack([column.codes for column in columns], axis=1)
    mixed = (codes.astype(np.uint64) * _mix(codes.shape[1])).sum(axis=1, dtype=np.uint64)
    _, first, shared = np.unique(mixed, return_index=True, return_inverse=True)
    if not np.array_equal(codes[first[shared.reshape(-1)]], codes):
        _, first, shared = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    values = [column.values for column in columns]
    strings = [
        b"".join(variable(_bytes(of_column[code])) for of_column, code in zip(values, row, strict=True))
        for row in codes[first].tolist()
    ]
    return shared.reshape(-1), strings


def _mix(columns: int) -> npt.NDArray[np.uint64]:
    """Odd numbers that spread codes over 64 bits, the powers of one."""
    return np.cumprod(np.full(columns, 0x9E3779B97F4A7C15, np.uint64), dtype=np.uint64)


def _bytes(text: str) -> bytes:
    """UTF-8, cut between two characters."""
    encoded = text.encode("utf-8", "replace")
    return encoded if len(encoded) <= MAX_TEXT_BYTES else encoded[:MAX_TEXT_BYTES].decode("utf-8", "ignore").encode()


def _in_sets(
    set_id: int, records: npt.NDArray[np.void], shared: npt.NDArray[np.intp], strings: list[bytes], room: int
) -> Iterator[Piece]:
    """Sets of records with their strings behind them, each as full as ``room`` allows."""
    size, content = records.dtype.itemsize, records.tobytes()
    ends = np.cumsum(np.array([len(piece) for piece in strings], np.int64)[shared] + size)
    parts = [
        part
        for row, code in enumerate(shared.tolist())
        for part in (content[row * size : (row + 1) * size], strings[code])
    ]  # fmt: skip
    first, before = 0, 0
    while first < len(records):
        stop = max(first + 1, int(np.searchsorted(ends, before + room - SET_HEADER_BYTES, side="right")))
        yield Piece(data_set(set_id, b"".join(parts[2 * first : 2 * stop])), stop - first)
        first, before = stop, int(ends[stop - 1])


def _needs_v6(batch: FlowBatch) -> Flags:
    """Rows with an address that the four bytes of an IPv4 element cannot say."""
    needs = np.zeros(len(batch), np.bool_)
    for name in ADDRESSES:
        if name in batch:
            words = _words(batch, name)
            # Behind source and destination an address may be absent: that fits either way, and 0.0.0.0 would mean it.
            narrow = _is_mapped(words) if name in COMMON else ~words.any(axis=1) | _is_mapped(words) & (words[:, 3] != 0)
            needs |= ~narrow
    return needs


def _reported_over_v6(batch: FlowBatch) -> Flags:
    if "exporter_addr" not in batch:
        return np.zeros(len(batch), np.bool_)
    words = _words(batch, "exporter_addr")
    return words.any(axis=1) & ~_is_mapped(words)


def _words(batch: FlowBatch, name: str) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(batch.array(name)).view(np.uint32)


def _is_mapped(words: npt.NDArray[np.uint32]) -> Flags:
    mapped: Flags = (words[:, 0] == 0) & (words[:, 1] == 0) & (words[:, 2] == _MAPPED)
    return mapped
