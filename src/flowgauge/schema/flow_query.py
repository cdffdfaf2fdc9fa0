# SPDX-License-Identifier: Apache-2.0
"""FlowQuery: one question about flows, whoever asks (CLI, console, alerts) and whoever answers (any store)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from flowgauge.schema.filters.tree import Bound, Const


class Measure(StrEnum):
    """What is summed. ``bytes`` and ``packets`` are scaled by each flow's sampling rate; ``flows`` counts records."""

    BYTES = "bytes"
    PACKETS = "packets"
    FLOWS = "flows"
    RETRANSMITS = "retransmits"
    DROP_PACKETS = "drop_packets"
    RTT_AVG = "rtt_avg_ns"


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open time range [start_ms, end_ms), ms since 1970 UTC, over ``time_end_ms``."""

    start_ms: int
    end_ms: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end_ms - self.start_ms) / 1000


EVERYTHING = Const(value=True)
"""The filter that every flow passes."""


_NAMES = ("name", "owner", "service", "namespace")
"""What an end may be called, the most exact first; who is outside has none of these."""
_SINGLE = _NAMES[:2]
_OF_PEERS = ("dns_name", "subnet")


def peers_of_nameless(group_by: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For each end that is grouped by a name: the column with that name → the columns that tell apart who has none.

    These are the name from DNS, where single workloads are told apart, and the subnet; the first that is there counts. An end
    that is grouped by one of them or its address anyway needs no other.
    """
    return {
        f"{end}_{found}": tuple(f"{end}_{part}" for part in (_OF_PEERS if found in _SINGLE else _OF_PEERS[1:]))
        for end in ("src", "dst")
        if not {f"{end}_{part}" for part in (*_OF_PEERS, "addr")} & set(group_by)
        and (found := next((name for name in _NAMES if f"{end}_{name}" in group_by), ""))
    }


@dataclass(frozen=True, slots=True)
class FlowQuery:
    """One question.

    Attributes:
        window: which flows, by their end.
        where: bound filter.
        group_by: public column names; empty asks for the flows themselves.
        by_peer: ends without the name that they are grouped by are told apart by what else they go by, see
            ``peers_of_nameless``.
        measures: sums wanted for groups.
        order_by: measure by which groups come, largest first; flows themselves always come newest first.
        limit: how many groups or flows, at least 1; the rest of the groups is summed as "others".
        step_ms: 0, or the width of time bins: the answer becomes one series a group.
        columns: public names wanted of flows; empty means every stored column.
        duplicates: True also counts rows marked as another observation of the same packets.
    """

    window: Window
    where: Bound = EVERYTHING
    group_by: tuple[str, ...] = ()
    by_peer: bool = False
    measures: tuple[Measure, ...] = (Measure.BYTES, Measure.PACKETS, Measure.FLOWS)
    order_by: str = "bytes"
    limit: int = 100
    step_ms: int = 0
    columns: tuple[str, ...] = ()
    duplicates: bool = False
