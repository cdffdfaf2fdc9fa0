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


class _Said(NamedTuple):
    """What the Service at one end of each row is known to have; 0 where nothing is."""

    port: Ints
    target: Ints


def served_ports(
    batch: FlowBatch, services: Mapping[str, Ints], serves: Mapping[str, Mask], table: ServiceTable
) -> dict[str, ColumnData]:
    """Both columns of ``batch``, 0 where the port has one number.

    ``services`` are by end the numbers in ``table`` of each row's Service; ``serves`` whether it has any, also one that
    only the record names.
    """
    said = {end: _Said(*table.ports(numbers)) for end, numbers in services.items()}
    translated = batch.array("post_nat_dst_port")
    rows = np.flatnonzero(_differ(said["src"]) | _differ(said["dst"]) | _is_another(translated, batch.array("dst_port")))
    columns = {name: np.zeros(len(batch), np.uint16) for name in ("service_port", "target_port")}
    if len(rows):
        of_rows = {end: _Said(*(numbers[rows] for numbers in one)) for end, one in said.items()}
        port, target = _both(batch, rows, of_rows, {end: mask[rows] for end, mask in serves.items()})
        known = (port > 0) & _is_another(target, port)
        columns["service_port"][rows[known]], columns["target_port"][rows[known]] = port[known], target[known]
    return dict(columns)


def _differ(said: _Said) -> Mask:
    return (said.port > 0) & _is_another(said.target, said.port)


def _is_another(port: npt.NDArray[np.integer], than: npt.NDArray[np.integer]) -> Mask:
    """Whether ``port`` is known and another one."""
    return np.asarray((port > 0) & (port != than), np.bool_)


def _both(
    batch: FlowBatch, rows: npt.NDArray[np.intp], said: Mapping[str, _Said], serves: Mapping[str, Mask]
) -> tuple[Ints, Ints]:
    """(the port that clients ask for, the one where the server listens) of some rows; 0 where it is not known."""
    ports = {end: batch.array(f"{end}_port")[rows].astype(np.int32) for end in ("src", "dst")}
    src, dst = ((batch.array(f"{end}_addr")[rows], ports[end], serves[end]) for end in ("src", "dst"))
    forth = roles.to_server(src, dst)
    own = np.where(forth, ports["dst"], ports["src"])
    port = np.where(forth, said["dst"].port, said["src"].port)
    behind = np.where(forth, said["dst"].target, said["src"].target)
    by_kernel = np.where(forth, batch.array("post_nat_dst_port")[rows].astype(np.int32), 0)
    target = np.where(by_kernel > 0, by_kernel, np.where((own == port) & (behind > 0), behind, own))
    return np.where((port == 0) & (by_kernel > 0), own, port), target
