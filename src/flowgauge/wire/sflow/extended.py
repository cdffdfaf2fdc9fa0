# SPDX-License-Identifier: Apache-2.0
"""Records that tell what the device did with the packet: VLANs, routes, autonomous systems, labels, translation.

Read are the formats of which a column tells: switch (1001), router (1002), gateway (1003), MPLS (1006), NAT (1007, 1020),
VLAN tunnel (1012) and tunnels (``tunnels``). The others (user, url, sockets …) are passed over by their length and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import V4_MAPPED_PREFIX
from flowgauge.wire.packet_headers_bytes import Mask, Numbers, Windows
from flowgauge.wire.packet_headers_link import MAX_LABELS
from flowgauge.wire.sflow.parts import Parts
from flowgauge.wire.sflow.reading import Reading
from flowgauge.wire.sflow.tunnels import (
    IPV4_EGRESS,
    IPV4_INGRESS,
    IPV6_EGRESS,
    IPV6_INGRESS,
    VNI_EGRESS,
    VNI_INGRESS,
    tunnel_network,
    tunnel_outer,
)
from flowgauge.wire.views import Octets, Offsets

SWITCH, ROUTER, GATEWAY, MPLS, NAT, VLAN_TUNNEL, NAT_PORT = 1001, 1002, 1003, 1006, 1007, 1012, 1020

MAX_SEGMENTS = 16
"""Segments read of an AS path; the Internet's paths have one or two, each of up to 255 systems."""

_ADDRESS_BYTES = np.array([0, 4, 16])
_VLAN_MASK, _LAST_VLAN = 0x0FFF, 4094


def extended(reading: Reading) -> None:
    """Fills what the records of the device tell; runs after the packet's own, which they complete."""
    for tag, read in _READERS.items():
        if reading.formats[tag]:
            read(reading)


def _switch(reading: Reading) -> None:
    """The VLAN of the incoming frame, where the packet's own head has no tag."""
    parts = reading.records(SWITCH, 16)
    vlan = reading.windows.words(parts.start, 1)[0]
    known = (vlan >= 1) & (vlan <= _LAST_VLAN)
    reading.sheet.put_if("vlan_id", parts.owner, vlan, known & (reading.sheet.get("vlan_id", parts.owner) == 0))


def _router(reading: Reading) -> None:
    parts = reading.records(ROUTER, 12)
    hop, at, good = _address(reading.windows, parts.start, parts.end)
    parts, (hop, at) = _fitting(reading, parts, good & (parts.end - at >= 8), hop, at)
    masks = np.minimum(reading.windows.words(at, 2), 128)
    reading.sheet.put("next_hop", parts.owner, hop)
    reading.sheet.put("src_mask", parts.owner, masks[0])
    reading.sheet.put("dst_mask", parts.owner, masks[1])


def _gateway(reading: Reading) -> None:
    """Next hop in BGP, the AS of the source, and the last AS of the path: the destination's. An empty path stays within."""
    parts = reading.records(GATEWAY, 20)
    hop, at, good = _address(reading.windows, parts.start, parts.end)
    parts, (hop, at) = _fitting(reading, parts, good & (parts.end - at >= 16), hop, at)
    _, src_as, _, segments = reading.windows.words(at, 4)
    last, whole = _last_as(reading.windows, at + 16, parts.end, segments)
    reading.sheet.put("bgp_next_hop", parts.owner, hop)
    reading.sheet.put("src_as", parts.owner, src_as)
    reading.sheet.put("dst_as", parts.owner, last)
    if not whole.all():
        reading.problem(parts.owner[~whole], at[~whole] + 12, "as_path", "segments within the record", segments[~whole])


def _last_as(windows: Windows, at: Offsets, end: Offsets, segments: Offsets) -> tuple[Offsets, Mask]:
    """The last AS number of each path, and whether the path was read to its end."""
    last, whole = np.zeros(len(at), np.int64), segments <= MAX_SEGMENTS
    row = np.arange(len(at))
    for number in range(MAX_SEGMENTS):
        row = row[segments[row] > number]
        if not len(row):
            break
        inside = (end - at)[row] >= 8
        count = windows.words(at[row], 2)[1]
        inside &= count <= ((end - at)[row] - 8) // 4
        whole[row[~inside]] = False
        row, count = row[inside], count[inside]
        at = at.copy()
        at[row] += 8 + 4 * count
        filled = row[count > 0]
        last[filled] = windows.words(at[filled] - 4, 1)[0]
    return last, whole


