# SPDX-License-Identifier: Apache-2.0
"""How much a trouble matters: whether something does not arrive or is only late, is over, or is too small to be felt. Pure.

Before: ``query.troubles``, which finds them. Why the limits are what they are: ``docs/design/098-small-troubles.md``.
"""

from __future__ import annotations

from enum import StrEnum

from flowgauge.schema.flow_query import Window
from flowgauge.store.answer import Edge, Span

GOES_ON_MS = 60_000
"""What was seen less long before the end of the time range goes on: some troubles come in turns, as clients try again."""

FEW = 5
"""Fewer packets or questions than this are small where they are also a small share, or strays."""
SMALL_SHARE = 0.01
"""Of the packets or questions: less of a few, or of strays, nobody feels."""
THINNED_SHARE = 0.001
"""Of the packets: a full queue that takes less than this from a stream makes senders pace themselves, as is meant."""


class Gravity(StrEnum):
    """What a trouble does, the gravest first: something does not arrive, something is late, nothing that is felt."""

    FAILING = "failing"
    SLOW = "slow"
    SMALL = "small"


_FAILING = frozenset({"refused", "unanswered", "drops", "dns_unanswered"})

_STRAYS = frozenset({
    "NO_SOCKET", "TCP_RFC7323_PAWS", "TCP_RFC7323_PAWS_ACK", "TCP_RFC7323_TW_PAWS", "TCP_INVALID_SEQUENCE",
    "TCP_INVALID_END_SEQUENCE", "TCP_INVALID_ACK_SEQUENCE", "TCP_OLD_ACK", "TCP_TOO_OLD_ACK", "TCP_RESET", "TCP_CLOSE",
    "TCP_ABORT_ON_DATA", "TCP_ABORT_ON_CLOSE", "TCP_ABORT_ON_LINGER",
})  # fmt: skip
"""The kernel's reasons for what comes too late: after its connection, or after what replaced it."""

_THINNING = frozenset({"QDISC_DROP", "CPU_BACKLOG", "SOCKET_RCVBUFF", "SOCKET_BACKLOG", "PROTO_MEM"})
"""Reasons that take some packets of a stream. A rule or a missing way takes all, and few then are sent at all."""


def gravity(kind: str, count: int, edge: Edge, span: Span, window: Window) -> Gravity:
    """Of a trouble of ``kind`` (``troubles.Kind``) with so many packets, connections or questions, seen during ``span``."""
    small = {"drops": _small_drops, "dns_unanswered": _small_questions, "retransmits": _sent_too_early}.get(kind)
    if small is not None and small(count, edge, span, window):
        return Gravity.SMALL
    return Gravity.FAILING if kind in _FAILING else Gravity.SLOW


def is_over(last_ms: int, window: Window) -> bool:
    """Whether what was seen last then (0: it is measured at the end of ``window``) is seen no more."""
    return 0 < last_ms < window.end_ms - GOES_ON_MS


def _small_drops(count: int, edge: Edge, span: Span, window: Window) -> bool:
    cause = edge.signals.drop_cause
    share = count / max(1.0, _packets_meanwhile(edge, span, window))
    if count < FEW and (share < SMALL_SHARE or cause in _STRAYS):
        return True
    return share < (SMALL_SHARE if cause in _STRAYS else THINNED_SHARE if cause in _THINNING else 0)


def _packets_meanwhile(edge: Edge, span: Span, window: Window) -> float:
    """Packets of the edge while it dropped some, at its pace over the window: a long window does not make drops small."""
    length_ms = max(1, window.end_ms - window.start_ms)
    return edge.packets * min(1.0, max(span.last_ms - span.first_ms, GOES_ON_MS) / length_ms)


def _sent_too_early(count: int, edge: Edge, _span: Span, _window: Window) -> bool:
    """Half of what was sent again had come before: nothing was lost, answers were late."""
    return edge.signals.drop_cause == "TCP_OLD_DATA" and edge.drop_packets * 2 >= count


def _small_questions(count: int, edge: Edge, _span: Span, _window: Window) -> bool:
    """Each question is a flow, as its port is new."""
    return count < FEW and count < SMALL_SHARE * edge.flows
