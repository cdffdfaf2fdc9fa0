# SPDX-License-Identifier: Apache-2.0
"""How a flow of ours lies on the wire: which elements, of which length, made of which columns.

Columns that a flow may lack are in groups; a flow's template has exactly the groups that the flow has a value for. So a
missing value is a missing field, never a zero that might be real, and a UDP flow does not carry an ICMP type.

Interoperability decides two choices. Times are in milliseconds (152, 153), which is what the store keeps: of the finer
elements 154–157 nfdump 1.7 reads none. ICMP type and code travel in one element (32, 139) for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import Array, FlowBatch, definition, dtype_of
from flowgauge.schema.column import Column, Kind
from flowgauge.wire.elements import VARIABLE
from flowgauge.wire.layout import Field

Rows = npt.NDArray[np.intp]
Values = Callable[[FlowBatch, Rows], Array]
"""The values of one field in the given rows, in (or safely castable to) the field's dtype."""

_V4 = np.dtype(np.uint32)
"""IPv4 addresses are copied as they lie: the four bytes are in network order already."""


@dataclass(frozen=True, slots=True)
class FlowField:
    """One field: its element, its dtype on the wire, and where its values come from."""

    enterprise: int
    number: int
    dtype: np.dtype[Any]
    values: Values

    @property
    def specifier(self) -> Field:
        """What a template says of it."""
        return Field(self.enterprise, self.number, self.dtype.itemsize)


COMMON: tuple[str, ...] = (
    "src_addr", "dst_addr", "proto", "tcp_flags", "flow_direction", "vlan_id", "bytes", "packets", "time_start_ns",
    "time_end_ns", "in_if", "out_if", "sampling_rate", "local_ends", "observed_ifs",
    "flow_end_reason",
)  # fmt: skip
"""Columns of every flow, in the order of the wire."""

GROUPS: tuple[tuple[str, ...], ...] = (
    ("src_port", "dst_port"),
    ("icmp_type", "icmp_code"),
    ("ip_tos",),
    ("post_nat_src_addr", "post_nat_dst_addr", "post_nat_src_port", "post_nat_dst_port"),
    ("rtt_min_ns", "rtt_avg_ns", "rtt_max_ns", "handshake_ns"),
    ("retransmits", "drop_packets", "drop_bytes"),
    ("dns_id", "dns_type", "dns_latency_ns"),
    ("src_mac", "dst_mac", "ether_type"),
    ("tcp_state_final",),
    ("drop_cause", "drop_tcp_state"),
    ("dns_rcode", "dns_name"),
    ("server_time_min_ns", "server_time_avg_ns", "server_time_max_ns", "server_time_count"),
    ("rtt_histogram",),
    (
        "src_pid",
        "dst_pid",
        "src_uid",
        "dst_uid",
        "src_process",
        "dst_process",
        "src_container",
        "dst_container",
        "src_pod_uid",
        "dst_pod_uid",
    ),
    ("socket_event", "initiator"),
    ("tls_version", "tls_server_name", "tls_cipher", "tls_group"),
    ("quic_version",),
    ("icmp_error", "icmp_error_packets"),
    ("sampling_algorithm",),
    ("tls_alpn",),
    ("tunnel_kind", "tunnel_id", "tunnel_src_addr", "tunnel_dst_addr"),
)
"""Columns that come together or not at all; only appended, since the place is a bit of the template's id."""

TEXTS: frozenset[str] = frozenset(
    {
        "icmp_error",
        "drop_cause",
        "drop_tcp_state",
        "dns_rcode",
        "dns_name",
        "rtt_histogram",
        *GROUPS[13][4:],
        *GROUPS[15],
        *GROUPS[16],
        "tls_alpn",
    }
)
"""Columns of strings: fields of variable length (RFC 7011 §7), behind all others in a record."""

COLUMNS: tuple[str, ...] = COMMON + tuple(name for group in GROUPS for name in group)
"""Every column that our flows carry; type and code of ICMP are both given or neither."""

NETFLOW9_FLAGS = np.dtype(np.uint8)
"""TCP_FLAGS has one byte in NetFlow v9 (RFC 3954 §8): the ninth flag has no place there."""
EVENT = GROUPS.index(("socket_event", "initiator"))
"""The group that makes a row an event: it has no counters, by which collectors tell events from flows."""
COUNTERS: tuple[str, ...] = ("bytes", "packets")

_ICMP_ELEMENTS = {False: 32, True: 139}
_TIME_ELEMENTS = {"time_start_ns": 152, "time_end_ns": 153}


def netflow9_fields(names: Sequence[str], *, v6: bool) -> tuple[FlowField, ...]:
    """As ``flow_fields``, of the columns that NetFlow v9 can carry: it has no enterprise elements (RFC 3954 §8)."""
    return tuple(map(_as_in_netflow9, flow_fields([name for name in names if _in_netflow9(name)], 0, v6=v6)))


