# SPDX-License-Identifier: Apache-2.0
"""Records that show the sampled packet itself: its head, or what the agent had parsed of it.

A packet's head (record 1) is preferred. Agents that cannot give it send Ethernet (2), IPv4 (3) or IPv6 (4) records instead.
"""

from __future__ import annotations

import numpy as np

from flowgauge.schema.columns import ICMP_PROTOCOLS, PORT_PROTOCOLS
from flowgauge.wire.packet_headers import layer3_bytes, parse
from flowgauge.wire.packet_headers_bytes import Index, Mask, Numbers
from flowgauge.wire.packet_headers_found import COLUMNS_OF_HEADS, Heads
from flowgauge.wire.packet_headers_link import ETHERNET_FRAME, IPV4, IPV6, MPLS, PPP_FRAME
from flowgauge.wire.sflow.parts import Parts
from flowgauge.wire.sflow.reading import IP, NOTHING, PORTS, Reading
from flowgauge.wire.views import Octets, Offsets

HEADER, ETHERNET, IPV4_RECORD, IPV6_RECORD = 1, 2, 3, 4

_KINDS = np.zeros(256, np.int32)
"""What a head begins with, by header protocol (sFlow v5, ``header_protocol``)."""
_KINDS[[1, 7, 11, 12, 13]] = ETHERNET_FRAME, PPP_FRAME, IPV4, IPV6, MPLS

_HEADER_FIELDS, _HEADER_BYTES = 4, 16
_ETHERNET_BYTES, _IPV4_BYTES, _IPV6_BYTES = 20, 32, 56
_CUT_BYTES, _LONGEST_BYTES = 128, 9216
"""What agents keep of a packet at least, unless told otherwise, and the longest packets of their links: others are lies."""
_FRAME_BYTES = 18
"""Ethernet header and check sequence, which the length of an Ethernet record includes."""


def packets(reading: Reading, *, inner: bool) -> Mask:
    """Fills the columns that tell of the packet, ``bytes`` among them, and the label stack; which rows have any.

    What there is of a sample within which the datagram was cut counts if it shows an IP packet.
    """
    shown = np.zeros(reading.sheet.count, np.bool_)
    _heads(reading, shown, inner=inner)
    if not shown.all():
        _parsed(reading, shown)
    return shown


def _heads(reading: Reading, shown: Mask, *, inner: bool) -> None:
    if not reading.formats[HEADER]:
        return
    parts = reading.records(HEADER, _HEADER_BYTES)
    protocol, frame_bytes, stripped, captured = reading.windows.words(parts.start, _HEADER_FIELDS)
    start, room = parts.start + _HEADER_BYTES, parts.end - parts.start - _HEADER_BYTES
    over = (captured > room) & (parts.missing == 0)
    if over.any():
        reading.problem(parts.owner[over], parts.start[over] + 12, "header_length", room[over], captured[over])
    kind = _KINDS[np.minimum(protocol, 255)]
    heads = parse(reading.windows, start, start + np.minimum(captured, room), kind, inner=inner)
    for column, name in COLUMNS_OF_HEADS.items():
        reading.sheet.put(column, parts.owner, getattr(heads, name))
    frame_bytes = _whole_frames(heads, start, frame_bytes, stripped, captured)
    reading.sheet.put("bytes", parts.owner, layer3_bytes(heads, start, frame_bytes, stripped))
    if heads.labels.shape[1]:
        reading.stacks()[parts.owner, : heads.labels.shape[1]] = heads.labels
    reading.lacking[parts.owner] = np.where(heads.is_ip, heads.portless * np.uint8(PORTS), IP)
    shown[parts.owner] = heads.is_ip | (parts.missing == 0)


def readable(parts: Parts) -> Mask:
    """Which records can be read: whole ones, and of those within which a datagram was cut a packet's head, cut once more."""
    found: Mask = (parts.missing == 0) | (parts.tag == HEADER) & (parts.end - parts.start > _HEADER_BYTES)
    return found


