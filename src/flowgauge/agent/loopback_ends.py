# SPDX-License-Identifier: Apache-2.0
"""Who is at both ends of what sockets tell: their own, and on loopback the one they talk to, whose socket is of this node, too.

What both have told since the last time is put together: that of equal ends in one network namespace. A namespace that is not
the node's is a pod, so that a pod is known even of an end of which nobody told, as where nobody listens.

Pure functions of arrays. Before: the ring buffer; after: ``socket_events``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.agent.attribution import of_owners, reversed_keys
from flowgauge.agent.containers import Containers
from flowgauge.agent.signal_rows import Rows
from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.translations import words
from flowgauge.flow.addresses import on_loopback
from flowgauge.flow.batch import Array, ColumnData, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import FLOW_DIRECTION, LOCAL_ENDS, code

_MIX = np.array(
    [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB],
    np.uint64,
)
"""Odd 64-bit constants, one for each number of an end, for a hash; two ends of one (2**-64 a pair) would hide one another."""


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
    keys, netns = np.ascontiguousarray(events["key"]), events["netns"].astype(np.uint64)
    on_lo = on_loopback(keys["src_addr"])
    there, told = np.flatnonzero(on_lo), known[on_lo[known]]
    if not len(told):
        return told, told
    own, wanted = _ends(keys, netns)[told], _ends(reversed_keys(keys), netns)[there]
    hashed = own @ _MIX
    order = np.argsort(hashed, kind="stable")  # of equal ends the one that told last comes last
    last = order[np.maximum(np.searchsorted(hashed[order], wanted @ _MIX, side="right") - 1, 0)]
    same = (own[last] == wanted).all(axis=1)
    return there[same], told[last[same]]


def _ends(keys: Structured, netns: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """What tells sockets apart, as numbers, (n, 6): ``keys`` alone are not enough, since all pods have the same addresses."""
    return np.column_stack([words(keys), netns])


def _pods(netns: Array, found: dict[str, ColumnData]) -> dict[str, ColumnData]:
    """The pods of both ends: of an end whose process nobody told that of its namespace, if all who told are of one."""
    count = len(netns)
    of_source = _pod_uids(found, "src", count)
    distinct, of = np.unique(netns, return_inverse=True)
    told = np.flatnonzero(of_source.codes)
    least, most = np.full(len(distinct), len(of_source.values), np.int32), np.zeros(len(distinct), np.int32)
    np.minimum.at(least, of[told], of_source.codes[told])
    np.maximum.at(most, of[told], of_source.codes[told])
    only = Names(np.where((least == most) & (distinct > 0), most, 0)[of].astype(np.int32), of_source.values)
    columns: dict[str, ColumnData] = {}
    for end in ("src", "dst"):
        known = np.asarray(found.get(f"{end}_pid", np.zeros(count, np.uint32))) > 0
        both = Names.concat([_pod_uids(found, end, count), only])
        columns[f"{end}_pod_uid"] = Names(np.where(known, both.codes[:count], both.codes[count:]), both.values)
    return columns


def _pod_uids(found: dict[str, ColumnData], end: str, count: int) -> Names:
    column = found.get(f"{end}_pod_uid", Names.constant("", count))
    assert isinstance(column, Names)  # noqa: S101 - it is a column of names
    return column
