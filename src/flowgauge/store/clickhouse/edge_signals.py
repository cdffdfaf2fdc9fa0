# SPDX-License-Identifier: Apache-2.0
"""What the flows of an edge say of how well it went: the sums beside its counts, and what they are read into.

A signal that the store does not keep is absent, the others are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.enums import TCP_STATE_FINAL, code
from flowgauge.store.answer import EdgeSignals, Recent, Span
from flowgauge.store.clickhouse import edge_latencies
from flowgauge.store.clickhouse.ddl import SCALE
from flowgauge.store.clickhouse.planner import Planner

_SLICES = 60
"""Of the window, for when a latency began to be long."""

_ENDS = {"refused": ("refused",), "unanswered": ("timeout", "unreachable")}
_SEEN = ("refused", "unanswered", "dns_lost", "drops", "retransmits", "turned_back")
_NO_ANSWER = "NOANSWER"
_MADE = ("established", "closed", "reset")
"""Ends of connections that were made. One that nobody listened for is ``refused``."""
_LATEST_DROP = "argMaxIf({{}}, ({}is_recent, drop_packets), drop_packets > 0)"
_AFTERMATH = "drop_cause != 'TCP_OLD_DATA'"
"""What was sent again and had come after all follows other drops: it is a cause only where there is no other."""
_TOLD = "counted AND to_server AND icmp_error_packets > 0"
_TTL_EXCEEDED = "ttl exceeded"
_ON_THE_WAY = f"('{_TTL_EXCEEDED}', 'reassembly time exceeded', 'fragmentation needed', 'parameter problem')"
"""Errors of ICMP that do not say that the server cannot be reached: of a traceroute, or of a sender that learns the MTU."""
_NEEDED = (
    *edge_latencies.COLUMNS.values(), "drop_cause", "node_reporter", "tcp_state_final", "dns_rcode", "icmp_error",
    "icmp_error_packets",
)  # fmt: skip


def slice_ms(window_ms: int) -> int:
    """Length of a slice of the window: whole seconds."""
    return max(1, -(-window_ms // (_SLICES * 1000))) * 1000


def columns(planner: Planner) -> list[str]:
    """The physical columns that ``sums`` reads, as far as the store has them."""
    return [BY_NAME[name].physical for name in _NEEDED if planner.has(name)]


def sums(planner: Planner) -> dict[str, str]:
    """Name → SQL over flows with ``is_recent``, ``end_ms`` and ``slice_ms``; what the store cannot tell is left out."""
    found = {
        "packets_recent": f"sumIf(packets * {SCALE}, is_recent)",
        "retransmits_recent": "sumIf(retransmits, is_recent)",
        "active_first": "min(end_ms)",
        "active_last": "max(end_ms)",
        "answered_last": "maxIf(end_ms, NOT to_server AND packets > 0)",
        **edge_latencies.sums(planner),
    }
    conditions = {"drops": "drop_packets > 0", "retransmits": "retransmits > 0"}
    if planner.has("tcp_state_final"):
        for name, labels in _ENDS.items():
            conditions[name] = f"tcp_state_final IN ({_codes(*labels)})"
            found[name] = f"countIf({conditions[name]})"
        made = f"counted AND tcp_state_final IN ({_codes(*_MADE)})"
        found |= {"made": f"countIf({made})", "made_recent": f"countIf({made} AND is_recent)"}
    if planner.has("dns_rcode"):
        conditions["dns_lost"] = f"dns_rcode = '{_NO_ANSWER}'"
        found["dns_lost"] = f"countIf({conditions['dns_lost']})"
    if planner.has("drop_cause"):
        conditions["drops"] = f"drop_packets > 0 AND {_AFTERMATH}"
        found["drop_again"] = f"sumIf(drop_packets, NOT {_AFTERMATH})"
    if planner.has("icmp_error"):
        conditions["turned_back"] = f"{_TOLD} AND icmp_error NOT IN {_ON_THE_WAY}"
        found |= _errors(conditions["turned_back"])
    found["drops_recent"] = f"sumIf(drop_packets, {conditions['drops']} AND is_recent)"
    for name, condition in conditions.items():
        found[f"{name}_first"], found[f"{name}_last"] = f"minIf(end_ms, {condition})", f"maxIf(end_ms, {condition})"
        found[f"{name}_slices"] = f"groupUniqArrayIf(slice_ms, {condition})"
    latest = _LATEST_DROP.format(f"{_AFTERMATH}, " if planner.has("drop_cause") else "")
    for name, column in {"dropped_for": "drop_cause", "drop_node": "node_reporter"}.items():
        if planner.has(column):
            found[name] = latest.format(column)
    found["drop_to_server"] = latest.format("to_server")
    return found


def _errors(turned_back: str) -> dict[str, str]:
    return {
        "turned_back": f"sumIf(icmp_error_packets, {turned_back})",
        "turned_back_by": f"argMaxIf(icmp_error, (is_recent, icmp_error_packets), {turned_back})",
        "hops_ended": f"sumIf(icmp_error_packets, {_TOLD} AND icmp_error = '{_TTL_EXCEEDED}')",
    }


def read(row: Mapping[str, Any], window_ms: int) -> EdgeSignals:
    """The signals of one row of the answer over a window of this length."""
    length_ms = slice_ms(window_ms)
    return EdgeSignals(
        rtt=edge_latencies.read(row, "rtt", length_ms),
        dns=edge_latencies.read(row, "dns", length_ms),
        server=edge_latencies.read(row, "server", length_ms),
        refused=row.get("refused", 0),
        unanswered=row.get("unanswered", 0),
        dns_lost=row.get("dns_lost", 0),
        drop_cause=row.get("dropped_for", ""),
        drop_node=row.get("drop_node", ""),
        drop_to_server=bool(row["drop_to_server"]),
        drop_again=row.get("drop_again", 0) if row.get("drops_last") else 0,
        turned_back=row.get("turned_back", 0),
        turned_back_by=row.get("turned_back_by", ""),
        hops_ended=row.get("hops_ended", 0),
        made=row.get("made", 0),
        answered_ms=row["answered_last"],
        recent=Recent(row["packets_recent"], row["drops_recent"], row["retransmits_recent"], row.get("made_recent", 0)),
        active=Span(row["active_first"], row["active_last"]),
        seen={name: _span(row, name, length_ms) for name in _SEEN if row.get(f"{name}_first")},
    )


def _codes(*labels: str) -> str:
    return ", ".join(str(code(TCP_STATE_FINAL, label)) for label in labels)


def _span(row: Mapping[str, Any], name: str, slice_ms: int) -> Span:
    return Span(row[f"{name}_first"], row[f"{name}_last"], tuple(sorted(map(int, row[f"{name}_slices"]))), slice_ms)