def _as_in_netflow9(field: FlowField) -> FlowField:
    number = field.number
    if number == definition("tcp_flags").element:
        return FlowField(0, number, NETFLOW9_FLAGS, _low_flags)
    if number == definition("flow_direction").element:
        return FlowField(0, number, np.dtype(np.uint8), _iana_direction)
    if number == _ICMP_ELEMENTS[True]:  # collectors know ICMP_TYPE only, of both families
        return replace(field, number=_ICMP_ELEMENTS[False])
    return field


def netflow9_groups() -> int:
    """Bits of the groups of which NetFlow v9 can carry something, as ``GROUPS`` counts them."""
    return sum(1 << bit for bit, group in enumerate(GROUPS) if any(map(_in_netflow9, group)))


def _in_netflow9(name: str) -> bool:
    return name in _TIME_ELEMENTS or (bool(definition(name).element) and name not in TEXTS)


def flow_fields(names: Sequence[str], pen: int, *, v6: bool) -> tuple[FlowField, ...]:
    """The fields of fixed length that carry the columns ``names`` of IPv4 or IPv6 flows."""
    return tuple(_field(definition(name), pen, v6=v6) for name in names if name != "icmp_code" and name not in TEXTS)


def text_fields(names: Sequence[str], pen: int) -> dict[str, Field]:
    """What a template says of each column of strings among ``names``, by name."""
    return {name: Field(pen, definition(name).enterprise, VARIABLE) for name in names if name in TEXTS}


def _field(column: Column, pen: int, *, v6: bool) -> FlowField:
    name = column.name
    if name in _TIME_ELEMENTS:
        return FlowField(0, _TIME_ELEMENTS[name], np.dtype(">u8"), _milliseconds(name))
    if name == "icmp_type":
        return FlowField(0, _ICMP_ELEMENTS[v6], np.dtype(">u2"), _icmp)
    number = (column.element_v6 if v6 else 0) or column.element
    enterprise = 0 if number else pen
    return FlowField(enterprise, number or column.enterprise, *_plain(column, v6=v6))


def _plain(column: Column, *, v6: bool) -> tuple[np.dtype[Any], Values]:
    name = column.name
    if column.kind is Kind.ADDR:
        # An address of ours need not be of the flow's family: a tunnel's ends may be of the other.
        return (np.dtype("V16"), _whole(name, 16)) if v6 or column.enterprise else (_V4, _last_word(name))
    if column.kind is Kind.MAC:
        return np.dtype("V6"), _whole(name, 6)
    if column.kind is Kind.U32X4:
        return np.dtype("V16"), _words(name)
    if name == "flow_direction":  # codes 1 ingress, 2 egress, 3 inner travel as 0, 1, 2; unknown as 255
        return np.dtype(np.uint8), lambda batch, rows: batch.array(name)[rows] - np.uint8(1)
    if column.kind is Kind.I16:  # present values only: octets
        return np.dtype(np.uint8), lambda batch, rows: batch.array(name)[rows].astype(np.uint8)
    return dtype_of(column, name).newbyteorder(">"), lambda batch, rows: batch.array(name)[rows]


def _whole(name: str, length: int) -> Values:
    """Rows of bytes, each as one piece: gathering them byte by byte is many times slower."""
    piece = np.dtype((np.void, length))
    return lambda batch, rows: np.ascontiguousarray(batch.array(name)).view(piece).reshape(-1)[rows]


def _last_word(name: str) -> Values:
    return lambda batch, rows: np.ascontiguousarray(batch.array(name)).view(_V4)[:, 3][rows]


def _words(name: str) -> Values:
    def values(batch: FlowBatch, rows: Rows) -> Array:
        words = np.ascontiguousarray(batch.array(name)).view("V16").reshape(-1)[rows].view(np.uint32)
        return words.astype(">u4").view("V16")

    return values


def _milliseconds(name: str) -> Values:
    return lambda batch, rows: np.maximum(batch.array(name)[rows], 0) // 1_000_000


def _icmp(batch: FlowBatch, rows: Rows) -> Array:
    return batch.array("icmp_type")[rows].astype(np.uint16) << 8 | batch.array("icmp_code")[rows].astype(np.uint16) & 0xFF


def _low_flags(batch: FlowBatch, rows: Rows) -> Array:
    return batch.array("tcp_flags")[rows].astype(NETFLOW9_FLAGS)


def _iana_direction(batch: FlowBatch, rows: Rows) -> Array:
    """Ingress 0 and egress 1; anything else is 255: only our own elements say more."""
    code = batch.array("flow_direction")[rows]
    return np.where((code == 1) | (code == 2), code - np.uint8(1), np.uint8(255)).astype(np.uint8)
