# SPDX-License-Identifier: Apache-2.0
"""Who is at both ends of what sockets tell: their own, and on loopback the one they talk to, whose socket is of this node, too.

What both have told since the last time is put together: that of equal ends in one network namespace. A namespace that is not
the node's is a pod, so that a pod is known even of an end of which nobody told, as where nobody listens.

Pure functions of arrays. Before: the ring buffer; after: ``socket_events``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgauge.agent.attribution import of_owners, reversed_keys
from flowgauge.agent.containers import Containers
from flowgauge.agent.signal_rows import Rows
from flowgauge.ebpf.abi import FLOW_KEY, Structured
from flowgauge.flow.addresses import on_loopback
from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import FLOW_DIRECTION, LOCAL_ENDS, code

_ENDS: np.dtype[Any] = np.dtype([("netns", np.uint32), ("key", FLOW_KEY)])


def owners(events: Structured, containers: Containers) -> dict[str, ColumnData]:
    """Process, its id and user, container and pod of both ends of ``abi.SOCKET_EVENT``, as far as they are known."""
    count = len(events)
    own = np.ascontiguousarray(events["owner"])
    known = np.flatnonzero(own["pid"])
    found = of_owners("src", own[known], known, count, containers)
    rows, others = _other_ends(events, known)
    if len(rows):
        found |= of_owners("dst", own[others], rows, count, containers)
    return found | _pods(events["netns"], found) if events["netns"].any() else found


def places(events: Structured, rows: FlowBatch) -> dict[str, ColumnData]:
    """Where the ends are: both within the pod, of whose addresses on loopback this node's routes know nothing."""
    within = events["netns"] > 0
    both, inner = code(LOCAL_ENDS, "both"), code(FLOW_DIRECTION, "inner")
    return {
        "local_ends": np.where(within, both, rows.array("local_ends")).astype(np.uint8),
        "flow_direction": np.where(within, inner, rows.array("flow_direction")).astype(np.uint8),
    }


def _other_ends(events: Structured, known: Rows) -> tuple[Rows, Rows]:
    """The rows of loopback of whose other end a socket told its owner, and the last rows that did, among those ``known``."""
    on_lo = on_loopback(np.ascontiguousarray(events["key"]["src_addr"]))
    there, told = np.flatnonzero(on_lo), known[on_lo[known]]
    last = dict(zip(_ends(events[told], events["key"][told]), told.tolist(), strict=True))
    backs = _ends(events[there], reversed_keys(events["key"][there]))
    found = [(row, last[back]) for row, back in zip(there.tolist(), backs, strict=True) if back in last]
    rows, others = np.array(found, np.intp).reshape(-1, 2).T
    return rows, others


def _ends(events: Structured, keys: Structured) -> list[bytes]:
    """What tells sockets apart: ``keys`` alone are not enough, since all pods have the same addresses."""
    found = np.zeros(len(events), _ENDS)
    found["netns"], found["key"] = events["netns"], keys
    ends: list[bytes] = found.view(np.dtype((np.void, _ENDS.itemsize))).tolist()
    return ends


def _pods(netns: Structured, found: dict[str, ColumnData]) -> dict[str, ColumnData]:
    """The pods of both ends: of an end whose process nobody told that of its namespace, if all who told are of one."""
    count = len(netns)
    told: dict[int, set[str]] = {}
    for number, uid in zip(netns.tolist(), _texts(found, "src_pod_uid", count), strict=True):
        told.setdefault(number, set()).update({uid} - {""})
    only = {number: next(iter(uids)) for number, uids in told.items() if number and len(uids) == 1}
    columns: dict[str, ColumnData] = {}
    for end in ("src", "dst"):
        known = np.asarray(found.get(f"{end}_pid", np.zeros(count, np.uint32))) > 0
        rows = zip(netns.tolist(), known.tolist(), _texts(found, f"{end}_pod_uid", count), strict=True)
        columns[f"{end}_pod_uid"] = Names.from_strings(uid if there else only.get(number, "") for number, there, uid in rows)
    return columns


def _texts(found: dict[str, ColumnData], name: str, count: int) -> list[str]:
    column = found.get(name, Names.constant("", count))
    assert isinstance(column, Names)  # noqa: S101 - it is a column of names
    return column.to_list()
