# SPDX-License-Identifier: Apache-2.0
"""Makes the agent's columns from what the kernel's flow table held: a pure function of arrays.

Before it: :mod:`flowgauge.agent.flow_source`, which drains the table and calls this; after it:
``signal_columns``, then the encoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.ebpf.abi import OBSERVED_EGRESS, Structured
from flowgauge.ebpf.ticks import Ticks
from flowgauge.ebpf.translations import Translations
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.columns import ICMP_PROTOCOLS
from flowgauge.schema.enums import FLOW_DIRECTION, LOCAL_ENDS, SAMPLING_ALGORITHM, code

Codes = npt.NDArray[np.uint8]
Points = npt.NDArray[np.uint32]

_INGRESS, _EGRESS, _INNER = (code(FLOW_DIRECTION, label) for label in ("ingress", "egress", "inner"))


def account(
    keys: Structured,
    values: Structured,
    translated: Translations,
    local: LocalAddresses,
    *,
    ticks: Ticks,
    sampling_rate: npt.NDArray[np.uint32],
    sampling_mode: str = "packet",
) -> FlowBatch:
    """One row an entry of the flow table.

    Args:
        keys: ``abi.FLOW_KEY``, shape (n,).
        values: ``abi.FLOW_VALUE``, shape (n,).
        translated: what the node's address translation made of each flow.
        local: which addresses live here.
        ticks: tells the wall time of the kernel's times.
        sampling_rate: one of this many packets was observed, of each flow; shape (n,).
        sampling_mode: whether chance decided for each packet, or for each ``flow`` as a whole.
    """
    count = len(keys)
    start_ns = ticks.wall_ns(values["first_tick"])
    src, dst = np.ascontiguousarray(keys["src_addr"]), np.ascontiguousarray(keys["dst_addr"])
    points = np.ascontiguousarray(values["observed"])
    local_ends = local.local_ends(src, dst, translated.dst_addr, start_ns)
    in_if, out_if = interfaces(points)
    columns: dict[str, npt.NDArray[Any]] = {
        "time_start_ns": start_ns,
        "time_end_ns": ticks.wall_ns(values["last_tick"]),
        "src_addr": src,
        "dst_addr": dst,
        "src_port": keys["src_port"].astype(np.uint16),
        "dst_port": keys["dst_port"].astype(np.uint16),
        "proto": keys["proto"].astype(np.uint8),
        "icmp_type": icmp(keys, "icmp_type"),
        "icmp_code": icmp(keys, "icmp_code"),
        "ip_tos": values["ip_tos"].astype(np.int16),
        "tcp_flags": values["tcp_flags"].astype(np.uint16),
        "bytes": values["bytes"].astype(np.uint64),
        "packets": values["packets"].astype(np.uint64),
        "in_if": in_if,
        "out_if": out_if,
        "flow_direction": directions(points, local_ends),
        "sampling_rate": sampling_rate,
        "sampling_algorithm": np.where(sampling_rate > 1, code(SAMPLING_ALGORITHM, sampling_mode), 0).astype(np.uint8),
        "vlan_id": values["vlan_id"].astype(np.uint16),
        "observed_ifs": points,
        "local_ends": local_ends,
        "post_nat_src_addr": translated.src_addr,
        "post_nat_dst_addr": translated.dst_addr,
        "post_nat_src_port": translated.src_port,
        "post_nat_dst_port": translated.dst_port,
    }
    return FlowBatch(columns, count)


def icmp(keys: Structured, field: str) -> npt.NDArray[np.int16]:
    """ICMP type or code, -1 for other protocols (0 is a real type)."""
    is_icmp = np.isin(keys["proto"], tuple(ICMP_PROTOCOLS))
    return np.where(is_icmp, keys[field].astype(np.int16), np.int16(-1))


def interfaces(points: Points) -> tuple[Points, Points]:
    """Where packets came into the node (first ingress point) and left it (last egress point), as ifIndex or 0.

    ``points``: observation points in the order of the packets' way, shape (n, 4), 0 = unused.
    """
    rows = np.arange(len(points))
    leaving = (points & OBSERVED_EGRESS) != 0
    entering = (points != 0) & ~leaving
    first_in = points[rows, entering.argmax(axis=1)]
    last_out = points[rows, points.shape[1] - 1 - leaving[:, ::-1].argmax(axis=1)]
    in_if = np.where(entering.any(axis=1), first_in, 0)
    out_if = np.where(leaving.any(axis=1), last_out & ~np.uint32(OBSERVED_EGRESS), 0)
    return in_if.astype(np.uint32), out_if.astype(np.uint32)


def directions(points: Points, local_ends: Codes) -> Codes:
    """Codes of ``enums.FLOW_DIRECTION``: by the ends that live here, else (transit) by the hook that saw the flow first."""
    first_leaves = (points[:, 0] & OBSERVED_EGRESS) != 0
    found = np.where(first_leaves, _EGRESS, _INGRESS)
    for ends, direction in (("src", _EGRESS), ("dst", _INGRESS), ("both", _INNER)):
        found = np.where(local_ends == code(LOCAL_ENDS, ends), direction, found)
    return found.astype(np.uint8)
