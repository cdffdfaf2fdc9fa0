# SPDX-License-Identifier: Apache-2.0
"""What is said to be wrong with an edge, and what is not; the figures as the real store sums them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import store_kit
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.query.advice import advice
from flowgauge.query.troubles import Kind, troubles
from flowgauge.query.worst import EdgeTrouble, worst
from flowgauge.schema.enums import DUPLICATE_OF, TCP_STATE_FINAL, code
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store.answer import Edge, EdgeSignals, End, Latency, Sampling
from flowgauge.store.store import FlowStore
from store_kit import flows, in_namespace, named, now_ms, running_store

MS = 1e6
END_MS = 1_795_646_930_000
WINDOW = Window(END_MS - 900_000, END_MS)
FINE = Edge(
    End("flow-demo", "django", "Deployment", "app"), End("flow-demo", "postgresql", "Deployment", "app"), 5432, 6, "postgresql",
    bytes=100_000, packets=1000, flows=10, bytes_to_server=40_000, retransmits=0, drop_packets=0, rtt_avg_ns=1e5,
    sampling=Sampling(unsampled=10),
)  # fmt: skip


def said(**changes: object) -> list[str]:
    signals = {name: value for name, value in changes.items() if name in EdgeSignals.__dataclass_fields__}
    others = {name: value for name, value in changes.items() if name not in signals}
    edge = replace(FINE, signals=EdgeSignals(**signals), **others)  # type: ignore[arg-type]
    return [one.words for one in troubles(edge, WINDOW)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {"rtt": Latency(51 * MS, 0.1 * MS)},
            "round trips between django and postgresql:5432 take 51 ms (were 0.1 ms)",
            id="rtt",
        ),
        pytest.param(
            {"retransmits": 30, "drop_packets": 30, "drop_cause": "NETFILTER_DROP", "drop_node": "node-b"},
            "3.0 % of packets between django and postgresql:5432 are sent again; the kernel of node-b drops them: "
            "NETFILTER_DROP (a rule of a firewall or a network policy)",
            id="loss here",
        ),
        pytest.param(
            {"retransmits": 30},
            "3.0 % of packets between django and postgresql:5432 are sent again; no kernel that is observed drops them: "
            "they are lost elsewhere, or late",
            id="loss elsewhere",
        ),
        pytest.param(
            {"drop_packets": 2, "drop_cause": "SOME_REASON"},
            "2 packets (0.2 %) between django and postgresql:5432 dropped; a kernel drops them: SOME_REASON",
            id="a reason without words",
        ),
        pytest.param(
            {"refused": 12, "drop_packets": 12, "drop_cause": "NO_SOCKET"},
            "nobody listens at postgresql:5432: 12 connections of django refused",
            id="refused",
        ),
        pytest.param(
            {"unanswered": 1},
            "1 connection from django to postgresql:5432 got no answer; nobody answers, or its packets are lost on the way",
            id="unanswered",
        ),
        pytest.param(
            {"turned_back": 12, "turned_back_by": "port unreachable", "drop_packets": 12, "drop_cause": "NO_SOCKET"},
            "nobody listens at postgresql:5432: 12 packets of django answered by ICMP as port unreachable",
            id="nobody listens, over UDP",
        ),
        pytest.param(
            {"turned_back": 1, "turned_back_by": "host unreachable"},
            "1 packet from django cannot reach postgresql:5432: ICMP says host unreachable",
            id="turned back on the way",
        ),
        pytest.param(
            {"turned_back": 3, "turned_back_by": "host unreachable", "unanswered": 1},
            "1 connection from django to postgresql:5432 got no answer; nobody answers, or its packets are lost on the way",
            id="a connection says it for itself",
        ),
        pytest.param(
            {"drop_packets": 20, "drop_cause": "TCP_OLD_SEQUENCE", "drop_to_server": True},
            "postgresql:5432 reads too slowly what django sends: 20 times it asked a closed window for room",
            id="slow reader",
        ),
        pytest.param(
            {"server": Latency(400 * MS, 2 * MS)},
            "postgresql:5432 takes 400 ms (were 2.0 ms) to answer django: time on the server, not on the way",
            id="slow server",
        ),
        pytest.param({"dns_lost": 3}, "3 questions of django to postgresql:5432 got no answer", id="dns without an answer"),
        pytest.param(
            {"dns": Latency(200 * MS, 0.2 * MS)}, "DNS answers of postgresql:5432 to django take 200 ms (were 0.2 ms)", id="dns"
        ),
    ],
)  # fmt: skip
def test_a_trouble_is_one_sentence_with_figures_and_cause(changes: dict[str, object], words: str) -> None:
    assert said(**changes) == [words]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="nothing measured"),
        pytest.param({"rtt": Latency(51 * MS, 49 * MS)}, id="far away, as always"),
        pytest.param({"rtt": Latency(51 * MS, None)}, id="nothing to compare with"),
        pytest.param({"rtt": Latency(5 * MS, 0.1 * MS)}, id="a busy machine"),
        pytest.param({"retransmits": 10}, id="one packet in a hundred"),
        pytest.param({"retransmits": 3, "packets": 20}, id="few"),
        pytest.param({"drop_packets": 1, "drop_cause": "TCP_OLD_DATA"}, id="had come before"),
        pytest.param({"drop_packets": 60, "drop_cause": "TCP_OLD_SEQUENCE", "drop_to_server": True}, id="keepalives"),
    ],
)
def test_what_is_usual_is_no_trouble(changes: dict[str, object]) -> None:
    assert said(**changes) == []


def test_a_slow_way_is_not_the_servers_fault() -> None:
    """Seen from the client's node, server time holds a round trip, and the handshake's answer waits for one too."""
    (words,) = said(rtt=Latency(150 * MS, 1 * MS), server=Latency(160 * MS, 2 * MS))
    assert words.startswith("round trips")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowStore]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        yield process.open()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands still, so that ``ended_s_ago`` is the same for who writes and who asks, however long both take."""
    now = now_ms()
    for module in (sys.modules[__name__], store_kit):
        monkeypatch.setattr(module, "now_ms", lambda: now)


