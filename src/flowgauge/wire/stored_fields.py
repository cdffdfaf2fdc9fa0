# SPDX-License-Identifier: Apache-2.0
"""Which elements carry a flow as the store has it: measured columns, and the names that were put on it as strings.

The columns are the physical ones (times in ms, latencies in µs). IPFIX carries all that have an element of IANA's or of ours;
NetFlow v9 has neither enterprise numbers nor strings of varying length, so there the columns with an element of IANA's and a
fixed length are all there is. As in ``flow_fields``, columns that a flow may lack come in groups, and a flow's template has
the groups that the flow has a value for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowgauge.flow.batch import Array, FlowBatch, dtype_of
from flowgauge.schema.column import Column, Kind, Stored
from flowgauge.schema.columns import BY_NAME, COLUMNS
from flowgauge.wire.elements import VARIABLE
from flowgauge.wire.flow_fields import NETFLOW9_FLAGS, FlowField, Rows, Values, flow_fields
from flowgauge.wire.layout import Field

COMMON: tuple[str, ...] = (
    "src_addr", "dst_addr", "proto", "tcp_flags", "bytes", "packets", "time_start_ns", "time_end_ns",
)  # fmt: skip
"""Columns of every flow, in the order of the wire."""

_TOGETHER: tuple[tuple[str, ...], ...] = (
    ("src_port", "dst_port"),
    ("icmp_type", "icmp_code"),
    ("post_nat_src_addr", "post_nat_dst_addr", "post_nat_src_port", "post_nat_dst_port"),
    ("rtt_min_ns", "rtt_avg_ns", "rtt_max_ns"),
    ("drop_packets", "drop_cause"),
    ("dns_rcode", "dns_name", "dns_latency_ns"),
)
"""Columns that a flow has together or not at all."""

NOT_SENT: frozenset[str] = frozenset({
    "mpls_labels", "application_id", "template_id", "local_ends", "observed_ifs",
})  # fmt: skip
"""Columns whose element means something else than what is stored, or that only the agent itself may say."""

ADDRESSES: tuple[str, ...] = ("src_addr", "dst_addr", "post_nat_src_addr", "post_nat_dst_addr", "next_hop", "bgp_next_hop")
"""Addresses of the flow: all of them travel as IPv4, or all as IPv6. The exporter's is a case of its own."""


def is_text(column: Column) -> bool:
    """Whether the column travels as a string of varying length."""
    return column.kind in (Kind.NAMES, Kind.LIST)


def groups(pen: int | None) -> tuple[tuple[str, ...], ...]:
    """The columns beyond ``COMMON``, grouped; for NetFlow v9 (``pen`` None) without those that it cannot carry."""
    found: dict[object, list[str]] = {}
    for column in COLUMNS:
        if column.name not in COMMON and _carried(column, pen):
            found.setdefault(_group(column), []).append(column.name)
    return tuple(map(tuple, found.values()))


def _carried(column: Column, pen: int | None) -> bool:
    if column.name in NOT_SENT or column.stored is Stored.NEVER:
        return False
    if pen is None:
        return bool(column.element) and not is_text(column)
    return bool(column.element or column.enterprise)


def _group(column: Column) -> object:
    """What a column shares with those of its group: a core column that no other must accompany is a group alone."""
    name = column.name
    together = next((group for group in _TOGETHER if name in group), None)
    if together:
        return together
    end = next((end for end in ("src_", "dst_") if name.startswith(end)), "")
    if column.stored in (Stored.CORE, Stored.ICMP, Stored.SEEN) and not end:
        return name
    return (column.stored if column.stored not in (Stored.CORE, Stored.POLICY) else Stored.CORE), end


def fixed_fields(names: tuple[str, ...], pen: int | None, *, v6: bool, exporter_v6: bool) -> Iterator[FlowField]:
    """The fields of fixed length that carry ``names`` of IPv4 or IPv6 flows, reported over IPv4 or IPv6."""
    for name in names:
        column = BY_NAME[name]
        if is_text(column) or name == "icmp_code":  # which travels with icmp_type
            continue
        if name in ("time_start_ns", "time_end_ns"):
            yield FlowField(
                0, 152 if name == "time_start_ns" else 153, np.dtype(">u8"), _started if "start" in name else _ended
            )
        elif column.held_as:
            yield FlowField(pen or 0, column.enterprise, dtype_of(column, name).newbyteorder(">"), _scaled(column))
        elif name == "tcp_flags" and pen is None:
            yield FlowField(0, column.element, NETFLOW9_FLAGS, _low_flags)
        else:
            wide = exporter_v6 if name == "exporter_addr" else v6 or not column.element
            yield flow_fields((name,), pen or 0, v6=wide)[0]


def text_field(name: str, pen: int) -> Field:
    """What a template says of a column of strings."""
    column = BY_NAME[name]
    return Field(0, column.element, VARIABLE) if column.element else Field(pen, column.enterprise, VARIABLE)


def _started(batch: FlowBatch, rows: Rows) -> Array:
    started: Array = batch.array("time_end_ms")[rows] - batch.array("duration_ms")[rows].astype(np.int64)
    return started.clip(0)


def _ended(batch: FlowBatch, rows: Rows) -> Array:
    return batch.array("time_end_ms")[rows].clip(0)


def _low_flags(batch: FlowBatch, rows: Rows) -> Array:
    return batch.array("tcp_flags")[rows].astype(NETFLOW9_FLAGS)


def _scaled(column: Column) -> Values:
    """The public unit of the wire (ns) of the store's (µs), as much as the element's width takes."""
    most = np.iinfo(dtype_of(column, column.name)).max

    def values(batch: FlowBatch, rows: Rows) -> Array:
        held: Array = batch.array(column.physical)[rows].astype(np.uint64)
        return (held * np.uint64(column.scale)).clip(max=most)

    return values
