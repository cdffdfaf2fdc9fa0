# SPDX-License-Identifier: Apache-2.0
"""What captured packets add to their flows, as the eBPF programs see it (``ebpf/programs/parse_any.h``, ``packet.h``).

The same keys, bytes and packets come out of both, packet by packet; a test holds them against the same vectors. Headers are
parsed by ``wire.packet_headers``; here is what only concerns this node: super-packets, fragments, what counts as IP.

Before: :mod:`flowgauge.agent.capture_ring`; after: :mod:`flowgauge.agent.capture_table`. Pure but for the memory of fragments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.agent.capture_fragments import Fragments
from flowgauge.agent.capture_ring import OUTGOING, VIRTIO_BYTES, VLAN_VALID, Frames
from flowgauge.ebpf.abi import FLOW_KEY, MACS, OBSERVED_EGRESS, Structured
from flowgauge.schema.columns import ICMP_PROTOCOLS, PORT_PROTOCOLS
from flowgauge.wire.packet_headers import parse
from flowgauge.wire.packet_headers_bytes import Windows, be16, with_slack
from flowgauge.wire.packet_headers_found import Heads
from flowgauge.wire.packet_headers_link import ETHERNET_FRAME, IPV4, IPV6
from flowgauge.wire.views import Offsets

Numbers = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.uint8]

ETHERNET_HEADER = (1, 772)
"""ARPHRD_ETHER and ARPHRD_LOOPBACK: types of device whose packets begin with an Ethernet header."""
_LINK_BYTES = 22
"""Of Ethernet with two VLAN tags: the eBPF programs look no further, either."""
_TYPE_AT, _FIRST_ETHER_TYPE = 12, 0x0600
"""A frame whose type is less is one of IEEE 802.3, whose IP packets the eBPF programs do not see."""
_TCP, _SCTP = 6, 132
_UDP_BYTES, _SCTP_BYTES = 8, 12


@dataclass(frozen=True, slots=True)
class Packets:
    """Packets of flows, or sums of packets, (n,) in the order in which they came.

    Attributes:
        words: (n, 5) uint64, the bytes of an ``abi.FLOW_KEY`` of epoch 0: numpy copies rows of words ten times faster.
        points: where each was seen: ifIndex, with ``OBSERVED_EGRESS``.
        packets, bytes: on the wire, a super-packet being several.
        at_ns, until_ns: wall time of the first and the last of what the row stands for.
        tcp_flags, vlan_id, ip_tos, rule: as in ``abi.FLOW_VALUE``.
        macs: (n, 12) as in ``abi.MACS``, zeros where a device has none; (n, 0) when nobody asks for them.
    """

    words: Numbers
    points: npt.NDArray[np.uint32]
    packets: Numbers
    bytes: Numbers
    at_ns: Numbers
    until_ns: Numbers
    tcp_flags: npt.NDArray[np.uint32]
    vlan_id: npt.NDArray[np.uint16]
    ip_tos: npt.NDArray[np.uint8]
    rule: npt.NDArray[np.uint8]
    macs: Rows

    @property
    def keys(self) -> Structured:
        """``words`` as ``abi.FLOW_KEY``, (n,)."""
        return keys_of(self.words)

    def __len__(self) -> int:
        return len(self.words)

    def take(self, chosen: Mask) -> Packets:
        """Those chosen by a mask."""
        if chosen.all():
            return self
        return Packets(*(getattr(self, name)[chosen] for name in self.__slots__))


def keys_of(words: Numbers) -> Structured:
    """Words (n, 5) as ``abi.FLOW_KEY`` (n,)."""
    keys: Structured = np.ascontiguousarray(words).reshape(-1).view(FLOW_KEY)
    return keys


def words_of(keys: Structured) -> Numbers:
    """``abi.FLOW_KEY`` (n,) as words (n, 5)."""
    return np.ascontiguousarray(keys).view(np.uint64).reshape(len(keys), FLOW_KEY.itemsize // 8)


@dataclass(frozen=True, slots=True)
class Read:
    """What a batch of frames held.

    Attributes:
        packets: those that have a flow.
        seen, parse_errors, not_ip: packets of all, of the malformed, of those that are not IP.
        not_ip_points, not_ip_bytes: where each of the latter was seen, and its layer 2 bytes.
    """

    packets: Packets
    seen: int
    parse_errors: int
    not_ip: int
    not_ip_points: npt.NDArray[np.uint32]
    not_ip_bytes: Numbers


@dataclass(frozen=True, slots=True)
class Parsed:
    """Frames and what their packets say of themselves.

    Attributes:
        windows: bytes of all frames; ``start``: where the packet of each begins.
        ethernet: whether it begins with an Ethernet header.
    """

    windows: Windows
    start: Offsets
    ethernet: Mask
    heads: Heads


def parsed(frames: Frames) -> Parsed:
    """Parses frames, which have the fields of ``capture_ring.FRAME`` and any size."""
    start = np.arange(len(frames), dtype=np.int64) * frames.dtype.itemsize + frames["at"]
    captured = start + frames["captured"]
    windows = Windows(with_slack(frames.view(np.uint8).reshape(-1), frames.nbytes))
    ethernet = np.isin(frames["hardware"], ETHERNET_HEADER)
    kind = np.where(ethernet, ETHERNET_FRAME, frames["protocol"].astype(np.int32)).astype(np.int32)
    return Parsed(windows, start, ethernet, parse(windows, start, captured, kind))


def read(frames: Frames, fragments: Fragments, *, macs: bool = False) -> Read:
    """What frames (``capture_ring.FRAME``) add to flows; with their Ethernet addresses when ``macs``."""
    found = parsed(frames)
    windows, start, ethernet, heads = found.windows, found.start, found.ethernet, found.heads
    points = frames["ifindex"].astype(np.uint32)
    points |= np.where(frames["packet_type"] == OUTGOING, np.uint32(OBSERVED_EGRESS), np.uint32(0))
    named_ip = np.isin(heads.ether_type, (IPV4, IPV6)) & (heads.l3_at - start <= _LINK_BYTES)
    named_ip &= ~ethernet | (be16(windows.take(start + _TYPE_AT, 2), 0) >= _FIRST_ETHER_TYPE)
    sound = named_ip & heads.is_ip & ~_too_short(windows, heads, start + frames["captured"])
    packets, bytes_ = _measured(frames, heads, windows, start)
    keys = _keys(heads)
    fragments.join(windows, heads, keys, sound)
    vlan = np.where(frames["status"] & VLAN_VALID, frames["vlan_tci"] & 0x0FFF, 0)
    at_ns = frames["seconds"].astype(np.uint64) * np.uint64(1_000_000_000) + frames["nanoseconds"]
    everything = Packets(
        words=words_of(keys), points=points, packets=packets, bytes=bytes_, at_ns=at_ns, until_ns=at_ns,
        tcp_flags=heads.tcp_flags.astype(np.uint32), vlan_id=np.where(vlan, vlan, heads.vlan_id).astype(np.uint16),
        ip_tos=heads.tos.astype(np.uint8), rule=np.zeros(len(keys), np.uint8),
        macs=_macs(found) if macs else np.empty((len(keys), 0), np.uint8),
    )  # fmt: skip
    return Read(
        packets=everything.take(sound), seen=int(packets.sum()), parse_errors=int(packets[named_ip & ~sound].sum()),
        not_ip=int(packets[~named_ip].sum()), not_ip_points=points[~named_ip],
        not_ip_bytes=frames["length"][~named_ip].astype(np.uint64),
    )  # fmt: skip


def _macs(found: Parsed) -> Rows:
    """Destination and source of Ethernet frames."""
    addresses = found.windows.take(found.start, MACS.itemsize)
    addresses[~found.ethernet] = 0
    return addresses


def _too_short(windows: Windows, heads: Heads, end: Offsets) -> Mask:
    """IPv4 packets that are shorter than their header: by their total length, or cut off in its options."""
    head = windows.take(heads.l3_at, 4)
    total, header = be16(head, 2), (head[:, 0] & 15).astype(np.int64) * 4
    found: Mask = (heads.ether_type == IPV4) & (((total > 0) & (total < header)) | (heads.l3_at + header > end))
    return found


def _keys(heads: Heads) -> Structured:
    keys = np.zeros(len(heads.proto), FLOW_KEY)
    icmp = np.isin(heads.proto, tuple(ICMP_PROTOCOLS))
    for name in ("src_addr", "dst_addr", "src_port", "dst_port", "proto"):
        keys[name] = getattr(heads, name)
    for name in ("icmp_type", "icmp_code"):
        keys[name] = np.where(icmp, np.maximum(getattr(heads, name), 0), 0)
    return keys


def _measured(frames: Frames, heads: Heads, windows: Windows, start: Offsets) -> tuple[Numbers, Numbers]:
    """(packets, layer 3 bytes) on the wire: a super-packet stands for several, each with a copy of the headers."""
    present = frames["length"].astype(np.int64) - (heads.l3_at - start)
    claimed = (heads.l3_bytes > 0) & (heads.l3_bytes < present)
    bytes_ = np.where(claimed, heads.l3_bytes, present)
    packets = np.ones(len(frames), np.int64)
    gso_size = windows.take(start - VIRTIO_BYTES, 6).view(np.uint16)[:, 2].astype(np.int64)
    big = np.flatnonzero(gso_size)
    if len(big):
        headers = (heads.l4_at - heads.l3_at + _layer4_bytes(heads, windows))[big]
        packets[big] = np.maximum(-(-(present[big] - headers) // gso_size[big]), 1)
        bytes_[big] = present[big] + (packets[big] - 1) * headers
    return packets.astype(np.uint64), np.maximum(bytes_, 0).astype(np.uint64)


def _layer4_bytes(heads: Heads, windows: Windows) -> Offsets:
    """Length of the layer 4 header, 0 where it is not known."""
    room = heads.l4_end - heads.l4_at
    doff = (windows.take(heads.l4_at, 14)[:, 12] >> 4).astype(np.int64) * 4
    size = np.where(heads.proto == _TCP, np.where(room >= 14, doff, 0), _UDP_BYTES)
    size = np.where(heads.proto == _SCTP, _SCTP_BYTES, size)
    return np.where(np.isin(heads.proto, tuple(PORT_PROTOCOLS)) & (room >= 4), size, 0).astype(np.int64)
