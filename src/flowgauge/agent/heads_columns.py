# SPDX-License-Identifier: Apache-2.0
"""Packet heads as columns, so that the filter language chooses among them as among flows: a packet is a flow of one packet.

Before: :mod:`flowgauge.agent.heads_ring`; after: the enrich stage, which adds names, and :mod:`flowgauge.agent.heads_file`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from flowgauge.agent.capture_packets import parsed
from flowgauge.agent.capture_ring import OUTGOING, VLAN_VALID, Frames
from flowgauge.errors import UsageError
from flowgauge.flow.batch import FlowBatch, definition, dtype_of
from flowgauge.flow.names import Names
from flowgauge.schema.column import Column
from flowgauge.schema.enums import FLOW_DIRECTION, code
from flowgauge.schema.filters.tree import And, Bound, Const, Not, Or
from flowgauge.wire.packet_headers import layer3_bytes

_SAME = ("src_addr", "dst_addr", "src_port", "dst_port", "proto", "ether_type", "tcp_flags", "icmp_type", "icmp_code",
         "src_mac", "dst_mac")  # fmt: skip
"""Columns that ``packet_headers_found.Heads`` has under the same name."""
_INGRESS, _EGRESS = code(FLOW_DIRECTION, "ingress"), code(FLOW_DIRECTION, "egress")


def times_ns(frames: Frames) -> npt.NDArray[np.int64]:
    """When each packet was seen, since 1970."""
    return frames["seconds"].astype(np.int64) * 1_000_000_000 + frames["nanoseconds"].astype(np.int64)


def columns(frames: Frames, node: str, devices: Mapping[int, str]) -> FlowBatch:
    """Heads (``heads_ring.HEAD_FRAME``, n) of ``node``, whose devices have names by ifIndex, as n flows."""
    found = parsed(frames)
    heads, count = found.heads, len(frames)
    none = np.zeros(count, np.int64)
    taken_off = np.where(frames["status"] & VLAN_VALID, frames["vlan_tci"] & 0x0FFF, 0)
    outgoing = frames["packet_type"] == OUTGOING
    device = frames["ifindex"].astype(np.uint32)
    name = _device_names(device, devices)
    nowhere = Names.constant("", count)
    return FlowBatch(
        {
            "time_end_ms": times_ns(frames) // 1_000_000,
            "duration_ms": np.zeros(count, np.uint32),
            **{column: getattr(heads, column).astype(dtype_of(definition(column)), copy=False) for column in _SAME},
            "ip_tos": heads.tos, "ip_ttl_min": heads.ttl, "ip_ttl_max": heads.ttl,
            "vlan_id": np.where(taken_off, taken_off, heads.vlan_id).astype(np.uint16),
            "packets": np.ones(count, np.uint64),
            "bytes": layer3_bytes(heads, found.start, frames["length"].astype(np.int64), none).astype(np.uint64),
            "in_if": np.where(outgoing, np.uint32(0), device), "out_if": np.where(outgoing, device, np.uint32(0)),
            "in_if_name": Names(np.where(outgoing, np.int32(0), name.codes), name.values),
            "out_if_name": Names(np.where(outgoing, name.codes, np.int32(0)), name.values),
            "flow_direction": np.where(outgoing, np.uint8(_EGRESS), np.uint8(_INGRESS)),
            "node_reporter": Names.constant(node, count) if node else nowhere,
        },
        count,
    )  # fmt: skip


def check(where: Bound, known: FlowBatch) -> None:
    """UsageError when ``where`` asks for what packets do not say: what is not a column of ``known``."""
    for column in _asked(where):
        if column.physical not in known:
            raise UsageError(
                f"a packet has no {column.name}: choose packets by addresses, ports, protocol, flags, device or name"
            )


def _asked(where: Bound) -> Iterator[Column]:
    match where:
        case Const():
            return
        case And(items) | Or(items):
            for item in items:
                yield from _asked(item)
        case Not(item):
            yield from _asked(item)
        case _:
            yield where.column


def _device_names(device: npt.NDArray[np.uint32], devices: Mapping[int, str]) -> Names:
    known, codes = np.unique(device, return_inverse=True)
    return Names((codes + 1).astype(np.int32), ["", *(devices.get(one, "") for one in known.tolist())])


def label(batch: FlowBatch, side: str) -> list[str]:
    """What the ``src`` or ``dst`` of each row is called: pod with namespace, Service, subnet; empty where it has no name."""
    texts = {name: batch.names(f"{side}_{name}").to_list() for name in ("namespace", "name", "service", "subnet")}
    return [
        f"{namespace}/{name}" if namespace and name else name or service or subnet.removeprefix("EXT:")
        for namespace, name, service, subnet in zip(*texts.values(), strict=True)
    ]
