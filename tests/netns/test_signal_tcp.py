# SPDX-License-Identifier: Apache-2.0
"""Round-trip times, segments sent again and ends of connections, against what ``ss``, ``nstat`` and the scene say."""

from __future__ import annotations

import errno
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import pytest

from flowgauge.demo.scene import kernel
from flowgauge.demo.scene.delayer import Delayer
from flowgauge.schema.enums import TCP_STATE_FINAL
from node_kit import A6, B6, FAR, A, B, Observed, TwoPods, observed, settled, transfer, two_pods
from signal_kit import delay, one, told

pytestmark = [pytest.mark.root, pytest.mark.bpf]

T = TypeVar("T")
SERVICE = "10.96.0.80"
RULES = f"""
table ip svc {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} tcp dport 80 dnat to {B}:8080
  }}
}}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        yield built


@contextmanager
def followed(node: TwoPods) -> Iterator[Observed]:
    """The flow program with the signals of TCP."""
    with observed(node, rtt=True) as watch:
        watch.program.attach_signals()
        yield watch


@contextmanager
def conversation(node: TwoPods, to: tuple[str, int], port: int = 0) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection from pod a to pod b: (client, server)."""
    with node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port or to[1]))
        listener.listen()
        with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect(to)
            server, _ = listener.accept()
            with server:
                server.settimeout(60)
                yield client, server


@contextmanager
def waited_for(entered: AbstractContextManager[T]) -> Iterator[tuple[T, float]]:
    """Beside what a block gives, how long it took to enter it, in s."""
    since = time.monotonic()
    with entered as given:
        yield given, time.monotonic() - since


def ping_pong(client: socket.socket, server: socket.socket, rounds: int) -> float:
    """Asks and answers so often; how long the longest round took, in s."""
    longest_s = 0.0
    for _ in range(rounds):
        since = time.monotonic()
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        server.sendall(b"answer")
        assert client.recv(100) == b"answer"
        longest_s = max(longest_s, time.monotonic() - since)
    return longest_s


def state(row: dict[str, Any]) -> str:
    return TCP_STATE_FINAL[row["tcp_state_final"]]


def close_to(measured_ns: int, delayer: Delayer, asked_s: float, waited_s: float) -> bool:
    """Within 10 % or 1 ms of the delay that was asked for, or of what a busy machine made of it: at most what an end waited."""
    measured_s, longest_s = measured_ns / 1e9, max(delayer.held_s)
    return asked_s - max(0.1 * asked_s, 0.001) <= measured_s <= max(longest_s + max(0.1 * longest_s, 0.005), waited_s)


@pytest.mark.tool("iptables", "ss")
def test_round_trip_times_are_those_of_the_scene_and_of_ss(node: TwoPods) -> None:
    with (
        followed(node) as watch,
        delay(node, f"-p tcp -s {A} --dport 9000", 0.04) as delayer,
        waited_for(conversation(node, (B, 9000))) as ((client, server), connected_s),
    ):
        longest_s = ping_pong(client, server, 20)
        port = client.getsockname()[1]
        of_ss = node.run("a", "ss", "-Htin", "sport", "=", f":{port}")
        rows = told(watch.program)
    assert len(delayer.held_s) >= 20
    there = one(rows, src_addr=A, dst_addr=B, src_port=port)
    back = one(rows, src_addr=B, dst_addr=A, dst_port=port)
    rtt_s = float(re.search(r"rtt:([\d.]+)/", of_ss)[1]) / 1000  # type: ignore[index]
    for row in (there, back):
        assert close_to(row["rtt_avg_ns"], delayer, 0.04, 2 * longest_s), row  # an answer is confirmed by the next question
        assert row["rtt_min_ns"] <= row["rtt_avg_ns"] <= row["rtt_max_ns"]
        assert state(row) == "established"
    assert 0.9 * there["rtt_min_ns"] <= rtt_s * 1e9 <= 1.1 * there["rtt_max_ns"]
    # From the node's own place the SYN waits before it goes on, and the SYN/ACK does not.
    assert close_to(there["handshake_ns"], delayer, 0.04, connected_s)


@pytest.mark.tool("iptables")
def test_a_call_through_a_service_has_its_round_trip_time(node: TwoPods) -> None:
    """The client's socket knows the service's address, the server's the client's: both have their flow."""
    with (
        followed(node) as watch,
        delay(node, f"-p tcp -s {A} --dport 8080", 0.02) as delayer,
        waited_for(conversation(node, (SERVICE, 80), port=8080)) as ((client, server), connected_s),
    ):
        longest_s = ping_pong(client, server, 10)
        rows = told(watch.program)
    assert close_to(one(rows, src_addr=A, dst_addr=SERVICE)["rtt_avg_ns"], delayer, 0.02, 2 * longest_s)
    assert close_to(one(rows, src_addr=A, dst_addr=SERVICE)["handshake_ns"], delayer, 0.02, connected_s)
    assert close_to(one(rows, src_addr=B, dst_addr=A)["rtt_avg_ns"], delayer, 0.02, 2 * longest_s)


def test_segments_sent_again_are_those_that_the_kernel_counts(node: TwoPods) -> None:
    loss = "table ip lossy { chain f { type filter hook forward priority 0; tcp dport 9100 numgen inc mod 20 == 7 drop; }; }"
    before = retransmitted(node, "a")
    kernel.nft(node.node, loss)
    try:
        with followed(node) as watch:
            done = transfer(node, ("a", "b"), (B, 9100), 400_000)
            rows = told(watch.program)
    finally:
        kernel.nft(node.node, "delete table ip lossy")
    there = one(rows, src_addr=A, dst_addr=B, src_port=done.sender[1])
    assert there["retransmits"] == retransmitted(node, "a") - before > 5
    assert state(there) == "closed"


