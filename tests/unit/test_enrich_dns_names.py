# SPDX-License-Identifier: Apache-2.0
"""Names from DNS for ends of flows: as of their time, the client's own before others', never in place of another name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from enrich_kit import NOON_MS, Cluster, Flow, batch
from flowgauge.config.model import Enrichment
from flowgauge.enrich import dns_names
from flowgauge.enrich.dns_names import HOLD_MS, DnsNames
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.stage import Enricher
from flowgauge.flow.addresses import packed
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import IDENTITY_CONFIDENCE, IDENTITY_SOURCE
from flowgauge.schema.told import Answer

CLIENT, OTHER, SITE = "10.0.0.1", "10.0.0.2", "198.51.100.7"
MINUTE_MS = 60_000


def answer(name: str, at: int = 0, *, client: str = CLIENT, address: str = SITE, ttl_s: int = 60) -> Answer:
    return Answer(packed(client), packed(address), name, NOON_MS + at, ttl_s)


def known(*answers: Answer, node: str = "node-a") -> DnsNames:
    found = DnsNames()
    found.learn(node, answers)
    return found


def named(dns: DnsNames, *flows: Flow, reporters: Sequence[str] = (), index: KubernetesIndex | None = None,
          **more: Any) -> FlowBatch:  # fmt: skip
    of = Names.from_strings(reporters or ["node-a"] * len(flows))
    return Enricher(index or KubernetesIndex(), Enrichment(), dns)(batch(*flows).with_columns({"node_reporter": of, **more}))


def to(dns: DnsNames, *flows: Flow, **more: Any) -> list[str]:
    return named(dns, *flows, **more).names("dst_dns_name").to_list()


def at(start: int, client: str = CLIENT, *, end: int | None = None) -> Flow:
    return Flow(client, SITE, 40_000, 443, start=start, end=start + 1000 if end is None else end)


def test_a_flow_that_was_over_before_its_name_was_known_has_none() -> None:
    dns = known(answer("shop.example", 10_000))
    assert to(dns, at(8000), at(10_000), at(10_500)) == ["", "shop.example", "shop.example"]


def test_who_does_not_tell_its_node_is_not_on_the_same_one() -> None:
    """Routers tell none, and an agent's name may come later than its answers."""
    found = named(known(answer("shop.example"), node=""), at(0, OTHER), reporters=[""])
    assert found.names("dst_dns_name").to_list() == ["shop.example"]
    assert found.array("dst_identity_confidence").tolist() == [IDENTITY_CONFIDENCE.index("guess")]


def test_both_directions_have_the_servers_name_and_the_client_has_none() -> None:
    found = named(known(answer("shop.example")), at(0), Flow(SITE, CLIENT, 443, 40_000, end=1000))
    assert found.names("dst_dns_name").to_list() == ["shop.example", ""]
    assert found.names("src_dns_name").to_list() == ["", "shop.example"]
    source = [IDENTITY_SOURCE[code] for code in found.array("dst_identity_source").tolist()]
    assert source == ["dns", "none"]


def test_of_names_one_after_the_other_that_counts_which_was_known_when_the_flow_began() -> None:
    dns = known(answer("b.example", 20_000), answer("a.example", 0))  # told in any order
    assert to(dns, at(10_000), at(19_000, end=40_000), at(20_000), at(30_000)) == [
        "a.example", "a.example", "b.example", "b.example",
    ]  # fmt: skip


def test_a_name_that_is_asked_for_again_counts_again() -> None:
    dns = known(answer("a.example", 0), answer("b.example", 20_000), answer("a.example", 40_000))
    assert to(dns, at(10_000), at(30_000), at(50_000)) == ["a.example", "b.example", "a.example"]


def test_a_name_holds_for_its_time_to_live_and_a_while() -> None:
    hold = HOLD_MS + 60_000
    assert to(known(answer("a.example")), at(hold), at(hold + 1)) == ["a.example", ""]
    assert to(known(answer("a.example", ttl_s=3600)), at(hold + 1)) == ["a.example"]


def test_a_connection_that_goes_on_keeps_its_name() -> None:
    dns = known(answer("a.example", ttl_s=5))
    for number in range(1, 5):
        assert to(dns, at(number * HOLD_MS)) == ["a.example"]
    assert to(dns, at(6 * HOLD_MS)) == [""]


