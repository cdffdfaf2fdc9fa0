# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on an edge, said in words with its figures and its cause: for API, command line and console alike.

``troubles`` is pure: a ``store.answer.Edge`` in, troubles out, the gravest first. The rules, and what they cannot tell, are in
``docs/reference/troubles.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from flowgauge.query.advice import advice
from flowgauge.query.gravity import Gravity, gravity, is_over
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store.answer import Edge, End, Latency, Span
from flowgauge.store.store import FlowStore

RETRANSMIT_SHARE = 0.01
"""From here on retransmission hurts: one packet in a hundred was sent again."""
FEWEST_RETRANSMITS = 5
"""Fewer are what a busy machine does by itself."""

FEWEST_PROBES = 5
_BYTES_BETWEEN_PROBES = 1000

_GROWN = 5.0
"""How many times longer than before a latency must be."""
_RTT_BY_NS, _DNS_BY_NS, _SERVER_BY_NS = 10e6, 50e6, 100e6
"""And by how much longer: less is what a busy machine does by itself."""


class Kind(StrEnum):
    """What is wrong, the gravest first."""

    REFUSED = "refused"
    UNANSWERED = "unanswered"
    SLOW_READER = "slow_reader"
    DROPS = "drops"
    RETRANSMITS = "retransmits"
    RTT = "rtt"
    DNS_UNANSWERED = "dns_unanswered"
    DNS = "dns"
    SERVER_TIME = "server_time"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong.

    Attributes:
        words: a sentence for people.
        count: how many connections, packets or questions; of a latency, its milliseconds.
        cause: the kernel's name of a drop's reason, or empty.
        advice: where to look next.
        since_ms, last_ms: when it was seen first and last in the time range, ms since 1970. For a latency: since when it has
            been long without a break, and 0: it still is.
        gravity: how much it matters.
        over: whether it is seen no more at the end of the time range.
    """

    kind: Kind
    words: str
    cause: str = ""
    count: int = 0
    advice: str = ""
    since_ms: int = 0
    last_ms: int = 0
    gravity: Gravity = Gravity.SLOW
    over: bool = False


@dataclass(frozen=True, slots=True)
class EdgeTrouble:
    """A trouble and whose it is: workloads (or named peers) with their namespaces, and the server's port."""

    src_namespace: str
    src: str
    dst_namespace: str
    dst: str
    dst_port: int | None
    proto: int
    kind: Kind
    words: str
    cause: str
    count: int
    advice: str
    since_ms: int
    last_ms: int
    gravity: Gravity
    over: bool


_CAUSES = {
    "NETFILTER_DROP": "a rule of a firewall or a network policy",
    "NO_SOCKET": "nobody listens there",
    "QDISC_DROP": "the queue of an interface is full",
    "PKT_TOO_BIG": "larger than the MTU of the next link",
    "TCP_ZEROWINDOW": "the receiver does not read: its window is closed",
    "TCP_OVERWINDOW": "the receiver does not read: its window is full",
    "SOCKET_RCVBUFF": "the receiver does not read: its buffer is full",
    "SOCKET_BACKLOG": "the receiver does not keep up: its backlog is full",
    "TCP_OLD_DATA": "had come before: sent again too early",
    "TCP_OLD_SEQUENCE": "outside the receiver's window",
    "UDP_CSUM": "its checksum is wrong",
    "TCP_CSUM": "its checksum is wrong",
    "CPU_BACKLOG": "the node does not keep up",
    "NEIGH_FAILED": "the next hop does not answer",
}
"""The kernel's commonest reasons for people; others go by their own name."""

_CLOSED_WINDOW = frozenset({"TCP_OLD_SEQUENCE", "TCP_ZEROWINDOW", "TCP_OVERWINDOW"})
_HARMLESS = frozenset({"TCP_OLD_DATA", "TCP_OLD_SEQUENCE"})
"""The receiver has these data already."""


def worst(store: FlowStore, query: FlowQuery) -> list[EdgeTrouble]:
    """The troubles of the ``query.limit`` largest edges, the gravest first; raises what the store raises."""
    found = [(edge, one) for edge in store.edges(query).edges for one in troubles(edge, query.window)]
    return [_of_edge(edge, one) for edge, one in sorted(found, key=lambda pair: rank(pair[1]))]