def retransmitted(node: TwoPods, place: str) -> int:
    """Segments that a place sent again since it was made."""
    found = re.search(r"TcpRetransSegs\s+(\d+)", node.run(place, "nstat", "-asz", "TcpRetransSegs"))
    assert found
    return int(found[1])


def test_a_refused_connection(node: TwoPods) -> None:
    with followed(node) as watch:
        with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client, pytest.raises(ConnectionRefusedError):
            client.connect((B, 9200))
        rows = told(watch.program)
    assert state(one(rows, src_addr=A, dst_addr=B, dst_port=9200)) == "refused"


def test_a_connection_that_is_given_up(node: TwoPods) -> None:
    kernel.nft(node.node, "table ip wall { chain f { type filter hook forward priority 0; tcp dport 9300 drop; }; }")
    try:
        with followed(node) as watch:
            with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500)
                with pytest.raises(TimeoutError):
                    client.connect((B, 9300))
            rows = told(watch.program)
    finally:
        kernel.nft(node.node, "delete table ip wall")
    there = one(rows, src_addr=A, dst_addr=B, dst_port=9300)
    assert state(there) == "timeout"
    assert there["retransmits"] >= 1


@pytest.mark.parametrize("error", ["no-route", "admin-prohibited", "addr-unreachable"])
def test_a_way_that_is_closed_is_unreachable_whatever_icmpv6_calls_it(node: TwoPods, error: str) -> None:
    """The kernel has an error of its own for each: ENETUNREACH, EACCES, EHOSTUNREACH."""
    node.run(
        "node",
        "nft",
        "add table ip6 closed; add chain ip6 closed pass { type filter hook forward priority 0; }; "
        f"add rule ip6 closed pass tcp dport 9100 reject with icmpv6 type {error}",
    )
    try:
        with followed(node) as watch:
            with node.socket("a", socket.AF_INET6, socket.SOCK_STREAM) as client:
                client.bind((A6, 0))
                client.setblocking(False)
                assert client.connect_ex((B6, 9100)) == errno.EINPROGRESS
                port = client.getsockname()[1]
                settled(node)
            row = one(told(watch.program), src_addr=A6, src_port=port)
    finally:
        node.run("node", "nft", "delete table ip6 closed")
    assert state(row) == "unreachable"


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_connection_is_reset_for_both(node: TwoPods, who: str) -> None:
    with followed(node) as watch, conversation(node, (B, 9400)) as (client, server):
        ping_pong(client, server, 1)
        port = client.getsockname()[1]
        ends = client if who == "client" else server
        ends.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends.close()
        settled(node)
        rows = told(watch.program)
    assert state(one(rows, src_addr=A, dst_addr=B, src_port=port)) == "reset"
    assert state(one(rows, src_addr=B, dst_addr=A, dst_port=port)) == "reset"


def test_a_connection_that_ends_without_a_packet_is_told(node: TwoPods) -> None:
    """The flow of its packets was sent before; what came then is a flow of no packets."""
    with followed(node) as watch:
        kernel.nft(node.node, "table ip wall { chain f { type filter hook forward priority 0; tcp dport 9500 drop; }; }")
        try:
            with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
                client.setblocking(False)
                client.connect_ex((B, 9500))
                kernel.nft(
                    node.netns["a"],
                    "table ip no_more { chain o { type filter hook output priority 0; tcp dport 9500 drop; }; }",
                )
                first = told(watch.program)
            rows = told(watch.program)
        finally:
            kernel.nft(node.node, "delete table ip wall")
            kernel.nft(node.netns["a"], "delete table ip no_more")
    assert one(first, src_addr=A, dst_addr=B, dst_port=9500)["packets"] >= 1
    end = one(rows, src_addr=A, dst_addr=B, dst_port=9500)
    assert (end["packets"], state(end)) == (0, "timeout")
    assert abs(end["time_end_ns"] - time.time_ns()) < 10e9


def test_over_ipv6(node: TwoPods) -> None:
    with followed(node) as watch:
        done = transfer(node, ("a", "b"), (B6, 9700), 300_000)
        with node.socket("a", socket.AF_INET6, socket.SOCK_STREAM) as client, pytest.raises(ConnectionRefusedError):
            client.connect((B6, 9701))
        rows = told(watch.program)
    there = one(rows, src_addr=A6, dst_addr=B6, src_port=done.sender[1])
    assert there["packets"] > 0
    assert 0 < there["rtt_min_ns"] < 1e9
    assert there["handshake_ns"] > 0
    assert state(there) == "closed"
    assert state(one(rows, src_addr=A6, dst_addr=B6, dst_port=9701)) == "refused"


def test_switched_off_it_measures_nothing(node: TwoPods) -> None:
    with observed(node) as watch:
        watch.program.attach_signals()
        transfer(node, ("a", "far"), (FAR, 9600), 50_000)
        rows = told(watch.program)
        assert watch.program.features()["rtt"] == "off"
    assert rows
    assert not [row for row in rows if row["rtt_avg_ns"] or row["handshake_ns"] or row["tcp_state_final"]]
