# SPDX-License-Identifier: Apache-2.0
"""DNS as the node sees it, against a server that keeps a log of what it was asked and is as slow as it is told to be."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from dns_kit import NOERROR, NXDOMAIN, TYPE_AAAA, answer, query, question
from node_kit import FAR, A, B, Observed, TwoPods, observed, settled, two_pods
from signal_kit import one, told

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SERVICE = "10.96.0.10"
_CLOCKS_S = 0.001
"""By how much two looks at a clock may differ from the kernel's."""
RULES = f"""
table ip svc {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} udp dport 53 dnat to {B}:53
    ip daddr {SERVICE} tcp dport 53 dnat to {B}:53
  }}
  chain hide {{
    type nat hook postrouting priority srcnat;
    oifname "eth0" masquerade
  }}
}}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        yield built


@contextmanager
def followed(node: TwoPods, **options: Any) -> Iterator[Observed]:
    with observed(node, dns=True, **options) as watch:
        yield watch


@dataclass(slots=True)
class Server:
    """Answers queries over UDP after ``delay_s``, names that begin with ``no`` with NXDOMAIN, ``never`` not at all."""

    socket: socket.socket
    delay_s: float
    log: list[tuple[int, float]] = field(default_factory=list)
    """Id of each query, and the seconds that it took here at least."""

    def run(self) -> None:
        while True:
            asked, peer = self.socket.recvfrom(2000)
            if not asked:
                return
            since = time.monotonic()
            if asked[13:18] == b"never":
                continue
            time.sleep(self.delay_s)
            self.log.append((int.from_bytes(asked[:2], "big"), time.monotonic() - since))
            self.socket.sendto(answer(asked, NXDOMAIN if asked[13:15] == b"no" else NOERROR), peer)


@contextmanager
def server(node: TwoPods, delay_s: float, place: str = "b", port: int = 53) -> Iterator[Server]:
    with node.socket(place, socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("", port))
        running = Server(bound, delay_s)
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            yield running
        finally:
            with node.socket(place, socket.AF_INET, socket.SOCK_DGRAM) as knock:
                knock.sendto(b"", ("127.0.0.1", port))
            thread.join(60)


def ask(node: TwoPods, to: str, *queries: bytes, server_port: int = 53) -> int:
    """Asks from one socket and waits for all answers; its port."""
    with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((to, server_port))
        for asked in queries:
            client.send(asked)
        for _ in queries:
            client.recv(2000)
        port: int = client.getsockname()[1]
    return port


@pytest.mark.parametrize("delay_s", [0.02, 0.3])
def test_a_question_has_its_name_its_answer_and_how_long_that_took(node: TwoPods, delay_s: float) -> None:
    with followed(node) as watch, server(node, delay_s) as dns:
        since = time.monotonic()
        port = ask(node, B, query(4711, "Api.Shop.svc.cluster.local", TYPE_AAAA))
        waited_s = time.monotonic() - since
        row = one(told(watch.program), src_addr=A, dst_addr=B, src_port=port)
    assert dns.log[0][0] == row["dns_id"] == 4711
    assert (row["dns_name"], row["dns_type"], row["dns_rcode"]) == ("api.shop.svc.cluster.local", TYPE_AAAA, "NOERROR")
    assert dns.log[0][1] - _CLOCKS_S <= row["dns_latency_ns"] / 1e9 <= waited_s + _CLOCKS_S


def test_asked_through_a_service_and_answered_by_its_backend(node: TwoPods) -> None:
    with followed(node) as watch, server(node, 0.03):
        port = ask(node, SERVICE, query(1, "nowhere.example"))
        rows = told(watch.program)
    row = one(rows, src_addr=A, src_port=port)
    assert (row["dst_addr"], row["dns_name"], row["dns_rcode"]) == (SERVICE, "nowhere.example", "NXDOMAIN")
    assert row["dns_latency_ns"] / 1e9 >= 0.03
    assert one(rows, dst_addr=A, dst_port=port)["dns_name"] == ""


def test_asked_from_behind_masquerade(node: TwoPods) -> None:
    """The answer comes to the address that the node gave the question."""
    with followed(node) as watch, server(node, 0.02, "far"):
        port = ask(node, FAR, query(2, "outside.example"))
        row = one(told(watch.program), src_addr=A, src_port=port)
    assert (row["dst_addr"], row["dns_name"], row["dns_rcode"]) == (FAR, "outside.example", "NOERROR")


def test_of_several_questions_of_one_socket_the_slowest_counts(node: TwoPods) -> None:
    with followed(node) as watch, server(node, 0.05):
        port = ask(node, B, query(10, "first.example"), query(11, "last.example", TYPE_AAAA))
        row = one(told(watch.program), src_addr=A, src_port=port)
    assert (row["dns_id"], row["dns_name"]) == (11, "last.example")
    assert row["dns_latency_ns"] >= 90_000_000


def test_a_question_asked_again_has_waited_since_the_first_time(node: TwoPods) -> None:
    with followed(node) as watch, node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.bind(("", 53))
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((B, 53))
            client.send(query(20, "late.example"))
            time.sleep(0.2)
            client.send(query(20, "late.example"))
            asked, peer = dns.recvfrom(2000)
            dns.sendto(answer(asked), peer)
            client.recv(2000)
        row = one(told(watch.program), src_addr=A, dst_addr=B)
    assert row["dns_latency_ns"] >= 200_000_000


def test_an_answer_that_comes_after_its_question_was_exported(node: TwoPods) -> None:
    with followed(node) as watch, node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.bind(("", 53))
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((B, 53))
            client.send(query(30, "later.example"))
            asked, peer = dns.recvfrom(2000)
            first = one(told(watch.program), src_addr=A, dst_addr=B)
            dns.sendto(answer(asked), peer)
            client.recv(2000)
        second = one(told(watch.program), src_addr=A, dst_addr=B)
    assert (first["packets"], first["dns_name"]) == (1, "")
    assert (second["packets"], second["dns_name"], second["dns_rcode"]) == (0, "later.example", "NOERROR")


def test_over_tcp(node: TwoPods) -> None:
    with followed(node) as watch, node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", 53))
        listener.listen()
        with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect((SERVICE, 53))
            asked, since = query(40, "large.example"), time.monotonic()
            client.sendall(struct.pack("!H", len(asked)) + asked)
            connection, _ = listener.accept()
            with connection:
                got = connection.recv(2000)
                time.sleep(0.04)
                connection.sendall(got[:2] + answer(got[2:]))
                client.recv(2000)
                waited_s = time.monotonic() - since
            row = one(told(watch.program), src_addr=A, dst_addr=SERVICE)
    assert (row["dns_id"], row["dns_name"], row["dns_rcode"]) == (40, "large.example", "NOERROR")
    assert 0.04 - _CLOCKS_S <= row["dns_latency_ns"] / 1e9 <= waited_s + _CLOCKS_S


@contextmanager
def over_tcp(node: TwoPods) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection to a server, each of whose writes is a segment."""
    with node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", 53))
        listener.listen()
        with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect((B, 53))
            connection, _ = listener.accept()
            with connection:
                for end in (client, connection):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield client, connection


