# SPDX-License-Identifier: Apache-2.0
"""Makes one FlowBatch of the records of several layouts: columns are allocated once, each layout fills its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import words
from flowgauge.flow.batch import Array, FlowBatch, definition
from flowgauge.flow.names import Names
from flowgauge.schema.enums import FLOW_FORMAT, RECORD_KIND, SAMPLING_SOURCE, code
from flowgauge.wire.elements import absent_value
from flowgauge.wire.layout import Field, Layout
from flowgauge.wire.mapping import Reader
from flowgauge.wire.origins import Origins
from flowgauge.wire.pool import Pool, bytes_for
from flowgauge.wire.records import Index, Records
from flowgauge.wire.sampling import RatesAndSources
from flowgauge.wire.texts import joined
from flowgauge.wire.views import Octets

_AGENT, _FLOW, _EVENT = code(FLOW_FORMAT, "agent"), code(RECORD_KIND, "flow"), code(RECORD_KIND, "event")
_RECORD, _OUR_AGENT = code(SAMPLING_SOURCE, "record"), code(SAMPLING_SOURCE, "agent")
WRONG_CLOCK_NS = 60_000_000_000
"""Nothing that was sent just now is on its way for a minute: such a difference is a clock's."""
_WHOLE_ADDRESS = np.dtype((np.void, 16))


@dataclass(frozen=True, slots=True)
class Block:
    """Records of one layout, and what their messages say of them.

    Attributes:
        flow_format: code of the protocol; records of our own agents say ``agent`` all the same.
        template_id, domain: for each set.
        fields: of the layout, for who wants what has no column.
        sampling: rates and where they are from, of records that do not carry their own; None: nothing is known.
        lookup: the layout of a template in the domain of a set, for lists of records within records.
        exporter: uint8 (n, 16), the address that each record gives for its exporter; zeros: it gives none.
        socket: uint8 (n, 16), the sender of records whose exporter is another; zeros elsewhere; None: there are none.
        backwards_of: where the records are the other direction of ones in the block before: which of those.
    """

    records: Records
    reader: Reader
    origins: Origins
    flow_format: int
    template_id: npt.NDArray[np.int64]
    domain: npt.NDArray[np.uint32]
    fields: tuple[Field, ...] = ()
    exporter: npt.NDArray[np.uint8] | None = None
    sampling: RatesAndSources | None = None
    socket: Octets | None = None
    lookup: Callable[[int, int], Layout | None] | None = None
    backwards_of: Index | None = None


def assemble(blocks: Sequence[Block], pool: Pool, *, fresh: bool = False) -> FlowBatch:
    """All records as one batch; a column that only some layouts have is absent in the rows of the others.

    Args:
        blocks: the records.
        pool: memory for the columns.
        fresh: they were sent just now, so an export time that is far from the receive time comes from a wrong clock.
    """
    blocks = [block for block in blocks if len(block.records)]
    total = sum(len(block.records) for block in blocks)
    if not total:
        return FlowBatch({}, 0)
    names = [*dict.fromkeys(name for block in blocks for name in columns_of(block)), *OF_MESSAGES]
    wrong = [_wrong_clocks(block) for block in blocks] if fresh else []
    if any(each is not None for each in wrong):
        names.append("time_exported_ns")
    columns = _space(names, total, pool)
    first = 0
    for number, block in enumerate(blocks):
        out = {name: data[first : first + len(block.records)] for name, data in columns.items()}
        _fill(block, out)
        if wrong and (exported_ns := wrong[number]) is not None:
            _spread(out["time_exported_ns"], exported_ns, block.records.set_row)
        first += len(block.records)
    return FlowBatch({**columns, **_texts(blocks)}, total)


OF_MESSAGES = ("time_received_ns", "exporter_addr", "obs_domain_id", "template_id", "flow_format", "record_kind")
"""Columns that every row has."""


def columns_of(block: Block) -> tuple[str, ...]:
    """The array columns that the rows of a block have."""
    found = block.reader.columns
    if "sampling_rate" in found or block.sampling is not None:
        found = (*found, "sampling_rate", "sampling_source")
    return found if block.socket is None else (*found, "socket_addr")


def other_sockets(senders: Octets, exporters: Octets) -> Octets | None:
    """What ``Block.socket`` is, of senders' addresses and those that records give for their exporters (zeros: none)."""
    sender, exporter = words(senders).T, words(exporters).T  # by halves: "any" along short rows costs ten times as much
    other = ((exporter[0] | exporter[1]) != 0) & ((sender[0] != exporter[0]) | (sender[1] != exporter[1]))
    return senders * other[:, None] if other.any() else None


def _space(names: Sequence[str], total: int, pool: Pool) -> dict[str, Array]:
    space = pool.space(bytes_for(names, total))
    return {name: space.column(name, total) for name in names}


def _fill(block: Block, out: Mapping[str, Array]) -> None:
    """Fills the rows of one block."""
    for name in out.keys() - set(block.reader.columns) - set(OF_MESSAGES):
        out[name][...] = absent_value(definition(name))
    for step in block.reader.steps:
        step.fill(block.records, out)
    if "sampling_source" in out:
        _resolve(block, out["sampling_rate"], out["sampling_source"])
    row, datagram = block.records.set_row, block.records.sets.datagram
    sender = block.origins.source_addr.view(_WHOLE_ADDRESS).reshape(-1)[datagram]
    np.take(sender, row, out=out["exporter_addr"].view(_WHOLE_ADDRESS).reshape(-1), mode="clip")  # the mode that needs no copy
    if block.exporter is not None:
        known = block.exporter.any(axis=1)
        out["exporter_addr"][known] = block.exporter[known]
    if block.socket is not None:
        out["socket_addr"][...] = block.socket
    _spread(out["time_received_ns"], block.origins.received_ns[datagram], row)
    _spread(out["obs_domain_id"], block.domain, row)
    _spread(out["template_id"], block.template_id, row)
    out["flow_format"][...] = _AGENT if block.reader.ours else block.flow_format
    out["record_kind"][...] = _FLOW if block.reader.counts else _EVENT


def _wrong_clocks(block: Block) -> npt.NDArray[np.int64] | None:
    """The export time of each set whose exporter's clock is wrong, 0 of others; None when all are right, or tell no time."""
    sets = block.records.sets
    exported_ns = sets.export_s * 1_000_000_000
    wrong = np.abs(block.origins.received_ns[sets.datagram] - exported_ns) > WRONG_CLOCK_NS
    return exported_ns * wrong if wrong.any() and exported_ns.any() else None


def _resolve(block: Block, rate: Array, source: Array) -> None:
    """Says where rates are from, and fills those that the records do not carry; events are not sampled."""
    source[...] = (rate != 0) * np.uint8(_RECORD if not block.reader.ours else _OUR_AGENT)
    if block.sampling is not None and block.reader.counts:
        own = rate != 0
        np.copyto(rate, block.sampling[0], where=~own)
        np.copyto(source, block.sampling[1], where=~own)


def _spread(target: Array, per_set: Array, row: Index) -> None:
    """Gives each record the value of its set; mostly all sets have the same."""
    if (per_set == per_set[0]).all():
        target[...] = per_set[0]
    else:
        np.take(per_set.astype(target.dtype, copy=False), row, out=target, mode="clip")


def _texts(blocks: Sequence[Block]) -> dict[str, Names]:
    names = dict.fromkeys(name for block in blocks for name, _ in block.reader.texts)
    columns = {}
    for name in names:
        steps = [dict(block.reader.texts).get(name) for block in blocks]
        columns[name] = joined(steps, [block.records for block in blocks])
    return columns
