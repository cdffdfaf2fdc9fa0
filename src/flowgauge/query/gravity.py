# SPDX-License-Identifier: Apache-2.0
"""How much a trouble matters: whether something does not arrive or is only late, is over, or is too small to be felt. Pure.

Before: ``query.troubles``, which finds them. Why the limits are what they are: ``docs/design/098-small-troubles.md``.
"""

from __future__ import annotations

from enum import StrEnum

from flowgauge.schema.flow_query import Window
from flowgauge.store.answer import NODE_KIND, RECENT_MS, Edge, Span

GOES_ON_MS = 60_000
"""What was seen less long before the end of the time range goes on: some troubles come in turns, as clients try again."""

FEW = 5
"""Fewer packets or questions than this are small where they are also a small share, or strays."""
SMALL_SHARE = 0.01
"""Of the packets or questions: less of a few, or of strays, nobody feels."""
THINNED_SHARE = 0.001
"""Of the packets: a full queue that takes less than this from a stream makes senders pace themselves, as is meant."""
STARTS_MS = 30_000
"""As long a pod may take to answer the probes of its node: three of Kubernetes' defaults."""
MADE_AGAIN = 3
"""Where one connection in n failed and 3 n were made since, it is 95 % sure that they fail no more."""


class Gravity(StrEnum):
    """What a trouble does, the gravest first: something does not arrive, something is late, nothing that is felt."""

    FAILING = "failing"
    SLOW = "slow"
    SMALL = "small"


_FAILING = frozenset({"refused", "unanswered", "turned_back", "silent", "drops", "dns_unanswered"})

_STRAYS = frozenset({
    "NO_SOCKET", "TCP_RFC7323_PAWS", "TCP_RFC7323_PAWS_ACK", "TCP_RFC7323_TW_PAWS", "TCP_INVALID_SEQUENCE",
    "TCP_INVALID_END_SEQUENCE", "TCP_INVALID_ACK_SEQUENCE", "TCP_OLD_ACK", "TCP_TOO_OLD_ACK", "TCP_RESET", "TCP_CLOSE",
    "TCP_ABORT_ON_DATA", "TCP_ABORT_ON_CLOSE", "TCP_ABORT_ON_LINGER",
})  # fmt: skip
"""The kernel's reasons for what comes too late: after its connection, or after what replaced it."""

_TAKING_ALL = frozenset({"NETFILTER_DROP", "PKT_TOO_BIG", "NEIGH_FAILED", "IP_OUTNOROUTES", "IP_INNOROUTES", "IP_RPFILTER"})
"""Reasons for which sending again does not help whom they meet, also where these are few."""

_THINNING = frozenset({"QDISC_DROP", "CPU_BACKLOG", "SOCKET_RCVBUFF", "SOCKET_BACKLOG", "PROTO_MEM"})
"""Reasons that take some packets of a stream. A rule or a missing way takes all, and few then are sent at all."""


def gravity(kind: str, count: int, edge: Edge, span: Span, window: Window) -> Gravity:
    """Of a trouble of ``kind`` (``troubles.Kind``) with so many packets, connections or questions, seen during ``span``."""
    rules = {
        "refused": _starts, "drops": _small_drops, "dns_unanswered": _small_questions, "retransmits": _sent_too_early,
        "turned_back": _a_few,
    }  # fmt: skip
    small = rules.get(kind)
    if small is not None and small(count, edge, span, window):
        return Gravity.SMALL
    if kind == "retransmits" and edge.signals.drop_cause in _TAKING_ALL:
        return Gravity.FAILING
    return Gravity.FAILING if kind in _FAILING else Gravity.SLOW


def is_over(span: Span, window: Window) -> bool:
    """Whether what was seen during ``span`` (never: it is measured at the end of ``window``) is seen no more."""
    return 0 < span.last_ms < window.end_ms - GOES_ON_MS


def is_made_again(failed: int, edge: Edge, span: Span, window: Window) -> bool:
    """Whether since the last of so many connections failed that many were made that one more would have."""
    signals = edge.signals
    wanted = MADE_AGAIN * max(1.0, (signals.made - signals.recent.made) / failed)
    return 0 < span.last_ms < window.end_ms - RECENT_MS and signals.recent.made >= wanted


def began_ms(span: Span) -> int:
    """Since when it has been seen without a break that is as long as that of what is over, to a slice of the window."""
    began = span.last_ms
    for at in reversed(span.slices):
        if began - at > GOES_ON_MS + span.slice_ms:
            break
        began = at
    return max(began, span.first_ms) if span.slices else span.first_ms


def lost_share(lost: int, lately: int, edge: Edge, span: Span, window: Window) -> float:
    """The part of the edge's packets that was lost: of the last seconds' where these lost enough, else of those meanwhile."""
    recent = edge.signals.recent.packets
    if recent and lately >= min(FEW, lost) > 0:
        return lately / max(recent, lately)
    return lost / max(1.0, lost, _packets_meanwhile(edge, span, window) if span.last_ms else edge.packets)


def _small_drops(count: int, edge: Edge, span: Span, window: Window) -> bool:
    cause = edge.signals.drop_cause
    share = count / max(1.0, _packets_meanwhile(edge, span, window))
    if count < FEW and (share < SMALL_SHARE or cause in _STRAYS):
        return True
    return share < (SMALL_SHARE if cause in _STRAYS else THINNED_SHARE if cause in _THINNING else 0)


def _packets_meanwhile(edge: Edge, span: Span, window: Window) -> float:
    """Packets of the edge while it dropped some, at its pace while it went: a long window does not make drops small."""
    active = edge.signals.active
    went_ms = active.last_ms - active.first_ms if active.last_ms else window.end_ms - window.start_ms
    return edge.packets * min(1.0, max(span.last_ms - began_ms(span), GOES_ON_MS) / max(1, went_ms))


def _sent_too_early(count: int, edge: Edge, _span: Span, _window: Window) -> bool:
    """Half of what was sent again had come before: nothing was lost, answers were late."""
    return edge.signals.drop_cause == "TCP_OLD_DATA" and edge.drop_packets * 2 >= count


def _starts(_count: int, edge: Edge, span: Span, _window: Window) -> bool:
    """A node probes its pods from before they listen. One that refuses on is no pod that starts."""
    return edge.client.kind == NODE_KIND and 0 < span.last_ms < began_ms(span) + STARTS_MS


def _a_few(count: int, edge: Edge, _span: Span, _window: Window) -> bool:
    return count < FEW and count < SMALL_SHARE * edge.packets


def _small_questions(count: int, edge: Edge, _span: Span, _window: Window) -> bool:
    """Each question is a flow, as its port is new."""
    return count < FEW and count < SMALL_SHARE * edge.flows
