# SPDX-License-Identifier: Apache-2.0
"""Makes columns of signals: what sockets, drops and DNS answers tell of each flow of an interval.

Pure functions of arrays. Before: :mod:`flowgauge.agent.signal_rows`, which knows the row of each signal; after: the encoder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from flowgauge.agent import dns_text
from flowgauge.agent.signal_rows import Placed, Rows, SignalRows
from flowgauge.flow.addresses import V4_MAPPED_PREFIX
from flowgauge.flow.batch import Array, ColumnData
from flowgauge.flow.names import Names
from flowgauge.schema.enums import TCP_STATE_FINAL, code
from flowgauge.schema.icmp_words import icmp_error
from flowgauge.schema.numbered_words import tcp_state

_ESTABLISHED = code(TCP_STATE_FINAL, "established")
_NEVER = np.iinfo(np.uint64).max
_IPV4, _IPV6 = 0x0800, 0x86DD
"""EtherTypes."""
_MAPPED = np.frombuffer(V4_MAPPED_PREFIX, np.uint8)
_REASON_PREFIX = "SKB_DROP_REASON_"


def columns(signals: SignalRows, reasons: dict[int, str], *, histogram: bool = False) -> dict[str, ColumnData]:
    """The signals' columns, one row a flow; those that no flow has are not there.

    Args:
        signals: flows and their signals.
        reasons: names of this kernel's drop reasons, by number.
        histogram: whether to tell round-trip times by powers of two, too.
    """
    count = len(signals.keys)
    found = _handshakes(signals)
    if len(signals.sockets.rows):
        found |= _sockets(signals.sockets, count)
        if histogram:
            found |= _histograms(signals.sockets, count)
    if len(signals.drops.rows):
        found |= _drops(signals.drops, count, reasons)
    if len(signals.answers.rows):
        found |= _answers(signals.answers, count)
    if len(signals.icmp_errors.rows):
        found |= _icmp_errors(signals.icmp_errors, count)
    if len(signals.server_times.rows):
        found |= _server_times(signals.server_times, count)
    if len(signals.tunnels.rows):
        found |= _tunnels(signals.tunnels, count)
    if len(signals.macs.rows):
        found |= _macs(signals)
    return found


def _histograms(placed: Placed, count: int) -> dict[str, ColumnData]:
    """Round-trip times by powers of two, without the empty places behind the last."""
    texts = [_histogram(row) for row in placed.values["rtt_histogram"]]
    return {"rtt_histogram": spread_names(Names.from_strings(texts), placed.rows, count)}


def _histogram(counts: Array) -> str:
    used = np.flatnonzero(counts)
    return ",".join(map(str, counts[: used[-1] + 1].tolist())) if len(used) else ""


def _handshakes(signals: SignalRows) -> dict[str, ColumnData]:
    microseconds = signals.values["handshake_us"]
    return {"handshake_ns": _ns(microseconds)} if microseconds.any() else {}


def _sockets(placed: Placed, count: int) -> dict[str, ColumnData]:
    values, rows = placed.values, placed.rows
    measured = values["rtt_count"].astype(np.uint64)
    mean_us = values["rtt_sum_us"] / np.maximum(measured, 1)
    state = np.where((values["state"] == 0) & (measured > 0), _ESTABLISHED, values["state"])
    return {
        "rtt_min_ns": _spread(_ns(values["rtt_min_us"]), rows, count),
        "rtt_avg_ns": _spread(_ns(mean_us), rows, count),
        "rtt_max_ns": _spread(_ns(values["rtt_max_us"]), rows, count),
        "retransmits": _spread(values["retransmits"], rows, count),
        "tcp_state_final": _spread(state.astype(np.uint8), rows, count),
    }


def _drops(placed: Placed, count: int, reasons: dict[int, str]) -> dict[str, ColumnData]:
    """Sums over reasons and states, and the commonest of them."""
    packets, octets = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    np.add.at(packets, placed.rows, placed.values["packets"])
    np.add.at(octets, placed.rows, placed.values["bytes"])
    commonest = _last_of_each_row(placed.rows, placed.values["packets"])
    rows = placed.rows[commonest]
    return {
        "drop_packets": packets,
        "drop_bytes": octets,
        "drop_cause": _texts(placed.keys["reason"][commonest], rows, count, lambda number: _reason(number, reasons)),
        "drop_tcp_state": _texts(placed.keys["tcp_state"][commonest], rows, count, tcp_state),
    }


def _answers(placed: Placed, count: int) -> dict[str, ColumnData]:
    """Of each flow's answers the slowest (none at all is slower than any), which is what one looks for."""
    unanswered = placed.values["flags"] & dns_text.RESPONSE == 0
    slowest = _last_of_each_row(placed.rows, np.where(unanswered, _NEVER, placed.values["latency_ns"]))
    rows, values = placed.rows[slowest], placed.values[slowest]
    questions = zip(values["question"], values["length"].tolist(), strict=True)
    asked = [dns_text.question(raw[:length].tobytes()) for raw, length in questions]
    return {
        "dns_id": _spread(placed.keys["id"][slowest].astype(np.uint16), rows, count),
        "dns_type": _spread(np.array([kind for _, kind in asked], np.uint16), rows, count),
        "dns_latency_ns": _spread(values["latency_ns"], rows, count),
        "dns_rcode": _texts(values["flags"], rows, count, dns_text.outcome),
        "dns_name": spread_names(Names.from_strings(name for name, _ in asked), rows, count),
    }