def _mpls(reading: Reading) -> None:
    """The stack of the received packet, where its head does not show one."""
    parts = reading.records(MPLS, 12)
    _, at, good = _address(reading.windows, parts.start, parts.end)
    parts, (at,) = _fitting(reading, parts, good & (parts.end - at >= 4), at)
    stack, count = _list(reading, parts, at, MAX_LABELS)
    labels = reading.stacks()
    chosen = (count > 0) & ~labels[parts.owner].any(axis=1)
    labels[parts.owner[chosen]] = stack[chosen]


def _vlan_tunnel(reading: Reading) -> None:
    """Tags that the device took off before it sampled, the outermost first."""
    parts = reading.records(VLAN_TUNNEL, 4)
    stack, count = _list(reading, parts, parts.start, 2)
    first, second = stack.T & _VLAN_MASK
    inner = np.where(count > 1, second, reading.sheet.get("vlan_id", parts.owner))
    reading.sheet.put_if("dot1q_customer_vlan_id", parts.owner, inner, count > 0)
    reading.sheet.put_if("vlan_id", parts.owner, first, count > 0)


def _list(reading: Reading, parts: Parts, at: Offsets, most: int) -> tuple[npt.NDArray[np.uint32], Offsets]:
    """A counted list of words: the first ``most``, 0 behind the last, and how many there are within the record."""
    claimed = reading.windows.words(at, 1)[0]
    count = np.minimum(claimed, (parts.end - at - 4) // 4)
    if (count < claimed).any():
        over = count < claimed
        reading.problem(parts.owner[over], at[over], "list_length", count[over], claimed[over])
    words = reading.windows.take(at + 4, 4 * most).view(">u4").astype(np.uint32)
    return words * (np.arange(most) < count[:, None]), count


def _nat(reading: Reading) -> None:
    """Addresses after translation; one that is as before was not translated."""
    parts = reading.records(NAT, 8)
    src, at, good = _address(reading.windows, parts.start, parts.end)
    dst, _, also = _address(reading.windows, np.minimum(at, parts.end), parts.end)
    parts, (src, dst) = _fitting(reading, parts, good & also, src, dst)
    for side, address in (("src", src), ("dst", dst)):
        changed = (address != reading.sheet.get(f"{side}_addr", parts.owner)).any(axis=1)
        reading.sheet.put_if(f"post_nat_{side}_addr", parts.owner, address, changed)


def _nat_port(reading: Reading) -> None:
    parts = reading.records(NAT_PORT, 8)
    for side, port in zip(("src", "dst"), reading.windows.words(parts.start, 2), strict=True):
        changed = (port != reading.sheet.get(f"{side}_port", parts.owner)) & (port <= 0xFFFF)
        reading.sheet.put_if(f"post_nat_{side}_port", parts.owner, port, changed)


def _address(windows: Windows, at: Offsets, end: Offsets) -> tuple[Octets, Offsets, Mask]:
    """An address with its type before it; where the next field begins; whether it is whole. Zero addresses are absent."""
    field = windows.take(at, 20)
    kind = field[:, :4].view(">u4")[:, 0].astype(np.int64)
    good = (end - at >= 4) & (kind <= 2)
    size = np.where(good, _ADDRESS_BYTES[np.minimum(kind, 2)], 0)
    good &= end - at >= 4 + size
    address = np.zeros((len(at), 16), np.uint8)
    four = np.flatnonzero(good & (kind == 1) & field[:, 4:8].any(axis=1))
    address[four, :12], address[four, 12:] = np.frombuffer(V4_MAPPED_PREFIX, np.uint8), field[four, 4:8]
    six = np.flatnonzero(good & (kind == 2))
    address[six] = field[six, 4:]
    return address, at + 4 + size, good


def _fitting(reading: Reading, parts: Parts, good: Mask, *columns: Numbers) -> tuple[Parts, tuple[Numbers, ...]]:
    """Leaves out, and names, records whose fields do not fit."""
    if good.all():
        return parts, columns
    reading.problem(parts.owner[~good], parts.start[~good], "record_fields", "an address and what follows it", "less")
    return parts.take(good), tuple(column[good] for column in columns)


_READERS: dict[int, Callable[[Reading], None]] = {
    VLAN_TUNNEL: _vlan_tunnel,
    SWITCH: _switch,
    ROUTER: _router,
    GATEWAY: _gateway,
    MPLS: _mpls,
    NAT: _nat,
    NAT_PORT: _nat_port,
    **{tag: partial(tunnel_outer, tag=tag) for tag in (IPV4_EGRESS, IPV6_EGRESS)},
    VNI_EGRESS: partial(tunnel_network, tag=VNI_EGRESS),
    **{tag: partial(tunnel_outer, tag=tag) for tag in (IPV4_INGRESS, IPV6_INGRESS)},
    VNI_INGRESS: partial(tunnel_network, tag=VNI_INGRESS),
}

READ = frozenset(_READERS)
"""Formats that are read."""