def _row(namespace: str, ended_s_ago: float, **columns: int) -> FlowBatch:
    """Django → postgresql:5432, one flow."""
    batch = flows(namespace, 1, owners=("django",), src_port=40_000, dst_port=5432, **columns)
    names = {"dst_namespace": namespace, "dst_owner": "postgresql", "node_reporter": "node-c"}
    ends = np.full(1, now_ms() - int(ended_s_ago * 1000), np.int64)
    return batch.with_columns({"time_end_ms": ends} | {name: Names.constant(text, 1) for name, text in names.items()})


def _answer(namespace: str, ended_s_ago: float, **columns: int) -> FlowBatch:
    """What postgresql sent back."""
    batch = flows(namespace, 1, owners=("postgresql",), src_port=5432, dst_port=40_000, packets=50, **columns)
    names = {"dst_namespace": namespace, "dst_owner": "django", "node_reporter": "node-c"}
    ends = np.full(1, now_ms() - int(ended_s_ago * 1000), np.int64)
    return batch.with_columns({"time_end_ms": ends} | {name: Names.constant(text, 1) for name, text in names.items()})


def _found(store: FlowStore, namespace: str, rows: list[FlowBatch]) -> list[tuple[Kind, str]]:
    return [(one.kind, one.words) for one in _worst(store, namespace, rows)]


def _worst(store: FlowStore, namespace: str, rows: list[FlowBatch]) -> tuple[EdgeTrouble, ...]:
    """Of the five minutes until now."""
    end = now_ms()
    store.write(FlowBatch.concat(rows), f"{namespace}-{end}")
    return worst(store, FlowQuery(Window(end - 300_000, end + 1000), in_namespace(namespace))).troubles


def test_the_last_seconds_are_compared_with_the_time_before(store: FlowStore) -> None:
    before = [_row("slow", 100 + n, rtt_avg_us=200, server_time_max_us=1000) for n in range(3)]
    now = [_row("slow", 3 + n, rtt_avg_us=60_000, server_time_max_us=61_000) for n in range(3)]
    (found,) = _found(store, "slow", before + now)
    assert found == (Kind.RTT, "round trips between django and postgresql:5432 take 60 ms (were 0.2 ms)")


def _both_ends(namespace: str, from_s: int, to_s: int, there_us: int, back_us: int) -> list[FlowBatch]:
    """A flow each way every other second of so long ago, with the round trips that its sender measured."""
    seconds = range(to_s, from_s, 2)
    there = [_row(namespace, ago, rtt_avg_us=there_us) for ago in seconds]
    return there + [_answer(namespace, ago, rtt_avg_us=back_us) for ago in seconds]


