# SPDX-License-Identifier: Apache-2.0
"""Encodes flows as IPFIX or NetFlow v9, in columns: rows with the same fields are written as one structured array.

Before it: the agent's accounter; after it: whoever sends, who stamps sequence numbers. Which fields a row has decides its
template; ids are fixed by that, so that a template of one id never changes its layout.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import FlowBatch, definition
from flowgauge.flow.names import Names
from flowgauge.runtime.ledger import BY_ENTERPRISE
from flowgauge.schema.told import TOLD
from flowgauge.wire.elements import Element, absent_value, our_elements
from flowgauge.wire.flow_fields import (
    COLUMNS,
    COMMON,
    COUNTERS,
    EVENT,
    GROUPS,
    TEXTS,
    FlowField,
    Rows,
    flow_fields,
    netflow9_fields,
    netflow9_groups,
    text_fields,
)
from flowgauge.wire.ipfix import FIRST_DATA_SET, SET_HEADER_BYTES
from flowgauge.wire.ipfix_write import Piece, data_set, in_sets, template_record, variable
from flowgauge.wire.layout import Field

Signatures = npt.NDArray[np.uint32]
"""For each row: bit 0 IPv6, bit 1 + i the row has group i of ``GROUPS``."""

_V6 = 1
MAX_TEXT_BYTES = 300
"""Longer strings are cut: a DNS name has 255 bytes, and a record must fit into the smallest message."""
_LENGTH_BYTES = 3
"""At most before a string of variable length (RFC 7011 §7)."""
FLOW_TEMPLATES = range(FIRST_DATA_SET, FIRST_DATA_SET + (1 << 14))
"""Ids of flow templates by their signature, when it is below 2^14; options templates come behind them."""
RARE_TEMPLATES = range(FLOW_TEMPLATES.stop + 16, 1 << 16)
"""Ids of all other flow templates, whose signatures do not fit into 16 bits: see ``template_id``."""
_SOME = 16
"""Rows with the same strings, from which on they are written as one array: the drops of one cause, the flows of one process."""
_MAPPED = np.frombuffer(b"\0\0\xff\xff", np.uint32)[0]
"""Third word of a v4-mapped address."""


@dataclass(frozen=True, slots=True)
class FlowTemplate:
    """The template of one signature: fields of fixed length, then the columns of strings."""

    template_id: int
    fields: tuple[FlowField, ...]
    texts: Mapping[str, Field]
    dtype: np.dtype[Any]

    @property
    def record(self) -> bytes:
        """Its template record."""
        return template_record(self.template_id, [*(field.specifier for field in self.fields), *self.texts.values()])


class FlowEncoder:
    """Encodes the columns ``flow_fields.COLUMNS`` of batches.

    Args:
        room: bytes of sets that a message takes.
        pen: private enterprise number of our own elements; None for NetFlow v9, which cannot carry them.
    """

    def __init__(self, room: int, pen: int | None) -> None:
        self._room, self._pen = room, pen
        self._carried = np.uint32(_V6 | (netflow9_groups() if pen is None else (1 << len(GROUPS)) - 1) << 1)
        self._templates: dict[int, FlowTemplate] = {}

    def template(self, signature: int) -> FlowTemplate:
        """The template of rows with this signature."""
        found = self._templates.get(signature)
        if found is None:
            common = [name for name in COMMON if not (signature >> EVENT + 1 & 1 and name in COUNTERS)]
            names = [*common, *(name for bit, group in enumerate(GROUPS) if signature >> bit + 1 & 1 for name in group)]
            v6 = bool(signature & _V6)
            fields = netflow9_fields(names, v6=v6) if self._pen is None else flow_fields(names, self._pen, v6=v6)
            texts = {} if self._pen is None else text_fields(names, self._pen)
            dtype = np.dtype([(f"f{number}", field.dtype) for number, field in enumerate(fields)])
            taken = {template.template_id for template in self._templates.values()}
            found = self._templates[signature] = FlowTemplate(template_id(signature, taken), fields, texts, dtype)
        return found

    def encode(self, batch: FlowBatch) -> tuple[list[Piece], set[int]]:
        """The sets that hold the flows, none longer than a message has room for, and the signatures that occur."""
        if not len(batch):
            return [], set()
        if self._pen is None and "socket_event" in batch:
            batch = batch.take(batch.array("socket_event") == 0)  # an event without its event would be a flow of nothing
        signature = signatures(batch) & self._carried
        found = np.unique(signature).tolist()
        pieces: list[Piece] = []
        for one in found:
            pieces += self._pieces(batch, np.flatnonzero(signature == one), self.template(one))
        return pieces, set(found)

    def _pieces(self, batch: FlowBatch, rows: Rows, template: FlowTemplate) -> list[Piece]:
        """Rows of one template, as many to a set as a message takes."""
        records = np.empty(len(rows), template.dtype)
        for number, field in enumerate(template.fields):
            records[f"f{number}"] = field.values(batch, rows)
        content = records.view(np.uint8).reshape(len(rows), -1)
        if not template.texts:
            return self._alike(template.template_id, content)
        columns = [batch.names(name).take(rows) for name in template.texts]
        alike, few = _by_texts(columns)
        room = self._room - SET_HEADER_BYTES - content.shape[1]
        pieces: list[Piece] = []
        for group in alike:
            tail = _tail(columns, int(group[0]), room)
            whole = np.empty((len(group), content.shape[1] + len(tail)), np.uint8)
            whole[:, : content.shape[1]], whole[:, content.shape[1] :] = content[group], np.frombuffer(tail, np.uint8)
            pieces += self._alike(template.template_id, whole)
        single = (content[row].tobytes() + _tail(columns, row, room) for row in few.tolist())
        return pieces + in_sets(template.template_id, single, self._room)

    def _alike(self, set_id: int, content: npt.NDArray[np.uint8]) -> list[Piece]:
        """Records of equal length, one a row of ``content``, as many to a set as a message takes."""
        count, size = content.shape
        step = max(1, (self._room - SET_HEADER_BYTES) // size)
        full, rest = divmod(count, step)
        pieces = _full_sets(set_id, content[: full * step].reshape(full, step * size), step)
        if rest:
            pieces.append(Piece(data_set(set_id, content[full * step :].tobytes()), rest))
        return pieces


def _by_texts(columns: Sequence[Names]) -> tuple[list[Rows], Rows]:
    """The rows whose strings are all the same, for each such group of some size, and all other rows in order."""
    group = np.zeros(len(columns[0].codes), np.int64)
    for column in columns:
        group = np.unique(group * len(column.values) + column.codes, return_inverse=True)[1].reshape(-1)
    order, sizes = np.argsort(group, kind="stable"), np.bincount(group)
    groups = np.split(order, np.cumsum(sizes)[:-1]) if (sizes >= _SOME).any() else []
    return [rows for rows in groups if len(rows) >= _SOME], np.flatnonzero(sizes[group] < _SOME)


def _tail(columns: Sequence[Names], row: int, room: int) -> bytes:
    """A record's strings as they follow what is of fixed length, cut to equal shares of ``room`` if longer together."""
    texts = [column.values[column.codes[row]] for column in columns]
    tail = b"".join(map(_encoded, texts))
    if len(tail) <= room:
        return tail
    share = room // len(texts) - _LENGTH_BYTES
    return b"".join(variable(text.encode()[:share]) for text in texts)


