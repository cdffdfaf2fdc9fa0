# SPDX-License-Identifier: Apache-2.0
"""What the flows of an edge say of how well it went: the sums beside its counts, and what they are read into.

Latencies are compared with themselves: the median of the window's last ``RECENT_MS`` with that of what came before. A signal
that the store does not keep is absent, the others are told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.enums import TCP_STATE_FINAL, code
from flowgauge.store.answer import EdgeSignals, Latency
from flowgauge.store.clickhouse.planner import Planner

RECENT_MS = 15_000
"""What counts as now: a few export intervals."""

_LATENCIES = {"rtt": "rtt_avg_ns", "dns": "dns_latency_ns", "server": "server_time_max_ns"}
_ENDS = {"refused": ("refused",), "unanswered": ("timeout", "unreachable")}
_NO_ANSWER = "NOANSWER"
_LATEST_DROP = "argMaxIf({}, (is_recent, drop_packets), drop_packets > 0)"
_NEEDED = (*_LATENCIES.values(), "drop_cause", "node_reporter", "tcp_state_final", "dns_rcode")


def columns(planner: Planner) -> list[str]:
    """The physical columns that ``sums`` reads, as far as the store has them."""
    return [BY_NAME[name].physical for name in _NEEDED if planner.has(name)]


def sums(planner: Planner) -> dict[str, str]:
    """Name → SQL over flows with ``is_recent``; what the store cannot tell is left out."""
    found: dict[str, str] = {}
    for name, column in _LATENCIES.items():
        if planner.has(column):
            value = BY_NAME[column].physical
            found[f"{name}_now"] = f"quantileIf(0.5)({value}, {value} > 0 AND is_recent)"
            found[f"{name}_before"] = f"quantileIf(0.5)({value}, {value} > 0 AND NOT is_recent)"
    if planner.has("tcp_state_final"):
        for name, labels in _ENDS.items():
            codes = ", ".join(str(code(TCP_STATE_FINAL, label)) for label in labels)
            found[name] = f"countIf(tcp_state_final IN ({codes}))"
    if planner.has("dns_rcode"):
        found["dns_lost"] = f"countIf(dns_rcode = '{_NO_ANSWER}')"
    for name, column in {"drop_cause": "drop_cause", "drop_node": "node_reporter"}.items():
        if planner.has(column):
            found[name] = _LATEST_DROP.format(column)
    found["drop_to_server"] = _LATEST_DROP.format("to_server")
    return found


def read(row: Mapping[str, Any]) -> EdgeSignals:
    """The signals of one row of the answer."""
    return EdgeSignals(
        rtt=_latency(row, "rtt"),
        dns=_latency(row, "dns"),
        server=_latency(row, "server"),
        refused=row.get("refused", 0),
        unanswered=row.get("unanswered", 0),
        dns_lost=row.get("dns_lost", 0),
        drop_cause=row.get("drop_cause", ""),
        drop_node=row.get("drop_node", ""),
        drop_to_server=bool(row["drop_to_server"]),
    )


def _latency(row: Mapping[str, Any], name: str) -> Latency:
    """Nanoseconds; the median of nothing is NaN."""
    return Latency(*(_nanoseconds(row.get(f"{name}_{when}")) for when in ("now", "before")))


def _nanoseconds(microseconds: float | None) -> float | None:
    return microseconds * 1000 if microseconds and not math.isnan(microseconds) else None
