# SPDX-License-Identifier: Apache-2.0
"""Makes rows of what happened to TCP sockets: connected, accepted, failed, closed …, one row each.

The row's source is the socket's own end. It has no packets and bytes, since flows have them; what it has of the connection
is how long it took, the smoothed round-trip time and the segments sent again until then. On loopback both ends are known to
this node (``loopback_ends``). Before: the ring buffer of the eBPF programs; after: the encoder, which sends such rows without
counters, so that collectors take them for events.
"""

from __future__ import annotations

import numpy as np

from flowgauge.agent import loopback_ends
from flowgauge.agent.accounter import account
from flowgauge.agent.containers import Containers
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.agent.signal_rows import SOURCE_HERE, Ends
from flowgauge.ebpf import abi
from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.ticks import Ticks
from flowgauge.ebpf.translations import join
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.clock import boot_offset_ns
from flowgauge.schema.enums import SOCKET_EVENT, code

_CONNECTED = code(SOCKET_EVENT, "connected")


def of_this_node(events: Structured, ends: Ends | None) -> Structured:
    """The events of sockets whose own address lives here; ``ends`` is None where all of the machine's are this node's.

    Of the loopback of pods, whose addresses live everywhere, the kernel tells only what is of this node's.
    """
    if ends is None or not len(events):
        return events
    return events[(events["netns"] > 0) | np.isin(ends(np.ascontiguousarray(events["key"])), SOURCE_HERE)]


def batch(events: Structured, known: Entries, local: LocalAddresses, containers: Containers) -> FlowBatch:
    """One row an event.

    Args:
        events: ``abi.SOCKET_EVENT``, shape (n,).
        known: this node's translations, ``abi.FLOW_KEY`` and ``abi.TRANSLATION``.
        local: which addresses live here.
        containers: tells container and pod of a control group.
    """
    count = len(events)
    keys = np.ascontiguousarray(events["key"])
    offset_ns = boot_offset_ns()
    ended = events["at_ns"].astype(np.int64) + offset_ns
    began = np.where(events["began_ns"] > 0, events["began_ns"].astype(np.int64) + offset_ns, ended)
    took = np.where(events["began_ns"] > 0, events["at_ns"] - events["began_ns"], 0)
    rtt_ns = events["rtt_us"].astype(np.uint64) * np.uint64(1000)
    translated = join(keys, known.keys, known.values)
    rows = account(
        keys, np.zeros(count, abi.FLOW_VALUE), translated, local, ticks=Ticks(1, 0), sampling_rate=np.ones(count, np.uint32)
    )
    return rows.with_columns(
        {
            "time_start_ns": began,
            "time_end_ns": ended,
            "socket_event": events["kind"].astype(np.uint8),
            "initiator": events["initiator"].astype(np.uint8),
            "tcp_state_final": events["state"].astype(np.uint8),
            "handshake_ns": np.where(events["kind"] == _CONNECTED, took, 0).astype(np.uint64),
            **dict.fromkeys(("rtt_min_ns", "rtt_avg_ns", "rtt_max_ns"), rtt_ns),
            "retransmits": events["retransmits"].astype(np.uint32),
            **loopback_ends.owners(events, containers),
            **loopback_ends.places(events, rows),
        }
    )
