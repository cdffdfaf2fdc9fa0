# SPDX-License-Identifier: Apache-2.0
"""How complete a window is: the ledger's counters, summed, in numbers and in words.

Two sums (see ``runtime.ledger``): packets in the kernel, records from the agents to the store. What an agent sent just before
the window's end is stored just after it: that is ``in_flight``, no loss. Devices without a ledger of their own show only what
their sequence numbers tell. Before in the path: the store's ledger table; after it: console, CLI, reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flowgauge.runtime.ledger import BY_NAME, Counter, Sum
from flowgauge.schema.flow_query import Window
from flowgauge.store.store import FlowStore, LedgerChange


@dataclass(frozen=True, slots=True)
class Loss:
    """What one part's instance lost to one cause: ``count`` of ``unit``, and the cause as a sentence."""

    counter: str
    component: str
    instance: str
    count: int
    unit: str
    cause: str


@dataclass(frozen=True, slots=True)
class Completeness:
    """How complete a window is.

    Attributes:
        known: whether any ledger spoke in the window; else every number is 0.
        percent: share of what should be there that is there, both sums together; None when not known, or when there was
            nothing to keep or lose: that no agent spoke is no sign that nothing happened.
        words: one sentence.
        offered: records that agents handed to the network.
        stored: flow records in the store.
        options: options records consumed.
        lost: records lost, from eviction to store.
        in_flight: offered but neither kept nor lost yet; negative where devices without a ledger send too.
        packets_seen, packets_kept, packets_lost: in the agents' kernels; sampled, filtered and repeated ones are left out.
        losses: each loss by cause and place, largest first.
        notes: counters that explain losses (datagrams dropped by a socket, unknown templates …), the same way.
    """

    known: bool
    percent: float | None
    words: str
    offered: int
    stored: int
    options: int
    lost: int
    in_flight: int
    packets_seen: int
    packets_kept: int
    packets_lost: int
    losses: tuple[Loss, ...]
    notes: tuple[Loss, ...]


_EXPLAINING = frozenset({
    "receive_socket_drops", "receive_truncated", "receive_queue_full", "decode_error_datagrams", "decode_unknown_template_sets",
    "decode_unknown_version", "store_insert_retries",
})  # fmt: skip


_UNKNOWN = "completeness unknown: no part reported its counters in this time range"

SILENT_MS = 60_000
"""A collector tells its counters at least every 20 s; one that has not for so long is away, or its store takes nothing."""


def completeness(store: FlowStore, window: Window, *, heard_by_ms: int = 0) -> Completeness:
    """Of ``window``; raises what the store raises. ``heard_by_ms``: see ``summed``."""
    return summed(store.ledger(window), heard_by_ms=heard_by_ms)


def summed(changes: Iterable[LedgerChange], *, heard_by_ms: int = 0) -> Completeness:
    """Sums how counters moved; counters of a newer version, which we do not know, are left out.

    ``heard_by_ms``: until when a collector should have told of itself, ms since 1970; 0 for flows that nobody adds to any more.
    """
    changes = list(changes)
    known = [(BY_NAME[change.counter], change) for change in changes if change.counter in BY_NAME]

    def total(unit: str, side: Sum) -> int:
        return sum(change.change for counter, change in known if counter.unit == unit and counter.side is side)

    kept, lost = total("records", Sum.KEPT), total("records", Sum.LOST)
    packets_kept, packets_lost = total("packets", Sum.KEPT), total("packets", Sum.LOST)
    stored = sum(change.change for counter, change in known if counter.name == "store_rows_written")
    losses = _losses((counter, change) for counter, change in known if counter.side is Sum.LOST)
    anything = kept + lost + packets_kept + packets_lost
    percent = 100 * _share(kept, lost) * _share(packets_kept, packets_lost) if anything else None
    offered = total("records", Sum.OFFERED)
    return Completeness(
        known=bool(known),
        percent=percent,
        words=(_words(percent, losses) if known else _UNKNOWN) + _silence(changes, heard_by_ms),
        offered=offered,
        stored=stored,
        options=kept - stored,
        lost=lost,
        in_flight=offered - kept - lost - total("records", Sum.CHOSEN),
        packets_seen=packets_kept + packets_lost,
        packets_kept=packets_kept,
        packets_lost=packets_lost,
        losses=losses,
        notes=_losses((counter, change) for counter, change in known if counter.name in _EXPLAINING),
    )


def _silence(changes: Sequence[LedgerChange], heard_by_ms: int) -> str:
    """What is not known of the window's end, or empty."""
    told_ms = max((change.told_ms for change in changes), default=0)
    silent_ms = heard_by_ms - told_ms
    if not told_ms or silent_ms < SILENT_MS:
        return ""
    return f"; the last {silent_ms // 1000:,} s are not known: no collector told its counters (`flowgauge logs` says why)"


def _share(kept: int, lost: int) -> float:
    return kept / (kept + lost) if kept + lost else 1.0


def _losses(found: Iterable[tuple[Counter, LedgerChange]]) -> tuple[Loss, ...]:
    losses = [
        Loss(counter.name, change.component, change.instance, change.change, counter.unit, counter.help)
        for counter, change in found
        if change.change
    ]
    return tuple(sorted(losses, key=lambda loss: -loss.count))


def _words(percent: float | None, losses: tuple[Loss, ...]) -> str:
    if percent is None:
        return "completeness unknown: nothing arrived in this time range; does an agent or exporter send?"
    if not losses:
        return "complete"
    by_cause: dict[str, int] = {}
    for loss in losses:
        by_cause[loss.cause] = by_cause.get(loss.cause, 0) + loss.count
    causes = ", ".join(
        f"{count:,} {_in_sentence(cause)}" for cause, count in sorted(by_cause.items(), key=lambda item: -item[1])
    )
    return f"{percent_text(percent)} complete; missing: {causes}"


def percent_text(percent: float) -> str:
    """A percentage that never rounds a loss away: 99.99 % for anything below 100."""
    return "100 %" if percent >= 100 else f"{min(percent, 99.99):.2f} %"


def _in_sentence(cause: str) -> str:
    """``Flows older than …`` becomes ``flows older than …``; ``IP packets …`` stays."""
    lowered = cause[:1].lower() + cause[1:] if cause[1:2].islower() else cause
    return lowered.rstrip(".")