def _tunnels(placed: Placed, count: int) -> dict[str, ColumnData]:
    """The tunnel in which each flow came; of several one."""
    return {
        f"tunnel_{name}": _spread(np.ascontiguousarray(placed.values[name]), placed.rows, count)
        for name in ("kind", "id", "src_addr", "dst_addr")
    }


def _macs(signals: SignalRows) -> dict[str, ColumnData]:
    """The addresses of the frame with which each flow began, and what it carried: the flow, or the tunnel around that."""
    placed, count = signals.macs, len(signals.keys)
    outermost = np.ascontiguousarray(signals.keys["src_addr"])
    if len(signals.tunnels.rows):
        outermost = outermost.copy()
        outermost[signals.tunnels.rows] = signals.tunnels.values["src_addr"]
    mapped = (outermost[:, : len(_MAPPED)] == _MAPPED).all(axis=1)
    carried = np.where(mapped, _IPV4, _IPV6).astype(np.uint16)
    there = placed.values["dst"].any(axis=1) | placed.values["src"].any(axis=1)  # the loopback device has none
    rows = placed.rows[there]
    return {
        "src_mac": _spread(np.ascontiguousarray(placed.values["src"][there]), rows, count),
        "dst_mac": _spread(np.ascontiguousarray(placed.values["dst"][there]), rows, count),
        "ether_type": _spread(carried[rows], rows, count),
    }


def _icmp_errors(placed: Placed, count: int) -> dict[str, ColumnData]:
    """Sums over types and codes, and the commonest of them."""
    packets = np.zeros(count, np.uint32)
    np.add.at(packets, placed.rows, placed.values["packets"].astype(np.uint32))
    commonest = _last_of_each_row(placed.rows, placed.values["packets"])
    kinds = [placed.keys[name][commonest].tolist() for name in ("type", "code", "v6")]
    words = Names.from_strings(icmp_error(kind, code, v6=bool(v6)) for kind, code, v6 in zip(*kinds, strict=True))
    return {"icmp_error": spread_names(words, placed.rows[commonest], count), "icmp_error_packets": packets}


def _server_times(placed: Placed, count: int) -> dict[str, ColumnData]:
    values, rows = placed.values, placed.rows
    return {
        "server_time_min_ns": _spread(values["min_ns"], rows, count),
        "server_time_avg_ns": _spread(values["sum_ns"] // np.maximum(values["count"], 1), rows, count),
        "server_time_max_ns": _spread(values["max_ns"], rows, count),
        "server_time_count": _spread(values["count"], rows, count),
    }


def _ns(microseconds: npt.NDArray[np.uint32] | npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    return (microseconds * 1000.0).astype(np.uint64)


def _spread(values: Array, rows: Rows, count: int) -> Array:
    """A column of ``count`` rows with ``values`` in ``rows`` and 0 elsewhere."""
    column = np.zeros((count, *values.shape[1:]), values.dtype)
    column[rows] = values
    return column


def spread_names(names: Names, rows: Rows, count: int) -> Names:
    """The same of names, empty elsewhere."""
    return Names(_spread(names.codes, rows, count), names.values)


def _texts(numbers: Array, rows: Rows, count: int, text_of: Callable[[int], str]) -> Names:
    """A column of what ``numbers`` mean; each distinct one is put into words once."""
    distinct, inverse = np.unique(numbers, return_inverse=True)
    words = Names.from_strings(text_of(number) for number in distinct.tolist())
    return spread_names(words.take(inverse.reshape(-1)), rows, count)


def _last_of_each_row(rows: Rows, weights: Array) -> Rows:
    """Of the entries of each row the place of the one with the largest weight."""
    order = np.lexsort((weights, rows))
    last = np.append(rows[order][1:] != rows[order][:-1], True)
    found: Rows = order[last]
    return found


def _reason(number: int, reasons: dict[int, str]) -> str:
    """As the kernel calls it; a number where it belongs to a module of which we have no names."""
    return reasons.get(number, f"reason {number:#x}").removeprefix(_REASON_PREFIX)