def test_over_tcp_the_length_may_come_in_a_segment_of_its_own(node: TwoPods) -> None:
    with followed(node) as watch, over_tcp(node) as (client, connection):
        for out, back, message in (
            (client, connection, query(41, "apart.example", TYPE_AAAA)),
            (connection, client, answer(query(41, "apart.example", TYPE_AAAA), NXDOMAIN)),
        ):
            for part in (struct.pack("!H", len(message)), message):
                out.sendall(part)
                back.recv(2000)
        row = one(told(watch.program), src_addr=A, dst_addr=B)
    assert (row["dns_id"], row["dns_name"], row["dns_type"]) == (41, "apart.example", TYPE_AAAA)
    assert row["dns_rcode"] == "NXDOMAIN"


def test_a_question_in_pieces_is_not_said_to_have_no_answer(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    with followed(node) as watch, over_tcp(node) as (client, connection):
        asked = query(42, "in-pieces.example")
        message = struct.pack("!H", len(asked)) + asked
        for part in (message[:20], message[20:]):
            client.sendall(part)
            connection.recv(2000)
        connection.sendall(struct.pack("!H", len(asked)) + answer(asked))
        client.recv(2000)
        monkeypatch.setattr("flowgauge.ebpf.questions.UNANSWERED_NS", 0)
        assert not [row for row in told(watch.program) if row["dns_name"] or row["dns_rcode"]]


def test_the_longest_name_is_whole(node: TwoPods) -> None:
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    with followed(node) as watch, server(node, 0):
        port = ask(node, B, query(50, name, TYPE_AAAA))
        row = one(told(watch.program), src_addr=A, src_port=port)
    assert (row["dns_name"], row["dns_type"]) == (name, TYPE_AAAA)


def test_what_is_no_dns_on_its_port_is_left_alone(node: TwoPods) -> None:
    with followed(node) as watch, server(node, 0):
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((B, 53))
            for size in range(1, 60):
                client.send(b"\xff" * size)
                client.recv(2000)
            port = client.getsockname()[1]
        row = one(told(watch.program), src_addr=A, src_port=port)
    assert (row["packets"], row["dns_name"], row["dns_rcode"]) == (59, "", "")


def test_switched_off_it_follows_nothing(node: TwoPods) -> None:
    with observed(node) as watch, server(node, 0):
        port = ask(node, B, query(60, "quiet.example"))
        row = one(told(watch.program), src_addr=A, src_port=port)
        assert watch.program.features()["dns"] == "off"
    assert row["dns_name"] == ""


def test_a_question_that_nobody_answers_is_told_as_that(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    with followed(node) as watch, server(node, 0.0), node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((B, 53))
        client.send(query(21, "never.shop.example", TYPE_AAAA))
        port = client.getsockname()[1]
        answered = ask(node, B, query(22, "api.shop.example"))
        first = told(watch.program)
        monkeypatch.setattr("flowgauge.ebpf.questions.UNANSWERED_NS", 0)
        later = told(watch.program)
        again = told(watch.program)
    waiting = one(first, src_addr=A, src_port=port)
    assert (waiting["packets"], waiting["dns_rcode"]) == (1, "")
    assert one(first, src_addr=A, src_port=answered)["dns_rcode"] == "NOERROR"
    given_up = one(later, src_addr=A, src_port=port)
    assert (given_up["dns_rcode"], given_up["dns_name"], given_up["dns_id"]) == ("NOANSWER", "never.shop.example", 21)
    assert (given_up["dns_type"], given_up["dns_latency_ns"], given_up["packets"]) == (TYPE_AAAA, 0, 0)
    assert not [row for row in (*later, *again) if row["src_port"] == answered and row["dns_rcode"]]
    assert not [row for row in again if row["dns_rcode"]]


def test_behind_translation_of_the_asker_an_answer_leaves_no_question(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    with followed(node) as watch, server(node, 0.0, "far"):
        ask(node, FAR, query(23, "api.shop.example"))
        rows = told(watch.program)
        monkeypatch.setattr("flowgauge.ebpf.questions.UNANSWERED_NS", 0)
        rows += told(watch.program)
    assert [row["dns_rcode"] for row in rows if row["dns_rcode"]] == ["NOERROR"]


def test_servers_on_other_ports_are_those_that_are_configured(node: TwoPods) -> None:
    with followed(node, dns_ports=(53, 5300)) as watch, server(node, 0.01, port=5300), server(node, 0.01, port=5301):
        known = ask(node, B, query(24, "api.shop.example"), server_port=5300)
        other = ask(node, B, query(25, "api.shop.example"), server_port=5301)
        rows = told(watch.program)
    assert one(rows, src_addr=A, src_port=known)["dns_name"] == "api.shop.example"
    assert one(rows, src_addr=A, src_port=other)["dns_name"] == ""


def test_an_answer_to_another_question_is_not_believed(node: TwoPods) -> None:
    """It has the right number and comes from the right server; the true answer comes after it."""
    with followed(node) as watch, node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.bind(("", 53))
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((B, 53))
            client.send(query(70, "Bank.Example"))
            _, peer = dns.recvfrom(2000)
            for other in (query(70, "bank.example.evil"), query(70, "bank.exampl"), query(70, "bank.example", TYPE_AAAA)):
                dns.sendto(answer(other, address="192.0.2.1"), peer)
                client.recv(2000)
            time.sleep(0.05)
            dns.sendto(answer(query(70, "bank.example"), address="192.0.2.2"), peer)
            client.recv(2000)
        counted = watch.program.counters()
        evicted = watch.program.evict()
    assert (len(evicted.answers), len(evicted.answer_pieces)) == (1, 1)
    assert evicted.answers.values["latency_ns"][0] >= 50_000_000
    assert bytes(evicted.answers.values["question"][0][:14]) == question("bank.example")[:14]
    assert counted["kernel_answers_not_asked"] == 3


def test_another_question_under_the_same_number_takes_the_place_of_the_first(node: TwoPods) -> None:
    with followed(node) as watch, node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.bind(("", 53))
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((B, 53))
            client.send(query(71, "first.example"))
            client.send(query(71, "second.example"))
            dns.recvfrom(2000)
            asked, peer = dns.recvfrom(2000)
            dns.sendto(answer(asked), peer)
            client.recv(2000)
        row = one(told(watch.program), src_addr=A, dst_addr=B)
    assert (row["dns_name"], row["dns_rcode"]) == ("second.example", "NOERROR")


def test_of_answers_in_one_segment_those_behind_the_first_are_not_said_to_be_missing(
    node: TwoPods, monkeypatch: pytest.MonkeyPatch
) -> None:
    with followed(node) as watch, over_tcp(node) as (client, connection):
        asked = [query(number, f"pipelined-{number}.example") for number in (80, 81, 82)]
        for message in asked:
            client.sendall(struct.pack("!H", len(message)) + message)
            connection.recv(2000)
        connection.sendall(b"".join(struct.pack("!H", len(message)) + answer(message) for message in asked))
        client.recv(2000)
        monkeypatch.setattr("flowgauge.ebpf.questions.UNANSWERED_NS", 0)
        rows = told(watch.program)
        silent = query(83, "silent.example")
        client.sendall(struct.pack("!H", len(silent)) + silent)
        connection.recv(2000)
        rows += told(watch.program)
    told_of = [(row["dns_id"], row["dns_rcode"]) for row in rows if row["dns_rcode"]]
    assert told_of == [(80, "NOERROR"), (83, "NOANSWER")]


def test_an_answer_that_does_not_repeat_its_question(node: TwoPods) -> None:
    """As servers say that they cannot, or do not want to, read it: a header alone."""
    with followed(node) as watch, node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.bind(("", 53))
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((B, 53))
            client.send(query(72, "Refused.Example", TYPE_AAAA))
            asked, peer = dns.recvfrom(2000)
            dns.sendto(asked[:2] + struct.pack("!HHHHH", 0x8185, 0, 0, 0, 0), peer)
            client.recv(2000)
        row = one(told(watch.program), src_addr=A, dst_addr=B)
    assert (row["dns_name"], row["dns_type"], row["dns_rcode"]) == ("refused.example", TYPE_AAAA, "REFUSED")
    assert row["dns_latency_ns"] > 0


def test_what_asks_everybody_waits_for_nobody(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    """Multicast DNS: answers go to the group, and only who knows one answers."""
    with followed(node, dns_ports=(53, 5353)) as watch, node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(A))
        client.sendto(query(0, "printer.local"), ("224.0.0.251", 5353))
        settled(node)
        monkeypatch.setattr("flowgauge.ebpf.questions.UNANSWERED_NS", 0)
        row = one(told(watch.program), src_addr=A, dst_addr="224.0.0.251")
    assert (row["packets"], row["dns_rcode"]) == (1, "")