def test_acknowledgements_that_wait_are_no_round_trips_whichever_end_sends_more(store: FlowStore) -> None:
    """A busy client acknowledges answers late: what the server measures is not the way, also where most flows are its."""
    before = [*_both_ends("waits", 60, 30, 400, 17_000), *_both_ends("waits", 60, 40, 400, 17_000)[:10]]
    now = [*_both_ends("waits", 14, 2, 400, 17_000), *[_answer("waits", ago, rtt_avg_us=20_000) for ago in range(2, 12)]]
    assert _found(store, "waits", before + now) == []


def test_what_one_end_measures_is_not_compared_with_what_the_other_did(store: FlowStore) -> None:
    before = [_row("turns", 40 + n, rtt_avg_us=400) for n in range(5)]
    assert _found(store, "turns", before + [_answer("turns", 3 + n, rtt_avg_us=17_000) for n in range(5)]) == []


def test_a_slow_way_is_said_where_one_end_sees_late_acknowledgements_all_the_time(store: FlowStore) -> None:
    """Most flows before were of the end that sees them: the median of all would be 17 ms and 60 ms no fault."""
    usual = [*_both_ends("both", 90, 30, 400, 17_000), *[_answer("both", ago, rtt_avg_us=17_000) for ago in range(31, 91)]]
    (found,) = _worst(store, "both", [*usual, *_both_ends("both", 15, 1, 55_000, 78_000)])
    assert found.words == "round trips between django and postgresql:5432 take 55 ms (were 0.4 ms)"
    assert now_ms() - 30_000 < found.since_ms


def test_a_fault_that_fills_most_of_the_range_before_is_still_said(store: FlowStore) -> None:
    slow = [_row("long", ago, rtt_avg_us=52_000) for ago in range(1, 100, 2)]
    (found,) = _found(store, "long", [*slow, *[_row("long", ago, rtt_avg_us=300) for ago in range(101, 141, 2)]])
    assert found == (Kind.RTT, "round trips between django and postgresql:5432 take 52 ms (were 0.3 ms)")


@pytest.mark.parametrize(("clients", "who"), [(1, "10.0.0.1"), (2, "private addresses")])
def test_an_end_of_which_only_its_address_is_known_is_called_by_that(store: FlowStore, clients: int, who: str) -> None:
    namespace = f"lone-{clients}"
    refused = flows(namespace, clients, tcp_state_final=code(TCP_STATE_FINAL, "refused"))
    rows = [named(refused, src_owner="", dst_owner="")] * 12
    (found,) = _found(store, namespace, rows)
    assert found[1] == f"nobody listens at [2001:db8::1]:5432: {12 * clients} connections of {who} refused"


def test_of_several_public_addresses_none_is_said_to_be_that_to_which_it_happened(store: FlowStore) -> None:
    refused = named(flows("abroad", 2, tcp_state_final=code(TCP_STATE_FINAL, "refused")), src_owner="", dst_owner="")
    refused = refused.with_columns({"dst_addr": from_texts(["203.0.113.9", "203.0.113.10"])})
    (found,) = _found(store, "abroad", [refused] * 12)
    assert found[1] == "nobody listens at port 5432 of public addresses: 24 connections of private addresses refused"


def test_an_address_that_is_absent_is_none(store: FlowStore) -> None:
    refused = named(flows("zero", 12, tcp_state_final=code(TCP_STATE_FINAL, "refused")), src_owner="", dst_owner="")
    (found,) = _found(store, "zero", [refused.with_columns({"dst_addr": from_texts(["0.0.0.0"] * 12)})])
    assert found[1].startswith("nobody listens at port 5432 of addresses without a name: 12 connections")


