# SPDX-License-Identifier: Apache-2.0
"""How long round trips, answers of DNS and servers take on an edge, at the end of the window and before.

Like is compared with like: the median of the window's last ``answer.RECENT_MS`` with that of what came before, and the lower
quartile with the lower quartile, since a median says nothing any more once the fault fills half of what came before.

Both ends measure round trips, and each measures with them how long the other waits before it acknowledges (RFC 9293 §3.8.6.3:
up to half a second): where answers are sent that may be a hundred times the way. The way takes no longer than the faster end
says. A median over the flows of both ends would be now the one's and now the other's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowgauge.schema.columns import BY_NAME
from flowgauge.store.answer import Latency
from flowgauge.store.clickhouse.planner import Planner

_QUANTILES = (0.5, 0.25)
_LEVELS = ", ".join(map(str, _QUANTILES))

COLUMNS = {"rtt": "rtt_avg_ns", "dns": "dns_latency_ns", "server": "server_time_max_ns"}
"""Latency → its column of flows."""
_ENDS = {"rtt": {"rtt_there": "to_server", "rtt_back": "NOT to_server"}, "dns": {"dns": "1"}, "server": {"server": "1"}}
"""Latency → name and condition in SQL of the flows of each end that measures it."""


def sums(planner: Planner) -> dict[str, str]:
    """Name → SQL over flows with ``to_server``, ``is_recent`` and ``slice_ms``, of the columns that the store has."""
    found = {}
    for latency, column in COLUMNS.items():
        value = BY_NAME[column].physical
        for end, of_end in _ENDS[latency].items() if planner.has(column) else ():
            measured = f"{of_end} AND {value} > 0"
            found[f"{end}_now"] = f"quantilesIf({_LEVELS})({value}, {measured} AND is_recent)"
            found[f"{end}_before"] = f"quantilesIf({_LEVELS})({value}, {measured} AND NOT is_recent)"
            found[f"{end}_slices"] = f"quantilesMapIf({_LEVELS})(map(slice_ms, {value}), {measured})"
    return found


def read(row: Mapping[str, Any], latency: str, slice_ms: int) -> Latency:
    """One of ``COLUMNS`` from a row of the answer: of the quantiles that which has grown most."""
    ends = [_End.read(row, name) for name in _ENDS[latency]]
    both = [end for end in ends if end.now and end.before]
    if not both:  # what one end measured before and the other one now cannot be compared
        now, before = _least([end.now for end in ends]), _least([end.before for end in ends])
        return Latency(now[0]) if now else Latency(None, before[0]) if before else Latency()
    now, before = _least([end.now for end in both]), _least([end.before for end in both])
    grown = max(range(len(_QUANTILES)), key=lambda nth: now[nth] / before[nth])
    fastest = min(both, key=lambda end: end.before[grown])
    slices = {at_ms: min(end.slices[at_ms][grown] for end in both if at_ms in end.slices) for at_ms in sorted(fastest.slices)}
    return Latency(now[grown], before[grown], tuple(slices.items()), slice_ms)


@dataclass(frozen=True, slots=True)
class _End:
    """What one end measured, ``_QUANTILES`` in ns: none where nothing was; those of each slice by its start."""

    now: Sequence[float]
    before: Sequence[float]
    slices: Mapping[int, Sequence[float]]

    @classmethod
    def read(cls, row: Mapping[str, Any], name: str) -> _End:
        slices = {int(at_ms): _nanoseconds(quantiles_us) for at_ms, quantiles_us in row.get(f"{name}_slices") or ()}
        return cls(_nanoseconds(row.get(f"{name}_now")), _nanoseconds(row.get(f"{name}_before")), slices)


def _least(of_ends: Sequence[Sequence[float]]) -> list[float]:
    """The least of each quantile over the ends that measured."""
    return [min(nth) for nth in zip(*filter(None, of_ends), strict=True)]


def _nanoseconds(quantiles_us: Sequence[float] | None) -> list[float]:
    """A quantile of nothing is NaN."""
    return [us * 1000 for us in quantiles_us or () if not math.isnan(us)]
