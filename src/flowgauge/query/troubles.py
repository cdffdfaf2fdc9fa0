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
from flowgauge.query.gravity import GOES_ON_MS, Gravity, began_ms, gravity, is_made_again, is_over, lost_share
from flowgauge.query.latencies import DNS_BY_NS, RTT_BY_NS, SERVER_BY_NS, has_grown, long_since_ms, without_the_way
from flowgauge.schema.flow_query import Window
from flowgauge.schema.roles import ECHO_REPLIES
from flowgauge.store.answer import PRIVATE_KIND, PUBLIC_KIND, RECENT_MS, Addresses, Edge, End, Latency, Span

RETRANSMIT_SHARE = 0.01
"""From here on retransmission hurts: one packet in a hundred was sent again."""
FEWEST_RETRANSMITS = 5
"""Fewer are what a busy machine does by itself."""

FEWEST_PROBES = 5
_BYTES_BETWEEN_PROBES = 1000

_SILENT_MS = 10_000
"""Two export intervals: what was answered meanwhile is known by then."""


class Kind(StrEnum):
    """What is wrong, the gravest first."""

    REFUSED = "refused"
    UNANSWERED = "unanswered"
    TURNED_BACK = "turned_back"
    SILENT = "silent"
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
            been long (``query.latencies``), and 0: it still is.
        gravity: how much it matters.
        over: whether it is seen no more at the end of the time range.
        behind: whether another trouble says it first: the same of another client, or what this one waits for.
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
    behind: bool = False


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

_NOBODY = "port unreachable"
_CLOSED_WINDOW = frozenset({"TCP_OLD_SEQUENCE", "TCP_ZEROWINDOW", "TCP_OVERWINDOW"})
_HARMLESS = frozenset({"TCP_OLD_DATA", "TCP_OLD_SEQUENCE"})
"""The receiver has these data already."""


def rank(one: Trouble) -> tuple[bool, bool, bool, int, int, int]:
    """Orders troubles: what is felt, what goes on, what nothing else explains, what fails; then by kind and count.

    Of packets that are sent again and no kernel dropped nobody knows whether they were lost: they come last.
    """
    small, guessed = one.gravity is Gravity.SMALL, one.kind is Kind.RETRANSMITS and not one.cause
    kind = len(Kind) if guessed else list(Kind).index(one.kind)
    return small, one.over, one.behind, list(Gravity).index(one.gravity), kind, -one.count


def troubles(edge: Edge, window: Window) -> tuple[Trouble, ...]:
    """What went wrong in ``window`` between the edge's client and its server, the gravest first; nothing for most."""
    rules = (_ends, _errors, _reading, _questions)
    raw = (*(one for rule in rules for one in rule(edge)), *_latencies(edge, window), *_losses(edge, window))
    found = (_weighed(edge, one, window) for one in raw)
    return tuple(sorted(found, key=rank))


_SEEN_AS = {
    Kind.REFUSED: "refused", Kind.UNANSWERED: "unanswered", Kind.RETRANSMITS: "retransmits", Kind.DNS_UNANSWERED: "dns_lost",
    Kind.TURNED_BACK: "turned_back", Kind.SILENT: "drops", Kind.SLOW_READER: "drops", Kind.DROPS: "drops",
}  # fmt: skip


_OF_CONNECTIONS = frozenset({Kind.REFUSED, Kind.UNANSWERED})


def _weighed(edge: Edge, one: Trouble, window: Window) -> Trouble:
    """The trouble with its times, what to do about it, and how much it matters."""
    one = replace(one, advice=advice(one.kind, one.cause))
    if one.kind not in _SEEN_AS:
        return one
    seen = edge.signals.seen.get(_seen_as(edge, one), Span())
    weight, over = gravity(one.kind, one.count, edge, seen, window), is_over(seen, window)
    if one.kind in _OF_CONNECTIONS and not over:
        over = is_made_again(one.count, edge, seen, window)
    return replace(one, since_ms=began_ms(seen), last_ms=seen.last_ms, gravity=weight, over=over)


def _seen_as(edge: Edge, one: Trouble) -> str:
    """Where it is known what drops packets, their senders' segments say nothing more of when: a few are always sent again."""
    dropped = one.kind is Kind.RETRANSMITS and "drops" in edge.signals.seen and one.cause not in _HARMLESS
    return "drops" if dropped else _SEEN_AS[one.kind]