def test_a_drop_counts_once_also_at_the_node_whose_observation_is_a_duplicate(store: FlowStore) -> None:
    """Packets and flows are those of the counted row; the drop is told by the far node alone, with its name and reason."""
    cause = {"drop_cause": Names.constant("QDISC_DROP", 1)}
    far = _row("far", 2, packets=100, drop_packets=4, duplicate_of=code(DUPLICATE_OF, "far_end")).with_columns(cause)
    (found,) = _found(store, "far", [_row("far", 2, packets=100), far])
    assert found[1].startswith("4 packets (4.0 %) between django and postgresql:5432 dropped; the kernel of node-c drops them")
    (edge,) = store.edges(FlowQuery(Window(now_ms() - 300_000, now_ms() + 1000), in_namespace("far"))).edges
    assert (edge.packets, edge.flows, edge.drop_packets) == (100, 1, 4)


def test_what_had_come_after_all_is_no_cause_where_there_is_another(store: FlowStore) -> None:
    """When a rule that dropped is taken away, senders send again what had come: the latest drops are these."""
    reasons = ((30, "NETFILTER_DROP"), (2, "TCP_OLD_DATA"))
    rows = [
        _row("after", ago, packets=100, drop_packets=5).with_columns({"drop_cause": Names.constant(reason, 1)})
        for ago, reason in reasons
    ]
    (found,) = _found(store, "after", rows)
    assert found[1].endswith("NETFILTER_DROP (a rule of a firewall or a network policy)")


def test_a_server_that_answered_before_is_said_to_be_silent_while_packets_to_it_are_dropped(store: FlowStore) -> None:
    """A policy that forbids a running conversation: nothing of it arrives, though few packets are sent in vain."""
    rule = {"drop_cause": Names.constant("NETFILTER_DROP", 1)}
    blocked = [_row("blocked", ago, packets=1, retransmits=1, drop_packets=1).with_columns(rule) for ago in (9, 7, 2)]
    back = _answer("blocked", 30)
    (found,) = _found(store, "blocked", [_row("blocked", 30, packets=100), back, *blocked])
    words = r"postgresql:5432 has not answered django for 2\d s; the kernel of node-c drops them: NETFILTER_DROP .*"
    assert (found[0], bool(re.fullmatch(words, found[1]))) == (Kind.SILENT, True), found


def test_a_server_that_still_answers_is_not_silent(store: FlowStore) -> None:
    rule = {"drop_cause": Names.constant("NETFILTER_DROP", 1)}
    rows = [_row("lossy", ago, packets=100, drop_packets=3).with_columns(rule) for ago in (9, 7, 2)]
    (found,) = _found(store, "lossy", [*rows, _answer("lossy", 2)])
    assert found[1].startswith("9 packets (2.6 %) between django and postgresql:5432 dropped")


def test_drops_count_without_what_had_come_before(store: FlowStore) -> None:
    reasons = ((70, "TCP_OLD_DATA", 40), (2, "NETFILTER_DROP", 6))
    rows = [
        _row("mixed", ago, packets=100, drop_packets=count).with_columns({"drop_cause": Names.constant(reason, 1)})
        for ago, reason, count in reasons
    ]
    now = now_ms()
    (found,) = _worst(store, "mixed", rows)
    assert found.words.startswith("6 packets (6.0 %)")
    assert (now - found.since_ms) / 1000 == pytest.approx(2, abs=20)


@pytest.mark.parametrize(("made", "over"), [(2, False), (3, True)])
def test_a_pod_that_refused_until_it_was_ready_is_soon_no_trouble(store: FlowStore, made: int, over: bool) -> None:  # noqa: FBT001
    pod = f"starts-{made}"
    refused = [_row(pod, ago, tcp_state_final=code(TCP_STATE_FINAL, "refused")) for ago in (40, 37)]
    after = [_row(pod, 3 + number, tcp_state_final=code(TCP_STATE_FINAL, "closed")) for number in range(made)]
    assert [one.over for one in _worst(store, pod, refused + after)] == [over]


def _told(namespace: str, error: str, count: int, **columns: int) -> FlowBatch:
    row = _row(namespace, 2, packets=count, icmp_error_packets=count, **columns)
    return row.with_columns({"icmp_error": Names.constant(error, 1)})


def test_a_port_of_udp_where_nobody_listens_is_said_once_and_not_as_drops_too(store: FlowStore) -> None:
    """Each node on the way saw the errors: those of the observation that counts are told."""
    cause = {"drop_cause": Names.constant("NO_SOCKET", 1)}
    far = _told("closed", "port unreachable", 40, drop_packets=40, duplicate_of=code(DUPLICATE_OF, "far_end")).with_columns(
        cause
    )
    (found,) = _worst(store, "closed", [_told("closed", "port unreachable", 40), far])
    assert (found.kind, found.count, found.gravity, found.over) == (Kind.TURNED_BACK, 40, "failing", False)
    assert found.words == "nobody listens at postgresql:5432: 40 packets of django answered by ICMP as port unreachable"
    assert found.advice == advice("refused", "")
    assert found.since_ms > 0


