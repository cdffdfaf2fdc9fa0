# SPDX-License-Identifier: Apache-2.0
"""Makes one FlowBatch of the records of several layouts: columns are allocated once, each layout fills its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import Array, ColumnData, FlowBatch, absent_column, definition, dtype_of, shape_of
from flowgauge.flow.names import Names
from flowgauge.schema.enums import FLOW_FORMAT, RECORD_KIND, code
from flowgauge.wire.intake import Origins
from flowgauge.wire.mapping import Reader
from flowgauge.wire.records import Records

_AGENT, _FLOW, _EVENT = code(FLOW_FORMAT, "agent"), code(RECORD_KIND, "flow"), code(RECORD_KIND, "event")
_WHOLE_ADDRESS = np.dtype((np.void, 16))


@dataclass(frozen=True, slots=True)
class Block:
    """Records of one layout, and what their messages say of them.

    Attributes:
        flow_format: code of the protocol; records of our own agents say ``agent`` all the same.
        template_id, domain: for each set.
    """

    records: Records
    reader: Reader
    origins: Origins
    flow_format: int
    template_id: npt.NDArray[np.int64]
    domain: npt.NDArray[np.uint32]


def assemble(blocks: Sequence[Block]) -> FlowBatch:
    """All records as one batch; a column that only some layouts have is absent in the rows of the others."""
    blocks = [block for block in blocks if len(block.records)]
    total = sum(len(block.records) for block in blocks)
    if not total:
        return FlowBatch({}, 0)
    columns: dict[str, ColumnData] = {
        name: _column(name, total, everywhere=all(name in block.reader.columns for block in blocks))
        for name in dict.fromkeys(name for block in blocks for name in block.reader.columns)
    }
    columns |= {name: _empty(name, total) for name in _OF_MESSAGES}
    first = 0
    for block in blocks:
        rows = slice(first, first + len(block.records))
        out = {name: data[rows] for name, data in columns.items() if not isinstance(data, Names)}
        for step in block.reader.steps:
            step.fill(block.records, out)
        _of_messages(block, out)
        first = rows.stop
    return FlowBatch({**columns, **_texts(blocks)}, total)


_OF_MESSAGES = ("time_received_ns", "exporter_addr", "obs_domain_id", "template_id", "flow_format", "record_kind")


def _of_messages(block: Block, out: dict[str, Array]) -> None:
    """Fills the columns that are the same for all records of a set."""
    row, datagram = block.records.set_row, block.records.sets.datagram
    sender = block.origins.source_addr.view(_WHOLE_ADDRESS).reshape(-1)[datagram]
    out["exporter_addr"].view(_WHOLE_ADDRESS).reshape(-1)[...] = sender[row]
    out["time_received_ns"][...] = block.origins.received_ns[datagram][row]
    out["obs_domain_id"][...] = block.domain[row]
    out["template_id"][...] = block.template_id[row]
    out["flow_format"][...] = _AGENT if block.reader.ours else block.flow_format
    out["record_kind"][...] = _FLOW if block.reader.counts else _EVENT


def _texts(blocks: Sequence[Block]) -> dict[str, Names]:
    names = dict.fromkeys(name for block in blocks for name, _ in block.reader.texts)
    columns = {}
    for name in names:
        parts = []
        for block in blocks:
            step = dict(block.reader.texts).get(name)
            parts.append(step.read(block.records) if step else Names.constant("", len(block.records)))
        columns[name] = Names.concat(parts) if len(parts) > 1 else parts[0]
    return columns


def _empty(name: str, total: int) -> Array:
    column = definition(name)
    return np.empty(shape_of(column, total), dtype_of(column))


def _column(name: str, total: int, *, everywhere: bool) -> ColumnData:
    """Space for a column; filled as absent unless every layout fills it."""
    return _empty(name, total) if everywhere else absent_column(definition(name), total)
