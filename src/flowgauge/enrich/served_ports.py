# SPDX-License-Identifier: Apache-2.0
"""The columns ``service_port`` and ``target_port``: both numbers of a port whose number changes on the way to the server.

Clients ask a Service for 443, its pods listen on 8443, and what a node sees first is the one or the other: requests mostly as
they are sent, answers as the pod sends them. With both numbers in both directions they are one conversation.

What the node's kernel did with the packets comes first, else what the Service's objects say; the rest is as it was on the wire.
Before: ``ends``, which finds the Services; after: ``stage``. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.as_of import Ints
from flowgauge.enrich.service_table import ServiceTable
from flowgauge.flow import roles
from flowgauge.flow.batch import ColumnData, FlowBatch

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]


def served_ports(
    batch: FlowBatch, services: Mapping[str, Ints], serves: Mapping[str, Mask], table: ServiceTable
) -> dict[str, ColumnData]:
    """Both columns of ``batch``, 0 where the port has one number; where we know of none, what the record tells stands.

    ``services`` are by end the numbers in ``table`` of each row's Service; ``serves`` whether it has any, also one that
    only the record names.
    """
    may_differ = table.has_two(services["src"]) | table.has_two(services["dst"])
    for end in ("src", "dst"):
        after = batch.array(f"post_nat_{end}_port")
        may_differ |= (after > 0) & (after != batch.array(f"{end}_port"))
    rows = np.flatnonzero(may_differ)
    columns = {name: np.array(batch.array(name), np.uint16) for name in ("service_port", "target_port")}
    if len(rows):
        forth = _to_server(batch, rows, {end: mask[rows] for end, mask in serves.items()})
        server = np.where(forth, services["dst"][rows], services["src"][rows])
        port, target = _both(batch, rows, forth, _Said(*table.ports(server)))
        known = (port > 0) & (target > 0) & (port != target)
        columns["service_port"][rows[known]], columns["target_port"][rows[known]] = port[known], target[known]
    return dict(columns)


class _Said(NamedTuple):
    """What is known of the Service of some rows' servers; 0 where nothing is."""

    port: Ints
    target: Ints


def _to_server(batch: FlowBatch, rows: Rows, serves: Mapping[str, Mask]) -> Mask:
    """Which rows go to the server: mostly the Service says it, and the rest of the rule need not be asked."""
    forth = serves["dst"].copy()
    unsaid = np.flatnonzero(serves["src"] == serves["dst"])
    if len(unsaid):
        at = rows[unsaid]
        src, dst = (
            (batch.array(f"{end}_addr")[at], batch.array(f"{end}_port")[at], serves[end][unsaid]) for end in ("src", "dst")
        )
        forth[unsaid] = roles.to_server(src, dst)
    return forth


def _both(batch: FlowBatch, rows: Rows, forth: Mask, said: _Said) -> tuple[Ints, Ints]:
    """(the port that clients ask for, the one where the server listens) of some rows; 0 where it is not known."""
    src_port, dst_port, src_after, dst_after = (
        batch.array(name)[rows].astype(np.int32) for name in ("src_port", "dst_port", "post_nat_src_port", "post_nat_dst_port")
    )
    own, after = np.where(forth, dst_port, src_port), np.where(forth, dst_after, src_after)
    translated = after > 0
    listed = np.where((own == said.port) & (said.target > 0), said.target, own)
    target = np.where(translated & forth, after, np.where(translated, own, listed))
    asked = np.where(translated, np.where(forth, own, after), 0)
    return np.where(said.port > 0, said.port, asked), target
