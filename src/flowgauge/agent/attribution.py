# SPDX-License-Identifier: Apache-2.0
"""Makes columns of who uses a connection: process, its id and user, container and pod, for each end that lives here.

A connection's owner is known by the flow that its socket sends: that flow's source, and the destination of the one that
comes back, both as they were before this node's translation. Before: :mod:`flowgauge.ebpf.owners`; after: the encoder.
"""

from __future__ import annotations

import numpy as np

from flowgauge.agent.containers import Containers
from flowgauge.ebpf.abi import OWNER, Structured
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.translations import before, match
from flowgauge.flow.batch import Array, ColumnData
from flowgauge.flow.names import Names

NO_USER = 0xFFFFFFFF
"""Linux's user id for "none", since 0 is root."""
_PROCESS = np.dtype(f"S{OWNER['process'].itemsize}")
"""A process's name as the kernel has it: what follows its first zero byte is none of it."""


def columns(keys: Structured, owners: Entries, known: Entries, containers: Containers) -> dict[str, ColumnData]:
    """The columns of both ends of flows.

    Args:
        keys: ``abi.FLOW_KEY``, shape (n,): the flows.
        owners: ``abi.FLOW_KEY`` of what each socket sends, ``abi.OWNER``; of equal keys the last one holds.
        known: this node's translations, ``abi.FLOW_KEY`` and ``abi.TRANSLATION``.
        containers: tells container and pod of a control group.
    """
    found: dict[str, ColumnData] = {}
    for end, of in (("src", owners.keys), ("dst", reversed_keys(owners.keys))):
        flow_of = before(of, keys, known.keys, known.values)
        rows = match(flow_of, keys)
        there = rows >= 0
        if there.any():
            found |= of_owners(end, owners.values[there], rows[there], len(keys), containers)
    return found


def reversed_keys(keys: Structured) -> Structured:
    """The flows that come back."""
    back = keys.copy()
    for one, other in (("src_addr", "dst_addr"), ("dst_addr", "src_addr"), ("src_port", "dst_port"), ("dst_port", "src_port")):
        back[one] = keys[other]
    return back


def of_owners(end: str, owners: Structured, rows: Array, count: int, containers: Containers) -> dict[str, ColumnData]:
    """The columns of one end of ``count`` flows, of which those in ``rows`` have ``owners`` (``abi.OWNER``)."""
    distinct, inverse = np.unique(owners["cgroup"], return_inverse=True)
    places = containers.find(distinct.tolist())
    names, of_name = np.unique(np.ascontiguousarray(owners["process"]).view(_PROCESS).reshape(-1), return_inverse=True)
    processes = Names.from_strings(name.partition(b"\0")[0].decode(errors="replace") for name in names.tolist())
    texts = {
        "process": processes.take(of_name.reshape(-1)),
        "container": Names.from_strings(place.container for place in places).take(inverse.reshape(-1)),
        "pod_uid": Names.from_strings(place.pod_uid for place in places).take(inverse.reshape(-1)),
    }
    found: dict[str, ColumnData] = {}
    for name, values in texts.items():
        codes = np.zeros(count, np.int32)
        codes[rows] = values.codes
        found[f"{end}_{name}"] = Names(codes, values.values)
    for name, absent in (("pid", 0), ("uid", NO_USER)):
        numbers = np.full(count, absent, np.uint32)
        numbers[rows] = owners[name]
        found[f"{end}_{name}"] = numbers
    return found