def _ends(edge: Edge) -> Iterator[Trouble]:
    signals, server = edge.signals, server_words(edge)
    if signals.refused:
        times = _counted(signals.refused, "connection")
        yield Trouble(
            Kind.REFUSED,
            f"nobody listens at {server}: {times} of {client_words(edge)} refused",
            "refused",
            signals.refused,
        )
    if signals.unanswered:
        why = _why(edge) if _drops_explain(edge) else "nobody answers, or its packets are lost on the way"
        times = _counted(signals.unanswered, "connection")
        words = f"{times} from {client_words(edge)} to {server} got no answer; {why}"
        yield Trouble(Kind.UNANSWERED, words, signals.drop_cause if _drops_explain(edge) else "", signals.unanswered)


def _errors(edge: Edge) -> Iterator[Trouble]:
    """Connections say for themselves that they were not made."""
    signals, server, client = edge.signals, server_words(edge), client_words(edge)
    if signals.turned_back and not (signals.refused or signals.unanswered):
        packets = _counted(signals.turned_back, "packet")
        nobody = signals.turned_back_by == _NOBODY
        words = (
            f"nobody listens at {server}: {packets} of {client}"
            if nobody
            else f"{packets} from {client} cannot reach {server}:"
        )
        told = "answered by ICMP as" if nobody else "ICMP says"
        yield Trouble(Kind.TURNED_BACK, f"{words} {told} {signals.turned_back_by}", signals.turned_back_by, signals.turned_back)


def _is_told_by_icmp(edge: Edge, dropped: int) -> bool:
    """Whether who sent what was dropped was told so: nobody listens there, or its hops were to end on the way (traceroute)."""
    signals = edge.signals
    nobody = signals.drop_cause == "NO_SOCKET" and signals.turned_back_by == _NOBODY
    return nobody or (signals.drop_cause == "IP_INHDR" and signals.hops_ended >= dropped)


def _drops_explain(edge: Edge) -> bool:
    """Whether drops and connections without an answer are of one time: those of another tell nothing of these."""
    drops, unanswered = (edge.signals.seen.get(name, Span()) for name in ("drops", "unanswered"))
    return edge.drop_packets > 0 and began_ms(drops) <= unanswered.last_ms + GOES_ON_MS


def _end_in_no_answer(edge: Edge) -> bool:
    """Whether the drops were told with the connections without an answer: none came later."""
    drops, unanswered = (edge.signals.seen.get(name, Span()) for name in ("drops", "unanswered"))
    return edge.signals.unanswered > 0 and drops.last_ms <= unanswered.last_ms + RECENT_MS


def _probes_a_closed_window(edge: Edge) -> bool:
    """Whether the drops are a sender's questions to a receiver that has no room.

    They are made as keepalives are (RFC 9293 §3.8.6.1), which idle connections send: then nearly no data go there.
    """
    to_reader = edge.bytes_to_server if edge.signals.drop_to_server else edge.bytes - edge.bytes_to_server
    probes = edge.drop_packets
    return edge.signals.drop_cause in _CLOSED_WINDOW and probes >= FEWEST_PROBES and to_reader >= probes * _BYTES_BETWEEN_PROBES


def _reading(edge: Edge) -> Iterator[Trouble]:
    if _probes_a_closed_window(edge):
        ends = [client_words(edge), server_words(edge)]
        sender, reader = ends if edge.signals.drop_to_server else ends[::-1]
        words = f"{reader} reads too slowly what {sender} sends: {edge.drop_packets:,} times it asked a closed window for room"
        yield Trouble(Kind.SLOW_READER, words, edge.signals.drop_cause, edge.drop_packets)


def _losses(edge: Edge, window: Window) -> Iterator[Trouble]:
    signals, dropped = edge.signals, edge.drop_packets - edge.signals.drop_again
    said = (
        _probes_a_closed_window(edge)
        or (dropped and _end_in_no_answer(edge))
        or (signals.refused and signals.drop_cause == "NO_SOCKET")
        or _is_told_by_icmp(edge, dropped)
    )
    if said:
        return
    share = _share_of(edge, window, "retransmits", edge.retransmits, signals.recent.retransmits)
    harmless = signals.drop_cause in _HARMLESS
    if dropped and not harmless and (silent_for_ms := _silent_for_ms(edge)):
        words = f"{server_words(edge)} has not answered {client_words(edge)} for {_seconds(silent_for_ms)}; {_why(edge)}"
        yield Trouble(Kind.SILENT, words, signals.drop_cause, dropped)
    elif edge.retransmits >= FEWEST_RETRANSMITS and share > RETRANSMIT_SHARE:
        why = _why(edge) if dropped else "no kernel that is observed drops them: they are lost elsewhere, or late"
        words = f"{_percent(share)} of packets between {_ends_words(edge)} are sent again; {why}"
        yield Trouble(Kind.RETRANSMITS, words, signals.drop_cause, edge.retransmits)
    elif dropped and not harmless:
        lost = _percent(_share_of(edge, window, "drops", dropped, signals.recent.drop_packets))
        words = f"{_counted(dropped, 'packet')} ({lost}) between {_ends_words(edge)} dropped; {_why(edge)}"
        yield Trouble(Kind.DROPS, words, signals.drop_cause, dropped)