def _whole_frames(heads: Heads, start: Offsets, frame_bytes: Offsets, stripped: Offsets, captured: Offsets) -> Offsets:
    """Frame lengths, where agents give that of the piece instead (Juniper) as the packet's own header has it."""
    pieces = (captured >= _CUT_BYTES) & (frame_bytes - stripped <= captured) & (heads.l3_bytes <= _LONGEST_BYTES)
    return np.where(pieces, np.maximum(frame_bytes, heads.l3_at - start + heads.l3_bytes), frame_bytes)


def _parsed(reading: Reading, shown: Mask) -> None:
    """Ethernet records, then the IP records, whose length is the better one; only of packets whose head is not there."""
    ethernet = reading.records(ETHERNET, _ETHERNET_BYTES)
    ethernet = ethernet.take(~shown[ethernet.owner])
    padded = ethernet.end - ethernet.start > _ETHERNET_BYTES
    for parts, mac_bytes in ((ethernet.take(~padded), 6), (ethernet.take(padded), 8)):
        if len(parts):
            _ethernet(reading, parts, mac_bytes)
    for tag, size in ((IPV4_RECORD, _IPV4_BYTES), (IPV6_RECORD, _IPV6_BYTES)):
        parts = reading.records(tag, size)
        parts = parts.take(~shown[parts.owner])
        if len(parts):
            _ip(reading, parts.owner, reading.windows.take(parts.start, size), v6=tag == IPV6_RECORD)
            reading.lacking[parts.owner] = NOTHING
            shown[parts.owner] = True
    shown[ethernet.owner] |= reading.samples.missing[ethernet.owner] == 0


def _ethernet(reading: Reading, parts: Parts, mac_bytes: int) -> None:
    """``sampled_ethernet``: length, addresses, EtherType. XDR fills a MAC address up to eight bytes, Huawei does not."""
    sheet, last = reading.sheet, 4 + 2 * mac_bytes
    frame = reading.windows.take(parts.start, last + 4)
    length = frame[:, :4].view(">u4")[:, 0].astype(np.int64)
    sheet.put("src_mac", parts.owner, frame[:, 4:10])
    sheet.put("dst_mac", parts.owner, frame[:, 4 + mac_bytes : 10 + mac_bytes])
    sheet.put("ether_type", parts.owner, frame[:, last:].view(">u4")[:, 0] & 0xFFFF)
    sheet.put("bytes", parts.owner, np.maximum(length - _FRAME_BYTES, 0))


def _ip(reading: Reading, row: Index, record: Octets, *, v6: bool) -> None:
    """``sampled_ipv4`` and ``sampled_ipv6``: length, protocol, addresses, ports, flags, type of service."""
    sheet, width = reading.sheet, 16 if v6 else 4
    for name, at in (("src_addr", 8), ("dst_addr", 8 + width)):
        address = np.zeros((len(row), 16), np.uint8)
        address[:, 16 - width :] = record[:, at : at + width]
        if not v6:
            address[:, 10:12] = 0xFF
        sheet.put(name, row, address)
    length, proto = record[:, :8].view(">u4").T.astype(np.int64)
    src_port, dst_port, flags, tos = record[:, 8 + 2 * width :].view(">u4").T.astype(np.int64)
    icmp, ported = _one_of(proto, ICMP_PROTOCOLS), _one_of(proto, PORT_PROTOCOLS)
    sheet.put("bytes", row, length)
    sheet.put("proto", row, np.where(proto <= 255, proto, 0))
    sheet.put("src_port", row, np.minimum(src_port, 0xFFFF) * ported)
    sheet.put("dst_port", row, np.minimum(dst_port, 0xFFFF) * ported)
    sheet.put("tcp_flags", row, np.where(proto == 6, flags & 0x1FF, 0))
    sheet.put("ip_tos", row, tos & 0xFF)
    sheet.put("icmp_type", row, np.where(icmp, src_port & 0xFF, -1))  # agents put type and code where ports would be
    sheet.put("icmp_code", row, np.where(icmp, dst_port & 0xFF, -1))


def _one_of(proto: Numbers, numbers: frozenset[int]) -> Mask:
    return np.isin(proto, np.array(sorted(numbers)))
