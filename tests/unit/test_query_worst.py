# SPDX-License-Identifier: Apache-2.0
"""Of troubles that are one, the one that explains the others comes first and names them."""

from __future__ import annotations

from dataclasses import replace

from flowgauge.query.troubles import Trouble, rank
from flowgauge.query.worst import together
from flowgauge.schema.flow_query import Window
from flowgauge.store.answer import Edge, EdgeSignals, End, Latency, Sampling, Span

END_MS = 1_795_646_930_000
WINDOW = Window(END_MS - 900_000, END_MS)
CLIENTS = End("", "EXT:clients", "Subnet", "")
DJANGO, POSTGRES, DNS, REPORT = (
    End("flow-demo", name, "Deployment", "app") for name in ("django", "postgresql", "dns", "report")
)
FINE = Edge(
    CLIENTS, DJANGO, 8080, 6, "", bytes=100_000, packets=1000, flows=10, bytes_to_server=40_000, retransmits=0, drop_packets=0,
    rtt_avg_ns=1e5, sampling=Sampling(unsampled=10),
)  # fmt: skip


def between(client: End, server: End, port: int, /, **signals: object) -> Edge:
    return replace(FINE, client=client, server=server, port=port, signals=EdgeSignals(**signals))  # type: ignore[arg-type]


def slow(ms: float) -> Latency:
    return Latency(ms * 1e6, 2e6)


def ranked(*edges: Edge) -> list[Trouble]:
    return sorted((one for found in together(edges, WINDOW) for one in found), key=rank)


def test_a_server_that_waits_for_another_comes_behind_it_and_says_so() -> None:
    """Django is the slower one: it waits for its database."""
    first, second = ranked(between(CLIENTS, DJANGO, 8080, server=slow(420)), between(DJANGO, POSTGRES, 5432, server=slow(400)))
    assert first.words.startswith("postgresql:5432 takes 400 ms")
    assert second.words == (
        "django:8080 takes 420 ms (were 2.0 ms) to answer clients: time on the server, not on the way; "
        "what it asks of postgresql:5432 is late or fails, too"
    )
    assert second.advice == "look at postgresql:5432 first: what waits for it is late by that"
    assert (first.behind, second.behind) == (False, True)


def test_a_server_that_waits_for_nobody_is_slow_of_itself() -> None:
    """What is over, and what its own client suffers elsewhere, explains nothing."""
    over = {"refused": Span(END_MS - 300_000, END_MS - 200_000)}
    found = ranked(
        between(CLIENTS, DJANGO, 8080, server=slow(420)),
        between(DJANGO, POSTGRES, 5433, refused=3, seen=over),
        between(CLIENTS, POSTGRES, 5432, refused=3),
    )
    (django,) = (one for one in found if one.words.startswith("django:8080"))
    assert django.words.endswith("time on the server, not on the way")
    assert not django.behind


def test_what_happens_to_several_clients_of_a_server_is_one_trouble_that_names_them() -> None:
    """Another one stands between it and its repetitions; the largest edge is the one that speaks."""
    found = ranked(
        between(DJANGO, DNS, 53, dns=slow(201)),
        between(REPORT, DNS, 53, dns=slow(203)),
        between(POSTGRES, DNS, 53, dns=slow(202)),
        between(CLIENTS, DJANGO, 8080, server=slow(150)),
    )
    starts = ["DNS answers of dns:53 to django", "DNS answers of dns:53 to report", "DNS answers of dns:53 to postgresql"]
    assert [one.words.partition(" take ")[0] for one in found if one.words.startswith("DNS")] == starts
    assert found[0].words.endswith("; report and postgresql see the same")
    assert [one.behind for one in found] == [False, True, True, True]


def test_the_same_at_another_server_or_for_another_reason_is_another_trouble() -> None:
    found = ranked(
        between(DJANGO, POSTGRES, 5432, refused=3),
        between(REPORT, DNS, 5432, refused=2),
        between(REPORT, POSTGRES, 5433, refused=1),
    )
    assert [one.behind for one in found] == [False] * 3


def test_many_that_see_the_same_are_counted() -> None:
    ends = [End("a", f"client-{number}", "Deployment", "app") for number in range(6)]
    (first, *_) = ranked(*(between(end, DNS, 53, refused=1) for end in ends))
    assert first.words.endswith("; client-1, client-2 and 3 more see the same")


def test_errors_of_icmp_that_a_rule_drops_come_behind_the_packets_that_they_are_about() -> None:
    """A sender that is not told of the MTU sends too much again and again."""
    node = End("", "node-b", "Node", "infra")
    told = replace(between(node, DJANGO, 0, drop_cause="NETFILTER_DROP"), proto=1, port=None, drop_packets=90, packets=0)
    (alone,) = ranked(told)
    first, second = ranked(told, replace(between(DJANGO, POSTGRES, 5432, drop_cause="PKT_TOO_BIG"), drop_packets=30))
    assert (alone.behind, first.cause, second.behind) == (False, "PKT_TOO_BIG", True)
    assert second.words == f"{alone.words}; so senders may not be told of a smaller MTU"
    assert "between node-b and django (ICMP) dropped" in alone.words