def rank(one: Trouble) -> tuple[bool, bool, int, int, int]:
    """Orders troubles, the gravest first: what is felt, what goes on, what fails, then by kind, then the more of it."""
    small = one.gravity is Gravity.SMALL
    return small, one.over, list(Gravity).index(one.gravity), list(Kind).index(one.kind), -one.count


def _of_edge(edge: Edge, one: Trouble) -> EdgeTrouble:
    client, server = edge.client, edge.server
    return EdgeTrouble(
        client.namespace, client.name, server.namespace, server.name, edge.port, edge.proto, one.kind, one.words, one.cause,
        one.count, one.advice, one.since_ms, one.last_ms, one.gravity, one.over,
    )  # fmt: skip


def troubles(edge: Edge, window: Window) -> tuple[Trouble, ...]:
    """What went wrong in ``window`` between the edge's client and its server, the gravest first; nothing for most."""
    rules = (_ends, _reading, _losses, _round_trips, _questions, _server)
    found = (_weighed(edge, one, window) for rule in rules for one in rule(edge))
    return tuple(sorted(found, key=rank))


_SEEN_AS = {
    Kind.REFUSED: "refused", Kind.UNANSWERED: "unanswered", Kind.SLOW_READER: "drops", Kind.DROPS: "drops",
    Kind.RETRANSMITS: "retransmits", Kind.DNS_UNANSWERED: "dns_lost",
}  # fmt: skip


def _weighed(edge: Edge, one: Trouble, window: Window) -> Trouble:
    """The trouble with its times, what to do about it, and how much it matters."""
    signals, one = edge.signals, replace(one, advice=advice(one.kind, one.cause))
    latency = {Kind.RTT: signals.rtt, Kind.DNS: signals.dns, Kind.SERVER_TIME: signals.server}.get(one.kind)
    if latency is not None:
        return replace(one, since_ms=_long_since(latency), count=round((latency.now_ns or 0) / 1e6))
    seen = signals.seen.get(_SEEN_AS[one.kind], Span())
    weight, over = gravity(one.kind, one.count, edge, seen, window), is_over(seen.last_ms, window)
    return replace(one, since_ms=seen.first_ms, last_ms=seen.last_ms, gravity=weight, over=over)


def _long_since(latency: Latency) -> int:
    """Start of the first slice from which on every one, or every other one, had a peak that is long; 0 without any."""
    since = 0
    for at, longest in reversed(latency.peaks):
        if longest <= (latency.before_ns or 0) * _GROWN or (since and since - at > 2 * latency.slice_ms):
            break
        since = at
    return since


def _ends(edge: Edge) -> Iterator[Trouble]:
    signals, server = edge.signals, _server_words(edge)
    if signals.refused:
        times = _counted(signals.refused, "connection")
        yield Trouble(
            Kind.REFUSED, f"nobody listens at {server}: {times} of {_name(edge.client)} refused", "refused", signals.refused
        )
    if signals.unanswered:
        why = _why(edge) if edge.drop_packets else "nobody answers, or its packets are lost on the way"
        times = _counted(signals.unanswered, "connection")
        words = f"{times} from {_name(edge.client)} to {server} got no answer; {why}"
        yield Trouble(Kind.UNANSWERED, words, signals.drop_cause, signals.unanswered)


def _probes_a_closed_window(edge: Edge) -> bool:
    """Whether the drops are a sender's questions to a receiver that has no room.

    They are made as keepalives are (RFC 9293 §3.8.6.1), which idle connections send: then nearly no data go there.
    """
    to_reader = edge.bytes_to_server if edge.signals.drop_to_server else edge.bytes - edge.bytes_to_server
    probes = edge.drop_packets
    return edge.signals.drop_cause in _CLOSED_WINDOW and probes >= FEWEST_PROBES and to_reader >= probes * _BYTES_BETWEEN_PROBES


def _reading(edge: Edge) -> Iterator[Trouble]:
    if _probes_a_closed_window(edge):
        ends = [_name(edge.client), _server_words(edge)]
        sender, reader = ends if edge.signals.drop_to_server else ends[::-1]
        words = f"{reader} reads too slowly what {sender} sends: {edge.drop_packets:,} times it asked a closed window for room"
        yield Trouble(Kind.SLOW_READER, words, edge.signals.drop_cause, edge.drop_packets)