def _share_of(edge: Edge, window: Window, seen_as: str, lost: int, lately: int) -> float:
    return lost_share(lost, lately, edge, edge.signals.seen.get(seen_as, Span()), window)


def _silent_for_ms(edge: Edge) -> int:
    """How long a server has sent nothing although it did before and packets to it went on being dropped; 0: it does send."""
    signals, last_ms = edge.signals, edge.signals.seen.get("drops", Span()).last_ms
    silent_ms = last_ms - signals.answered_ms
    goes_on = signals.drop_to_server and signals.recent.drop_packets > 0
    return silent_ms if goes_on and signals.answered_ms and silent_ms >= _SILENT_MS else 0


def _questions(edge: Edge) -> Iterator[Trouble]:
    if edge.signals.dns_lost:
        lost = edge.signals.dns_lost
        words = f"{_counted(lost, 'question')} of {client_words(edge)} to {server_words(edge)} got no answer"
        yield Trouble(Kind.DNS_UNANSWERED, words, count=lost)


def _latencies(edge: Edge, window: Window) -> Iterator[Trouble]:
    """Server time seen from the client's node holds the way, too: what the round trip explains is no fault of the server."""
    rtt, dns, server = edge.signals.rtt, edge.signals.dns, edge.signals.server
    own, client, of_server = without_the_way(server, rtt), client_words(edge), server_words(edge)
    if has_grown(rtt, RTT_BY_NS):
        words = f"round trips between {_ends_words(edge)} take {_now_and_before(rtt)}"
        yield _late(Kind.RTT, words, rtt, long_since_ms(rtt, RTT_BY_NS, window))
    if has_grown(dns, DNS_BY_NS):
        words = f"DNS answers of {of_server} to {client} take {_now_and_before(dns)}"
        yield _late(Kind.DNS, words, dns, long_since_ms(dns, DNS_BY_NS, window))
    if has_grown(own, SERVER_BY_NS):
        words = f"{of_server} takes {_now_and_before(server)} to answer {client}: time on the server, not on the way"
        yield _late(Kind.SERVER_TIME, words, server, long_since_ms(own, SERVER_BY_NS, window))


def _late(kind: Kind, words: str, latency: Latency, since_ms: int) -> Trouble:
    return Trouble(kind, words, count=round((latency.now_ns or 0) / 1e6), since_ms=since_ms)


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
    return f"{client_words(edge)} and {server_words(edge)}"


def server_words(edge: Edge) -> str:
    """``postgresql:5432``, ``node-b (ICMP)``; the port is the one that clients ask for, of several the server's own."""
    icmp = " (ICMP)" if edge.proto in ECHO_REPLIES else ""
    port = edge.asked_ports[0] if len(edge.asked_ports) == 1 else edge.port
    address = _the_one(edge.server_addrs)
    if port is None:
        return f"{name_words(edge.server, address)}{icmp}"
    if not edge.server.name and not address:
        return f"port {port} of {name_words(edge.server)}"
    return f"{name_words(edge.server, f'[{address}]' if ':' in address else address)}:{port}"


def client_words(edge: Edge) -> str:
    """``django-psql-example``, ``10.0.0.7``."""
    return name_words(edge.client, _the_one(edge.client_addrs))


def name_words(end: End, address: str = "") -> str:
    """As people say it: ``EXT:`` before a subnet's label means outside. ``address`` is said of what has no name."""
    return end.name.removeprefix("EXT:").strip() or address or _NAMELESS.get(end.kind, "addresses without a name")


_NAMELESS = {PUBLIC_KIND: "public addresses", PRIVATE_KIND: "private addresses"}


def _the_one(addresses: Addresses) -> str:
    """Of several nobody knows here which of them a trouble is of."""
    return addresses.largest[0] if addresses.count == 1 else ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _seconds(ms: int) -> str:
    return f"{ms // 1000} s" if ms < 120_000 else f"{ms // 60_000} min"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _milliseconds(ns: float) -> str:
    """``0.1 ms``, ``51 ms``, ``1.2 s``: coarse, for sentences."""
    ms = ns / 1e6
    if ms >= 999.5:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 9.95 else f"{ms:.1f} ms" if ms >= 0.095 else f"{ms:.2f} ms"
