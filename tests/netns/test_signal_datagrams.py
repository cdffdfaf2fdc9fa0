# SPDX-License-Identifier: Apache-2.0
"""Which process sends and answers datagrams of UDP, against the process ids that the processes themselves tell."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from node_kit import A6, B6, A, B, Observed, TwoPods, observed, settled, two_pods
from serving_kit import telling
from signal_kit import one, own_name, told

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SERVICE = "10.96.0.53"
RULES = f"""
table ip svc {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} udp dport 53 dnat to {B}:5353
  }}
}}
"""
SERVER = """
import os, socket, sys
here = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
here.bind(("::", int(sys.argv[1])))
print(os.getpid(), flush=True)
while True:
    question, peer = here.recvfrom(100)
    if question != b"silence":
        here.sendto(str(os.getpid()).encode(), peer)
"""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        yield built


@contextmanager
def followed(node: TwoPods, **options: Any) -> Iterator[Observed]:
    with observed(node, **{"process": True, **options}) as watch:
        watch.program.attach_signals()
        yield watch


def server(node: TwoPods, port: int) -> AbstractContextManager[int]:
    """A server in pod b that answers with its process id, which is what this gives, too."""
    return telling(node, SERVER, port)


def ask(node: TwoPods, to: tuple[str, int], *, connected: bool = False, times: int = 1) -> int:
    """Asks the server as a resolver does, from a new socket; the port asked from."""
    with node.socket("a", socket.AF_INET6 if ":" in to[0] else socket.AF_INET, socket.SOCK_DGRAM) as client:
        if connected:
            client.connect(to)
        for _ in range(times):
            client.send(b"who are you") if connected else client.sendto(b"who are you", to)
            client.recv(100)
        port: int = client.getsockname()[1]
    return port


@pytest.mark.parametrize("connected", [False, True], ids=["sendto", "connected"])
@pytest.mark.parametrize(("client", "to"), [(A, B), (A6, B6)], ids=["IPv4", "IPv6"])
def test_one_question_and_its_answer_have_both_processes(node: TwoPods, client: str, to: str, *, connected: bool) -> None:
    with server(node, 5353) as answering, followed(node) as watch:
        port = ask(node, (to, 5353), connected=connected)
        rows = told(watch.program)
    there, back = one(rows, src_addr=client, src_port=port), one(rows, dst_addr=client, dst_port=port)
    assert (there["packets"], back["packets"]) == (1, 1)
    for row, asking, answered in ((there, "src", "dst"), (back, "dst", "src")):
        assert (row[f"{asking}_pid"], row[f"{asking}_process"]) == (os.getpid(), own_name())
        assert (row[f"{answered}_pid"], row[f"{asking}_uid"]) == (answering, os.getuid())


def test_through_a_service_both_ends_have_their_process(node: TwoPods) -> None:
    with server(node, 5353) as answering, followed(node, nat=True) as watch:
        port = ask(node, (SERVICE, 53))
        rows = told(watch.program)
    there = one(rows, dst_addr=SERVICE, src_port=port)
    assert (there["src_pid"], there["dst_pid"]) == (os.getpid(), answering)


def test_a_socket_that_goes_on_has_its_process_in_every_interval(node: TwoPods) -> None:
    with (
        server(node, 5353) as answering,
        followed(node) as watch,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        for _ in range(4):
            for _ in range(20):
                client.sendto(b"who are you", (B, 5353))
                client.recv(100)
            row = one(told(watch.program), src_port=client.getsockname()[1])
            assert (row["src_pid"], row["dst_pid"], row["packets"]) == (os.getpid(), answering, 20)


def test_who_is_asked_and_never_answers_stays_unknown(node: TwoPods) -> None:
    with server(node, 5353), followed(node) as watch, node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"silence", (B, 5353))
        settled(node)
        row = one(told(watch.program), dst_addr=B, dst_port=5353)
    assert (row["src_pid"], row["dst_pid"], row["dst_process"]) == (os.getpid(), 0, "")


def test_the_nodes_own_processes_are_told(node: TwoPods) -> None:
    with (
        server(node, 5353) as answering,
        followed(node) as watch,
        node.socket("node", socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(b"who are you", (B, 5353))
        client.recv(100)
        row = one(told(watch.program), dst_addr=B, dst_port=5353)
    assert (row["src_pid"], row["dst_pid"]) == (os.getpid(), answering)


def test_switched_off_nobody_is_told(node: TwoPods) -> None:
    with server(node, 5353), observed(node) as watch:
        watch.program.attach_signals()
        port = ask(node, (B, 5353))
        row = one(told(watch.program), src_port=port)
    assert (row["src_pid"], row["dst_pid"]) == (0, 0)