def test_flows_of_others_do_not_keep_a_name() -> None:
    dns = known(answer("a.example", ttl_s=5))
    assert to(dns, at(HOLD_MS, OTHER)) == ["a.example"]
    assert to(dns, at(HOLD_MS + 6000, OTHER), at(HOLD_MS + 6000)) == ["", ""]


def test_the_clients_own_answer_goes_before_its_nodes_and_that_before_anybodys() -> None:
    dns = DnsNames()
    dns.learn("node-b", [answer("far.example", 3000, client="10.0.9.9")])
    assert to(dns, at(5000)) == ["far.example"]
    dns.learn("node-a", [answer("near.example", 2000, client=OTHER)])
    assert to(dns, at(5000)) == ["near.example"]
    dns.learn("node-b", [answer("own.example", 1000)])
    found = named(dns, at(5000), at(5000, OTHER), at(5000, "10.0.0.3"), at(5000, "10.0.0.3"),
                  reporters=["node-a", "node-a", "node-a", "node-c"])  # fmt: skip
    assert found.names("dst_dns_name").to_list() == ["own.example", "near.example", "near.example", "far.example"]
    sure = [IDENTITY_CONFIDENCE[code] for code in found.array("dst_identity_confidence").tolist()]
    assert sure == ["exact", "exact", "likely", "guess"]


def test_what_kubernetes_or_the_document_names_keeps_that_name_alone() -> None:
    cluster = Cluster()
    cluster.node("node-a", "zone-a", "192.168.50.11", "10.244.1.0/24")
    web = cluster.pod(cluster.replica_set("shop", "web"), "web-1", "10.244.1.2")
    cluster.service("shop", "web", "10.96.0.1", web)
    inside = ["10.244.1.2", "10.96.0.1", "192.168.50.11"]
    dns = known(*(answer("web.shop.svc", address=address) for address in inside), answer("shop.example"))
    flows = [Flow(CLIENT, address, dport=80, end=1000) for address in inside]
    found = named(dns, *flows, at(0), index=cluster.index)
    assert found.names("dst_dns_name").to_list() == ["", "", "", "shop.example"]
    assert found.names("dst_kind").to_list() == ["Pod", "Service", "Node", ""]


def test_a_name_that_came_with_the_record_stays_where_nobody_here_knows_one() -> None:
    told = Names.from_strings(["record.example", "record.example"])
    flows = at(0), Flow(CLIENT, "203.0.113.1", dport=443, end=1000)
    assert to(known(answer("shop.example")), *flows, dst_dns_name=told) == ["shop.example", "record.example"]


def test_many_flows_are_named_as_each_would_be_alone() -> None:
    chance = np.random.default_rng(7)
    clients, sites = [f"10.0.0.{n}" for n in range(5)], [f"198.51.100.{n}" for n in range(6)]
    answers = [
        answer(f"n{number % 7}.example", int(chance.integers(0, 30 * MINUTE_MS)), client=str(chance.choice(clients)),
               address=str(chance.choice(sites)), ttl_s=30)
        for number in range(60)
    ]  # fmt: skip
    starts = chance.integers(0, 40 * MINUTE_MS, 300).tolist()
    flows = [
        Flow(str(chance.choice(clients)), str(chance.choice(sites)), 1, 2, start=start, end=start + 5000) for start in starts
    ]
    alone = [to(known(*answers), flow)[0] for flow in flows]  # looking up lets answers hold on: each has its own
    assert len(Counter(alone)) > 4
    assert to(known(*answers), *flows) == alone


def test_addresses_and_answers_beyond_the_bound_make_room_oldest_first_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_names, "MAX_ADDRESSES", 2)
    monkeypatch.setattr(dns_names, "MAX_PER_ADDRESS", 3)
    forgotten: list[int] = []
    dns = DnsNames(forgotten.append)
    dns.learn("", [answer("a.example", number, client=f"10.0.0.{number}") for number in range(1, 6)])
    assert sum(forgotten) == 2
    dns.learn("", [answer("b.example", address="198.51.100.8"), answer("c.example", address="198.51.100.9")])
    assert sum(forgotten) == 2 + 3
    assert to(dns, at(1000), Flow(CLIENT, "198.51.100.9", end=1000, start=500)) == ["", "c.example"]
