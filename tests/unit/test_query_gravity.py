# SPDX-License-Identifier: Apache-2.0
"""Which troubles are too small to be felt, which are over, and which are to be looked at first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowgauge.query.gravity import GOES_ON_MS, Gravity
from flowgauge.query.troubles import Trouble, rank, troubles
from flowgauge.schema.flow_query import Window
from flowgauge.store.answer import RECENT_MS, Edge, EdgeSignals, End, Latency, Recent, Sampling, Span

END_MS = 1_795_646_930_000
QUARTER_HOUR = Window(END_MS - 900_000, END_MS)
EDGE = Edge(
    End("flow-demo", "django", "Deployment", "app"), End("flow-demo", "postgresql", "Deployment", "app"), 5432, 6, "postgresql",
    bytes=100_000_000, packets=100_000, flows=1000, bytes_to_server=40_000_000, retransmits=0, drop_packets=0, rtt_avg_ns=1e5,
    sampling=Sampling(unsampled=10),
)  # fmt: skip


def dropped(count: int, cause: str, packets: int, *, during_s: int = 900) -> Trouble:
    """The one trouble of an edge that dropped so many of its packets within the last seconds of a quarter of an hour."""
    seen = {"drops": Span(END_MS - during_s * 1000, END_MS - 1000)}
    signals = EdgeSignals(drop_cause=cause, drop_node="node-c", seen=seen)
    (found,) = troubles(replace(EDGE, packets=packets, drop_packets=count, signals=signals), QUARTER_HOUR)
    return found


@pytest.mark.parametrize(
    ("count", "cause", "packets"),
    [
        pytest.param(1, "SOME_REASON", 100_000, id="one of many"),
        pytest.param(4, "NETFILTER_DROP", 1000, id="four of a thousand"),
        pytest.param(1, "TCP_RFC7323_PAWS", 20, id="one too old, of few"),
        pytest.param(1, "NO_SOCKET", 3, id="one stray reset"),
        pytest.param(900, "TCP_INVALID_SEQUENCE", 100_000, id="strays below one in a hundred"),
        pytest.param(99, "QDISC_DROP", 100_000, id="a queue that took less than one in a thousand"),
    ],
)
def test_what_nobody_feels_is_small(count: int, cause: str, packets: int) -> None:
    assert dropped(count, cause, packets).gravity is Gravity.SMALL


@pytest.mark.parametrize(
    ("count", "cause", "packets"),
    [
        pytest.param(1, "NETFILTER_DROP", 1, id="the only packet"),
        pytest.param(1, "SOME_REASON", 99, id="one of a few"),
        pytest.param(5, "NETFILTER_DROP", 1_000_000, id="a rule takes all, and senders that wait send little"),
        pytest.param(5, "NO_SOCKET", 20, id="nobody listens"),
        pytest.param(101, "QDISC_DROP", 100_000, id="a queue that took more than one in a thousand"),
    ],
)
def test_what_may_be_felt_is_not_small(count: int, cause: str, packets: int) -> None:
    assert dropped(count, cause, packets).gravity is Gravity.FAILING


def test_drops_of_the_last_minute_do_not_become_small_by_a_long_time_range() -> None:
    assert dropped(90, "QDISC_DROP", 100_000, during_s=900).gravity is Gravity.SMALL
    assert dropped(90, "QDISC_DROP", 100_000, during_s=60).gravity is Gravity.FAILING


@pytest.mark.parametrize(
    ("lost", "flows", "gravity"), [(4, 401, Gravity.SMALL), (4, 400, Gravity.FAILING), (5, 9999, Gravity.FAILING)]
)
def test_few_questions_of_many_without_an_answer_are_small(lost: int, flows: int, gravity: Gravity) -> None:
    (found,) = troubles(replace(EDGE, flows=flows, signals=EdgeSignals(dns_lost=lost)), QUARTER_HOUR)
    assert found.gravity is gravity


@pytest.mark.parametrize(
    ("cause", "dropped", "gravity"),
    [("TCP_OLD_DATA", 1500, Gravity.SMALL), ("TCP_OLD_DATA", 1499, Gravity.SLOW), ("QDISC_DROP", 1500, Gravity.SLOW)],
)
def test_what_had_come_before_and_was_sent_again_is_small(cause: str, dropped: int, gravity: Gravity) -> None:
    edge = replace(EDGE, retransmits=3000, drop_packets=dropped, signals=EdgeSignals(drop_cause=cause))
    (found,) = troubles(edge, QUARTER_HOUR)
    assert found.gravity is gravity


@pytest.mark.parametrize("signals", [EdgeSignals(refused=1), EdgeSignals(unanswered=1)])
def test_a_connection_that_was_not_made_is_never_small(signals: EdgeSignals) -> None:
    (found,) = troubles(replace(EDGE, signals=signals), QUARTER_HOUR)
    assert found.gravity is Gravity.FAILING


@pytest.mark.parametrize(("ago_ms", "over"), [(GOES_ON_MS, False), (GOES_ON_MS + 1, True)])
def test_what_was_not_seen_for_a_minute_is_over(ago_ms: int, over: bool) -> None:  # noqa: FBT001
    last_ms = END_MS - ago_ms
    signals = EdgeSignals(refused=9, seen={"refused": Span(last_ms - 60_000, last_ms)})
    (found,) = troubles(replace(EDGE, signals=signals), QUARTER_HOUR)
    assert found.over is over


@pytest.mark.parametrize(
    ("ago_ms", "made", "recently", "over"),
    [
        pytest.param(RECENT_MS + 1, 0, 3, True, id="all failed, three were made since"),
        pytest.param(RECENT_MS + 1, 0, 2, False, id="two only"),
        pytest.param(RECENT_MS, 0, 99, False, id="it failed just now"),
        pytest.param(RECENT_MS + 1, 1199, 299, False, id="one in a hundred failed, fewer than 300 were made since"),
        pytest.param(RECENT_MS + 1, 1200, 300, True, id="one in a hundred failed, 300 were made since"),
    ],
)
def test_connections_that_are_made_again_are_over_sooner(ago_ms: int, made: int, recently: int, over: bool) -> None:  # noqa: FBT001
    """A pod that starts refuses the first probes of its node: that is no trouble once they are answered."""
    last_ms = END_MS - ago_ms
    signals = EdgeSignals(refused=9, made=made, recent=Recent(made=recently), seen={"refused": Span(last_ms - 10_000, last_ms)})
    (found,) = troubles(replace(EDGE, signals=signals), QUARTER_HOUR)
    assert found.over is over


@pytest.mark.parametrize(("kind", "lasted_ms", "gravity"), [
    pytest.param("Node", 29_999, Gravity.SMALL, id="a pod starts"),
    pytest.param("Node", 30_000, Gravity.FAILING, id="it does not get ready"),
    pytest.param("Deployment", 1000, Gravity.FAILING, id="no probe"),
])  # fmt: skip
def test_what_a_pod_refuses_its_node_before_it_listens_is_small(kind: str, lasted_ms: int, gravity: Gravity) -> None:
    seen = {"refused": Span(END_MS - 5000 - lasted_ms, END_MS - 5000)}
    edge = replace(EDGE, client=End("", "node-a", kind, "infra"), signals=EdgeSignals(refused=6, seen=seen))
    assert [one.gravity for one in troubles(edge, QUARTER_HOUR)] == [gravity]


@pytest.mark.parametrize(("cause", "since_ago_ms"), [("NETFILTER_DROP", 20_000), ("TCP_OLD_DATA", 600_000)])
def test_packets_sent_again_are_told_since_something_drops_them(cause: str, since_ago_ms: int) -> None:
    """A few are sent again at any time, and those that were late come twice."""
    seen = {"retransmits": Span(END_MS - 600_000, END_MS - 1000), "drops": Span(END_MS - 20_000, END_MS - 1000)}
    edge = replace(EDGE, retransmits=3000, drop_packets=9, signals=EdgeSignals(drop_cause=cause, seen=seen))
    assert [END_MS - one.since_ms for one in troubles(edge, QUARTER_HOUR)] == [since_ago_ms]


@pytest.mark.parametrize(("break_ms", "since_ms"), [(60_000, END_MS - 180_000), (75_000, END_MS - 60_000)])
def test_what_comes_again_after_a_break_is_told_since_then(break_ms: int, since_ms: int) -> None:
    """Slices are of 15 s; a break as long as that of what is over parts one outage from the next."""
    second = range(END_MS - 60_000, END_MS, 15_000)
    first = range(second[0] - break_ms - 60_000, second[0] - break_ms, 15_000)
    span = Span(first[0], END_MS - 1000, (*first, *second), 15_000)
    (found,) = troubles(replace(EDGE, signals=EdgeSignals(refused=9, seen={"refused": span})), QUARTER_HOUR)
    assert found.since_ms == since_ms


def test_the_share_that_is_lost_is_that_of_now_however_long_the_time_range() -> None:
    """Of a hundred thousand packets ten were lost: all in the last seconds, of 200."""
    recent = Recent(packets=200, drop_packets=10)
    signals = EdgeSignals(drop_cause="NETFILTER_DROP", recent=recent, seen={"drops": Span(END_MS - 9000, END_MS - 1000)})
    (found,) = troubles(replace(EDGE, drop_packets=10, signals=signals), QUARTER_HOUR)
    assert found.words.startswith("10 packets (5.0 %)")


def test_packets_that_a_rule_drops_fail_though_they_are_sent_again() -> None:
    signals = EdgeSignals(drop_cause="NETFILTER_DROP", seen={"retransmits": Span(END_MS - 9000, END_MS - 1000)})
    edge = replace(EDGE, retransmits=3000, drop_packets=3000, signals=signals)
    assert [one.gravity for one in troubles(edge, QUARTER_HOUR)] == [Gravity.FAILING]


def test_a_latency_that_is_long_at_the_end_is_not_over() -> None:
    (found,) = troubles(replace(EDGE, signals=EdgeSignals(rtt=Latency(51e6, 1e5))), QUARTER_HOUR)
    assert (found.gravity, found.over, found.count) == (Gravity.SLOW, False, 51)


def test_the_gravest_comes_first_then_what_there_is_more_of() -> None:
    late = {"refused": Span(END_MS - 300_000, END_MS - 200_000)}
    edges = [
        replace(EDGE, drop_packets=1, signals=EdgeSignals(drop_cause="NO_SOCKET")),
        replace(EDGE, signals=EdgeSignals(refused=9, seen=late)),
        replace(EDGE, signals=EdgeSignals(rtt=Latency(51e6, 1e5))),
        replace(EDGE, drop_packets=3000, signals=EdgeSignals(drop_cause="NETFILTER_DROP")),
        replace(EDGE, signals=EdgeSignals(refused=2)),
        replace(EDGE, signals=EdgeSignals(refused=7)),
    ]
    found = sorted((rank(one), one.words) for edge in edges for one in troubles(edge, QUARTER_HOUR))
    firsts = ["7 connections", "2 connections", "3,000 packets", "51 ms", "9 connections", "1 packet "]
    assert [first in words for first, (_, words) in zip(firsts, found, strict=True)] == [True] * 6


def test_packets_sent_again_for_no_known_reason_come_behind_what_is_measured() -> None:
    """A busy machine sends some again; where a queue dropped them, that is why round trips are long."""
    slow = replace(EDGE, signals=EdgeSignals(rtt=Latency(51e6, 1e5)))
    guessed, known = (replace(EDGE, retransmits=3000, drop_packets=drops, signals=EdgeSignals(drop_cause=cause))
                      for drops, cause in ((0, ""), (3000, "QDISC_DROP")))  # fmt: skip
    found = sorted((one for edge in (guessed, slow, known) for one in troubles(edge, QUARTER_HOUR)), key=rank)
    assert [(one.kind.value, one.cause) for one in found] == [("retransmits", "QDISC_DROP"), ("rtt", ""), ("retransmits", "")]


def test_the_share_of_a_short_conversation_is_of_all_its_packets() -> None:
    """It went for a second of the quarter of an hour, a while ago, and lost one packet of a thousand."""
    moment = Span(END_MS - 300_000, END_MS - 299_000)
    signals = EdgeSignals(drop_cause="SOME_REASON", active=moment, seen={"drops": moment})
    (found,) = troubles(replace(EDGE, packets=1000, drop_packets=1, signals=signals), QUARTER_HOUR)
    assert found.words.startswith("1 packet (0.1 %)")