def _losses(edge: Edge) -> Iterator[Trouble]:
    signals = edge.signals
    said = (
        _probes_a_closed_window(edge)
        or (signals.unanswered and edge.drop_packets)
        or (signals.refused and signals.drop_cause == "NO_SOCKET")
    )
    share = edge.retransmits / edge.packets if edge.packets else 0.0
    if edge.retransmits >= FEWEST_RETRANSMITS and share > RETRANSMIT_SHARE and not said:
        why = _why(edge) if edge.drop_packets else "no kernel that is observed drops them: they are lost elsewhere, or late"
        words = f"{_percent(share)} of packets between {_ends_words(edge)} are sent again; {why}"
        yield Trouble(Kind.RETRANSMITS, words, signals.drop_cause, edge.retransmits)
    elif edge.drop_packets and not said and signals.drop_cause not in _HARMLESS:
        lost = _percent(edge.drop_packets / max(edge.packets, edge.drop_packets))
        words = f"{_counted(edge.drop_packets, 'packet')} ({lost}) between {_ends_words(edge)} dropped; {_why(edge)}"
        yield Trouble(Kind.DROPS, words, signals.drop_cause, edge.drop_packets)


def _round_trips(edge: Edge) -> Iterator[Trouble]:
    rtt = edge.signals.rtt
    if _has_grown(rtt, _RTT_BY_NS):
        yield Trouble(Kind.RTT, f"round trips between {_ends_words(edge)} take {_now_and_before(rtt)}")


def _questions(edge: Edge) -> Iterator[Trouble]:
    dns = edge.signals.dns
    if edge.signals.dns_lost:
        lost = edge.signals.dns_lost
        words = f"{_counted(lost, 'question')} of {_name(edge.client)} to {_server_words(edge)} got no answer"
        yield Trouble(Kind.DNS_UNANSWERED, words, count=lost)
    if _has_grown(dns, _DNS_BY_NS):
        yield Trouble(Kind.DNS, f"DNS answers of {_server_words(edge)} to {_name(edge.client)} take {_now_and_before(dns)}")


def _server(edge: Edge) -> Iterator[Trouble]:
    """Server time seen from the client's node holds the way, too: what the round trip explains is no fault of the server."""
    server, rtt_ns = edge.signals.server, edge.signals.rtt.now_ns or 0.0
    if server.now_ns is None:
        return
    own = Latency(server.now_ns - 2 * rtt_ns, server.before_ns)
    if _has_grown(own, _SERVER_BY_NS):
        words = f"{_server_words(edge)} takes {_now_and_before(server)} to answer {_name(edge.client)}"
        yield Trouble(Kind.SERVER_TIME, f"{words}: time on the server, not on the way")


def _has_grown(latency: Latency, by_ns: float) -> bool:
    now, before = latency.now_ns, latency.before_ns
    return now is not None and before is not None and now > before * _GROWN and now - before > by_ns


def _now_and_before(latency: Latency) -> str:
    return f"{_milliseconds(latency.now_ns or 0)} (were {_milliseconds(latency.before_ns or 0)})"


def _why(edge: Edge) -> str:
    """``the kernel of node-b drops them: NETFILTER_DROP (a rule …)``."""
    signals = edge.signals
    kernel = f"the kernel of {signals.drop_node}" if signals.drop_node else "a kernel"
    cause = signals.drop_cause or "for a reason that it does not name"
    known = f" ({_CAUSES[cause]})" if cause in _CAUSES else ""
    return f"{kernel} drops them: {cause}{known}"


def _ends_words(edge: Edge) -> str:
    return f"{_name(edge.client)} and {_server_words(edge)}"


def _server_words(edge: Edge) -> str:
    return _name(edge.server) if edge.port is None else f"{_name(edge.server)}:{edge.port}"


def _name(end: End) -> str:
    """As people say it: ``EXT:`` before a subnet's label means outside."""
    return end.name.removeprefix("EXT:").strip() or "an address without a name"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _milliseconds(ns: float) -> str:
    """``0.1 ms``, ``51 ms``, ``1.2 s``: coarse, for sentences."""
    ms = ns / 1e6
    if ms >= 999.5:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 9.95 else f"{ms:.1f} ms" if ms >= 0.095 else f"{ms:.2f} ms"