@functools.lru_cache(maxsize=4096)
def _encoded(text: str) -> bytes:
    return variable(text.encode()[:MAX_TEXT_BYTES])


def _full_sets(set_id: int, contents: npt.NDArray[np.uint8], records: int) -> list[Piece]:
    """Sets of equal length, one a row of ``contents``: all headers are written at once."""
    length = SET_HEADER_BYTES + contents.shape[1]
    sets = np.empty((len(contents), length), np.uint8)
    sets[:, :SET_HEADER_BYTES] = np.frombuffer(struct.pack("!HH", set_id, length), np.uint8)
    sets[:, SET_HEADER_BYTES:] = contents
    whole = sets.tobytes()
    return [Piece(whole[at : at + length], records) for at in range(0, len(whole), length)]


def template_id(signature: int, taken: Collection[int]) -> int:
    """The id of the template of a signature: the same after each restart, so that no id changes its layout.

    Of two rare signatures that meet in one id (about one pair in 49,000), the second one gets the next that is not ``taken``.
    """
    if signature < len(FLOW_TEMPLATES):
        return FLOW_TEMPLATES[signature]
    at = signature * 0x9E3779B1 % (1 << 32) % len(RARE_TEMPLATES)
    while RARE_TEMPLATES[at] in taken:
        at = (at + 1) % len(RARE_TEMPLATES)
    return RARE_TEMPLATES[at]


def usual_signatures() -> set[int]:
    """Those of nearly every node, to be announced before the first flow; the others are announced when they occur.

    With or without address translation, with ports or ICMP type, IPv4 and IPv6.
    """
    ports, icmp, tos, nat = (2 << GROUPS.index(group) for group in GROUPS[:4])
    return {family | kind | tos | extra for family in (0, _V6) for kind in (ports, icmp) for extra in (0, nat)}


def sent_elements(pen: int) -> list[Element]:
    """The elements of ours that agents send: columns without an IANA element, counters, and what they tell beside."""
    sent = {definition(name).enterprise for name in COLUMNS if not definition(name).element}
    sent |= BY_ENTERPRISE.keys() | {told.enterprise for told in TOLD}
    return [element for element in our_elements(pen) if element.number in sent]


def signatures(batch: FlowBatch) -> Signatures:
    """Which template each row needs."""
    found = _needs_v6(batch).astype(np.uint32)
    for bit, group in enumerate(GROUPS):
        present = [_present(batch, name) for name in group if name in batch]
        if present:
            found |= np.logical_or.reduce(present).astype(np.uint32) << np.uint32(bit + 1)
    return found


def _present(batch: FlowBatch, name: str) -> npt.NDArray[np.bool_]:
    if name in TEXTS:
        return np.not_equal(batch.names(name).codes, 0)
    differs = batch.array(name) != absent_value(definition(name))
    present: npt.NDArray[np.bool_] = differs.reshape(len(batch), -1).any(axis=1)
    return present


def _needs_v6(batch: FlowBatch) -> npt.NDArray[np.bool_]:
    """Rows with an address that the four bytes of an IPv4 element cannot say."""
    needs = np.zeros(len(batch), np.bool_)
    for name in ("src_addr", "dst_addr"):
        needs |= ~_is_mapped(batch, name)
    for name in ("post_nat_src_addr", "post_nat_dst_addr"):
        if name in batch:
            words = np.ascontiguousarray(batch.array(name)).view(np.uint32)
            # There 0.0.0.0 means absent, so the mapped form of it needs its 16 bytes.
            needs |= words.any(axis=1) & ~(_is_mapped(batch, name) & (words[:, 3] != 0))
    return needs


def _is_mapped(batch: FlowBatch, name: str) -> npt.NDArray[np.bool_]:
    words = np.ascontiguousarray(batch.array(name)).view(np.uint32)
    mapped: npt.NDArray[np.bool_] = (words[:, 0] == 0) & (words[:, 1] == 0) & (words[:, 2] == _MAPPED)
    return mapped