def test_a_traceroute_and_a_path_with_a_small_mtu_are_no_trouble(store: FlowStore) -> None:
    hop = _told("trace", "ttl exceeded", 9, drop_packets=9).with_columns({"drop_cause": Names.constant("IP_INHDR", 1)})
    assert _found(store, "trace", [hop, _told("trace", "fragmentation needed", 1)]) == []


def test_packets_whose_headers_are_wrong_are_a_trouble_where_nobody_was_told_that_their_hops_ended(store: FlowStore) -> None:
    wrong = _row("wrong", 2, packets=9, drop_packets=9).with_columns({"drop_cause": Names.constant("IP_INHDR", 1)})
    assert [kind for kind, _ in _found(store, "wrong", [wrong])] == [Kind.DROPS]


def test_an_answer_to_a_client_that_is_gone_is_no_trouble(store: FlowStore) -> None:
    """Its kernel says "port unreachable" of a late answer of the server."""
    late = _answer("gone", 2).with_columns({
        "icmp_error": Names.constant("port unreachable", 1), "icmp_error_packets": np.full(1, 6, np.uint32),
    })  # fmt: skip
    assert _found(store, "gone", [_row("gone", 3, packets=50), late]) == []


def test_a_few_packets_that_are_turned_back_among_many_are_small(store: FlowStore) -> None:
    few = _row("few", 2, packets=1000, icmp_error_packets=4).with_columns({"icmp_error": Names.constant("host unreachable", 1)})
    (found,) = _worst(store, "few", [few])
    assert (found.kind, found.gravity) == (Kind.TURNED_BACK, "small")


def test_refused_connections_come_before_what_is_only_slow(store: FlowStore) -> None:
    refused = [_row("refused", 2, tcp_state_final=code(TCP_STATE_FINAL, "refused"))]
    again = [_row("refused", 2, packets=100, retransmits=9)]
    assert [kind for kind, _ in _found(store, "refused", refused + again)] == [Kind.REFUSED, Kind.RETRANSMITS]


def _times(store: FlowStore, namespace: str, rows: list[FlowBatch]) -> tuple[float, float]:
    """How many seconds ago the one trouble began, and when it was seen last."""
    now = now_ms()
    (found,) = _worst(store, namespace, rows)
    return (now - found.since_ms) / 1000, (now - found.last_ms) / 1000


def test_a_trouble_says_when_it_was_seen_first_and_last(store: FlowStore) -> None:
    rows = [_row("when", ago, packets=100, retransmits=9) for ago in (120, 90, 60)]
    since, last = _times(store, "when", [*rows, _row("when", 10, packets=100)])
    assert since == pytest.approx(120, abs=20)
    assert last == pytest.approx(60, abs=20)


@pytest.mark.parametrize("kind", Kind)
def test_each_trouble_says_where_to_look_next_also_for_a_reason_that_nobody_foresaw(kind: Kind) -> None:
    assert advice(kind, "")
    assert advice(kind, "SOME_REASON") in (advice(kind, ""), advice("drops", ""))


def test_a_subnet_goes_by_its_label_as_people_say_it() -> None:
    outside = replace(FINE, client=End("", "EXT:clients", "Subnet", ""), signals=EdgeSignals(refused=1))
    assert [one.words for one in troubles(outside, WINDOW)] == [
        "nobody listens at postgresql:5432: 1 connection of clients refused"
    ]


def test_what_to_do_about_drops_goes_by_the_kernels_reason() -> None:
    signals = EdgeSignals(drop_cause="NETFILTER_DROP", drop_node="node-b")
    (dropped,) = troubles(replace(FINE, drop_packets=12, signals=signals), WINDOW)
    assert "network policies" in dropped.advice
    (slow,) = troubles(replace(FINE, signals=EdgeSignals(rtt=Latency(51 * MS, 0.1 * MS))), WINDOW)
    assert slow.advice.startswith("the way is slow, not the server")
