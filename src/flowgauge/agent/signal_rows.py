# SPDX-License-Identifier: Apache-2.0
"""Which flow each signal belongs to, and the flows that only signals tell of: pure functions of arrays.

A socket and the place of a drop see a packet's addresses before or behind this node's translation; the flow has those before.
A packet that is dropped before any hook counts it, a connection that ends without a packet, an answer whose question was
exported already: those make flows of no packets, so that nothing that was measured is lost.

Before: :mod:`flowgauge.agent.flow_source`; after: :mod:`flowgauge.agent.signal_columns`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf import abi
from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.map_reader import Entries, joined
from flowgauge.ebpf.tables import Evicted
from flowgauge.ebpf.translations import Index, before, match
from flowgauge.schema.enums import LOCAL_ENDS, TCP_STATE_FINAL, code

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
Ends = Callable[[Structured], npt.NDArray[np.uint8]]
"""Codes of ``enums.LOCAL_ENDS`` for keys: which ends live on this node."""

SOURCE_HERE = [code(LOCAL_ENDS, "src"), code(LOCAL_ENDS, "both")]
_DESTINATION_HERE = [code(LOCAL_ENDS, "dst"), code(LOCAL_ENDS, "both")]
_STILL_OPEN = [0, code(TCP_STATE_FINAL, "established")]


@dataclass(frozen=True, slots=True)
class Placed:
    """A signal's entries, (m,) as the kernel gave them, and the row of the flow to which each belongs."""

    keys: Structured
    values: Structured
    rows: Rows


@dataclass(frozen=True, slots=True)
class SignalRows:
    """The flows of an interval and their signals.

    Attributes:
        keys, values: ``abi.FLOW_KEY`` and ``abi.FLOW_VALUE``: the flows of the table, then those of no packets.
        sockets, drops, answers, server_times, icmp_errors, tunnels, macs: as in ``Evicted``, those of this node that
            have a flow.
    """

    keys: Structured
    values: Structured
    sockets: Placed
    drops: Placed
    answers: Placed
    server_times: Placed
    icmp_errors: Placed
    tunnels: Placed
    macs: Placed


def place(evicted: Evicted, known: Entries, ends: Ends | None = None) -> SignalRows:
    """Joins signals with flows.

    Args:
        evicted: of one epoch.
        known: this node's translations, ``abi.FLOW_KEY`` and ``abi.TRANSLATION``.
        ends: None where all that happens on this machine is this node's; else signals of other nodes are left out by it.
    """
    signals = (*_of_this_node(evicted, ends), evicted.answers, evicted.server_times, evicted.icmp_errors)
    index = Index(evicted.keys)
    flow_of = [before(_flow_keys(entries), index, known.keys, known.values) for entries in signals]
    extra = _without_flow(index, flow_of, signals)
    flows = joined(evicted, extra) if len(extra) else evicted  # joining copies, and most intervals have none
    index = Index(flows.keys) if len(extra) else index
    placed = [_placed(entries, of, index) for entries, of in zip(signals, flow_of, strict=True)]
    # A tunnel and a frame belong to a flow, and make none.
    in_tunnels = before(evicted.tunnels.keys, index, known.keys, known.values)
    placed += [_placed(evicted.tunnels, in_tunnels, index), _placed(evicted.macs, evicted.macs.keys, index)]
    return SignalRows(flows.keys, flows.values, *placed)


def _flow_keys(entries: Entries) -> Structured:
    return np.ascontiguousarray(entries.keys["flow"]) if "flow" in (entries.keys.dtype.names or ()) else entries.keys


def _of_this_node(evicted: Evicted, ends: Ends | None) -> tuple[Entries, Entries]:
    """Sockets and drops of this node.

    Nodes that share a kernel (network namespaces) see each other's. A socket belongs to the node on which its own address
    lives; a drop to the node in whose namespace it happened, else to that of the pod that sent or was to receive the packet.
    """
    sockets, drops = evicted.sockets, evicted.drops
    if ends is None:
        return sockets, drops
    where = drops.keys["place"]
    at_drop = ends(_flow_keys(drops))
    sent = (where == abi.DROP_SENT) & np.isin(at_drop, SOURCE_HERE)
    received = (where == abi.DROP_RECEIVED) & np.isin(at_drop, _DESTINATION_HERE)
    return (
        of_sockets_here(sockets, ends),
        drops.take((where == abi.DROP_AT_NODE) | sent | received),
    )


def of_sockets_here(entries: Entries, ends: Ends | None) -> Entries:
    """The entries by ``abi.FLOW_KEY`` of what a socket sends whose own address lives here; all when ``ends`` is None."""
    return entries if ends is None else entries.take(np.isin(ends(entries.keys), SOURCE_HERE))


def _without_flow(
    flow_keys: Index, flow_of: list[Structured], signals: tuple[Entries, Entries, Entries, Entries, Entries]
) -> Entries:
    """The flows of no packets: of every drop, answer, reply and error, and of sockets with news beyond round-trip times."""
    sockets, drops, answers, replies, errors = signals
    news = (sockets.values["retransmits"] > 0) | ~np.isin(sockets.values["state"], _STILL_OPEN)
    keys = np.concatenate([flow_of[0][news], *flow_of[1:]])
    of_sockets, of_answers, of_replies = sockets.values["last_tick"][news], answers.values["tick"], replies.values["last_tick"]
    first = np.concatenate([of_sockets, drops.values["first_tick"], of_answers, of_replies, errors.values["first_tick"]])
    last = np.concatenate([of_sockets, drops.values["last_tick"], of_answers, of_replies, errors.values["last_tick"]])
    alone = match(keys, flow_keys) < 0
    keys, first, last = keys[alone], first[alone], last[alone]
    _, at, row = np.unique(keys.view(np.dtype((np.void, keys.itemsize))), return_index=True, return_inverse=True)
    values = np.zeros(len(at), abi.FLOW_VALUE)
    values["first_tick"] = np.iinfo(np.uint64).max
    np.minimum.at(values["first_tick"], row, first)
    np.maximum.at(values["last_tick"], row, last)
    return Entries(keys[at], values)


def _placed(entries: Entries, flow_of: Structured, keys: Index) -> Placed:
    rows = match(flow_of, keys)
    there = rows >= 0
    kept = entries.take(there)
    return Placed(kept.keys, kept.values, rows[there])
