# SPDX-License-Identifier: Apache-2.0
"""What the heads of packets say, in columns: filled by each layer's part of ``packet_headers``, read by whoever parses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.packet_headers_bytes import Index, Numbers
from flowgauge.wire.views import Offsets

COLUMNS_OF_HEADS = {
    "src_addr": "src_addr", "dst_addr": "dst_addr", "src_port": "src_port", "dst_port": "dst_port", "proto": "proto",
    "ip_tos": "tos", "ip_ttl_min": "ttl", "ip_ttl_max": "ttl", "tcp_flags": "tcp_flags", "icmp_type": "icmp_type",
    "icmp_code": "icmp_code", "src_mac": "src_mac", "dst_mac": "dst_mac", "ether_type": "ether_type", "vlan_id": "vlan_id",
    "dot1q_customer_vlan_id": "customer_vlan",
}  # fmt: skip
"""Column → attribute of ``Heads``."""


@dataclass(slots=True)
class Heads:
    """What n packets say, one row a packet. Zero (-1 for signed columns) where a packet does not.

    Attributes:
        src_mac, dst_mac: uint8 (n, 6).
        ether_type: of the frame, behind its VLAN tags.
        vlan_id, customer_vlan: of the outer and of the second tag.
        labels: the MPLS stack, uint32 (n, 0 … ``MAX_LABELS``), entries as on the wire, 0 = no entry.
        src_addr, dst_addr: uint8 (n, 16).
        proto, tos, ttl, src_port, dst_port, tcp_flags, icmp_type, icmp_code: as the columns of these names.
        portless: where a protocol has ports but they were not captured: later fragments, heads cut before them.
        l3_at: offset in the buffer of the IP packet, or of what is behind the link layer; ``is_ip`` says which.
        l3_bytes: length that the IP header claims, 0 where it claims none.
        l4_at, l4_end: what is behind the IP header, up to where it was captured; equal where nothing was.
    """

    src_mac: npt.NDArray[np.uint8]
    dst_mac: npt.NDArray[np.uint8]
    ether_type: npt.NDArray[np.uint16]
    vlan_id: npt.NDArray[np.uint16]
    customer_vlan: npt.NDArray[np.uint16]
    labels: npt.NDArray[np.uint32]
    src_addr: npt.NDArray[np.uint8]
    dst_addr: npt.NDArray[np.uint8]
    proto: npt.NDArray[np.uint8]
    tos: npt.NDArray[np.int16]
    ttl: npt.NDArray[np.uint8]
    src_port: npt.NDArray[np.uint16]
    dst_port: npt.NDArray[np.uint16]
    tcp_flags: npt.NDArray[np.uint16]
    icmp_type: npt.NDArray[np.int16]
    icmp_code: npt.NDArray[np.int16]
    portless: npt.NDArray[np.bool_]
    l3_at: Offsets
    l3_bytes: Offsets
    is_ip: npt.NDArray[np.bool_]
    l4_at: Offsets
    l4_end: Offsets

    @classmethod
    def empty(cls, count: int) -> Heads:
        """Heads of ``count`` packets of which nothing is known."""

        def every(value: np.generic, *shape: int) -> Numbers:
            return np.broadcast_to(value, (count, *shape))  # one value in memory, until rows of their own are put

        def zeros(kind: type[np.generic], *shape: int) -> Numbers:
            return every(kind(), *shape)

        return cls(
            src_mac=zeros(np.uint8, 6), dst_mac=zeros(np.uint8, 6), ether_type=zeros(np.uint16), vlan_id=zeros(np.uint16),
            customer_vlan=zeros(np.uint16), labels=zeros(np.uint32, 0), src_addr=zeros(np.uint8, 16),
            dst_addr=zeros(np.uint8, 16), proto=zeros(np.uint8), tos=every(np.int16(-1)), ttl=zeros(np.uint8),
            src_port=zeros(np.uint16), dst_port=zeros(np.uint16), tcp_flags=zeros(np.uint16),
            icmp_type=every(np.int16(-1)), icmp_code=every(np.int16(-1)), portless=zeros(np.bool_),
            l3_at=zeros(np.int64), l3_bytes=zeros(np.int64), is_ip=zeros(np.bool_), l4_at=zeros(np.int64),
            l4_end=zeros(np.int64),
        )  # fmt: skip

    def put(self, name: str, row: Index, values: Numbers) -> None:
        """Fills rows of a column; ``row`` ascends without repetition, so when it is as long as the column it is all of it."""
        column = getattr(self, name)
        if len(row) == len(column):
            setattr(self, name, values)
            return
        if not column.flags.writeable:
            column = column.copy()
            setattr(self, name, column)
        column[row] = values
