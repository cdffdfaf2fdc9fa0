# SPDX-License-Identifier: Apache-2.0
"""Nodes' counters over time: since when something has no room, beside :mod:`flowgauge.query.nodes`, which sums it up.

Pure, of the ledger's steps. Before: the store; after: the API's ``/nodes/history`` and the console.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowgauge.schema.flow_query import Window
from flowgauge.store.store import LedgerStep

STEPS_MS = (30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000, 86_400_000)
"""Longer than the 20 s within which every counter is told of: a step without word is one in which nothing was heard."""
MOST_STEPS = 60
"""One for some 4 pixels of a small chart."""
_GAUGES = ("conntrack_entries", "conntrack_entries_max")


@dataclass(frozen=True, slots=True)
class NodeHistory:
    """One node: a value for each step; None where nothing was heard of it.

    Attributes:
        counters: by how much each counter of ``schema.told`` went up, devices together; those that never did are left out.
        tracked: share of connection tracking's room that was taken at most, 0 to 1; None also without it.
        heard: whether it was heard in each step.
        first_ms: when the first of these began; ms since 1970.
    """

    node: str
    counters: Mapping[str, Sequence[int | None]]
    tracked: Sequence[float | None]
    heard: Sequence[bool]
    first_ms: int


def step_for(window: Window) -> int:
    """The smallest step that gives at most ``MOST_STEPS`` of them."""
    length = window.end_ms - window.start_ms
    return next((step for step in STEPS_MS if length <= step * MOST_STEPS), STEPS_MS[-1])


def histories(steps: Iterable[LedgerStep], times_ms: Sequence[int]) -> list[NodeHistory]:
    """Every node that was heard, by name; ``times_ms`` are the begins of the steps."""
    by_node: dict[str, dict[str, dict[int, LedgerStep]]] = {}
    for step in steps:
        by_node.setdefault(step.instance, {}).setdefault(step.name, {})[step.start_ms] = step
    return [_history(node, found, times_ms) for node, found in sorted(by_node.items())]


def _history(node: str, found: Mapping[str, Mapping[int, LedgerStep]], times_ms: Sequence[int]) -> NodeHistory:
    heard = {at for steps in found.values() for at in steps}
    moving = [name for name, steps in found.items() if name not in _GAUGES and any(step.moved for step in steps.values())]
    counters = {name: [_moved(found[name].get(at)) if at in heard else None for at in times_ms] for name in moving}
    return NodeHistory(node, counters, [_share(found, at) for at in times_ms], [at in heard for at in times_ms], min(heard))


def _moved(step: LedgerStep | None) -> int:
    return step.moved if step else 0


def _share(found: Mapping[str, Mapping[int, LedgerStep]], at: int) -> float | None:
    entries, most = (found.get(name, {}).get(at) for name in _GAUGES)
    return round(entries.largest / most.largest, 4) if entries and most and most.largest else None
