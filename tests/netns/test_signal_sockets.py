# SPDX-License-Identifier: Apache-2.0
"""Which process uses a connection, and what happened to sockets, against ``/proc``, ``ss`` and what the test did itself."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowgauge.agent import socket_events
from flowgauge.agent.attribution import NO_USER
from flowgauge.demo.scene import cgroups, kernel
from flowgauge.ebpf import abi
from flowgauge.schema.enums import SOCKET_EVENT
from node_kit import A6, B6, A, B, Observed, TwoPods, observed, transfer, two_pods
from serving_kit import FORKING, call, telling
from signal_kit import events, one, own_name, told

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SERVICE = "10.96.0.81"
RULES = f"""
table ip svc {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} tcp dport 80 dnat to {B}:8080
  }}
}}
"""
POD_UID = "8d1c2f1e-5f3a-4c58-9b1c-2f60a1d7e9b0"
CONTAINER = "9b" * 32


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        yield built


@contextmanager
def followed(node: TwoPods, **options: Any) -> Iterator[Observed]:
    with observed(node, **{"process": True, "sockets": True, **options}) as watch:
        watch.program.attach_signals()
        yield watch


def server(node: TwoPods, port: int, folder: Path | None = None) -> AbstractContextManager[int]:
    """The forking server in pod b, in a control group if told so; its process id."""
    return telling(node, FORKING, port, folder)


def flows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if not row["socket_event"]]


def test_both_ends_have_their_process_and_a_servers_worker_is_the_one_that_reads(node: TwoPods) -> None:
    with followed(node) as watch, server(node, 8001) as listener:
        port, worker = call(node, (B, 8001))
        rows = flows(told(watch.program))
    assert worker != listener
    there, back = one(rows, src_addr=A, src_port=port), one(rows, src_addr=B, dst_port=port)
    assert (there["src_process"], there["src_pid"], there["src_uid"]) == (own_name(), os.getpid(), os.getuid())
    assert (there["dst_pid"], there["dst_uid"]) == (worker, 0)
    assert (back["src_pid"], back["dst_pid"]) == (worker, os.getpid())


def test_through_a_service_and_over_ipv6(node: TwoPods) -> None:
    with followed(node) as watch, server(node, 8080):
        with (
            node.socket("b", socket.AF_INET6, socket.SOCK_STREAM) as listener,
            node.socket("a", socket.AF_INET6, socket.SOCK_STREAM) as client,
        ):
            listener.bind(("::", 8081))
            listener.listen()
            client.connect((B6, 8081))
        port, worker = call(node, (SERVICE, 80))
        rows = flows(told(watch.program))
    there = one(rows, src_addr=A, dst_addr=SERVICE, src_port=port)
    assert (there["src_pid"], there["dst_pid"]) == (os.getpid(), worker)
    assert one(rows, src_addr=B, dst_addr=A, dst_port=port)["src_pid"] == worker
    assert one(rows, src_addr=A6, dst_addr=B6)["src_pid"] == os.getpid()


def test_container_and_pod_come_from_the_control_group(node: TwoPods) -> None:
    root = cgroups.mount_point()
    assert root is not None
    top = root / f"fgt{os.getpid()}"
    folder = top / f"kubepods/burstable/pod{POD_UID}/{CONTAINER}"
    try:
        folder.mkdir(parents=True)
        with followed(node) as watch, server(node, 8002, folder):
            port, _ = call(node, (B, 8002))
            rows = flows(told(watch.program))
    finally:
        cgroups.remove(top)
    there = one(rows, src_addr=A, src_port=port)
    assert (there["dst_container"], there["dst_pod_uid"]) == (CONTAINER[:12], POD_UID)
    assert (there["src_container"], there["src_pod_uid"]) == ("", "")


def test_a_connection_that_was_there_before_has_its_process_once_it_reads(node: TwoPods) -> None:
    with server(node, 8003), node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
        client.connect((B, 8003))
        time.sleep(0.2)
        with followed(node) as watch:
            client.sendall(b"who are you")
            worker = int(client.recv(100))
            rows = flows(told(watch.program))
    there = one(rows, src_addr=A, dst_port=8003)
    assert (there["src_pid"], there["dst_pid"]) == (os.getpid(), worker)


def test_a_connections_life_as_both_sockets_tell_it(node: TwoPods) -> None:
    with followed(node) as watch, server(node, 8004) as listener:
        port, _ = call(node, (B, 8004))
        rows = told(watch.program)
    assert events(rows, dst_port=8004, src_port=port) == [
        ("connected", "established", "src"),
        ("closed", "closed", "src"),
    ]
    assert events(rows, src_port=8004, dst_port=port) == [
        ("accepted", "established", "dst"),
        ("closed", "closed", "dst"),
    ]
    listening = one(rows, src_port=8004, dst_port=0)
    assert (SOCKET_EVENT[listening["socket_event"]], listening["src_pid"]) == ("listening", listener)
    connected = one(rows, dst_port=8004, src_port=port, socket_event=SOCKET_EVENT.index("connected"))
    assert (connected["packets"], connected["bytes"]) == (0, 0)
    assert 0 < connected["handshake_ns"] < 1e9
    assert connected["src_pid"] == os.getpid()


def test_failed_attempts_are_told_apart(node: TwoPods) -> None:
    attempts: tuple[tuple[tuple[str, int], type[OSError]], ...] = (
        ((B, 8005), ConnectionRefusedError),
        ((B, 8006), TimeoutError),
        (("10.9.99.9", 8007), OSError),
    )
    kernel.nft(node.node, "table ip wall { chain f { type filter hook forward priority 0; tcp dport 8006 drop; }; }")
    kernel.ip_batch(node.node, ["route add unreachable 10.9.99.0/24"])
    try:
        with followed(node) as watch:
            for to, failure in attempts:
                with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
                    client.settimeout(None)  # who polls for the error takes it from the socket before it is closed
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500)
                    with pytest.raises(failure):
                        client.connect(to)
            rows = told(watch.program)
    finally:
        kernel.nft(node.node, "delete table ip wall")
        kernel.ip_batch(node.node, ["route del unreachable 10.9.99.0/24"])
    assert events(rows, dst_port=8005) == [("failed", "refused", "src")]
    assert events(rows, dst_port=8006) == [("retrying", "", "src"), ("failed", "timeout", "src")]
    assert events(rows, dst_port=8007) == [("retrying", "", "src"), ("failed", "unreachable", "src")]
    given_up = one(rows, dst_port=8006, socket_event=SOCKET_EVENT.index("failed"))
    assert 1.4e9 < given_up["time_end_ns"] - given_up["time_start_ns"] < 10e9
    assert given_up["src_pid"] == os.getpid()


@pytest.mark.tool("ss")
def test_resent_segments_of_a_connection_are_those_of_ss(node: TwoPods) -> None:
    loss = "table ip lossy { chain f { type filter hook forward priority 0; tcp dport 8008 numgen inc mod 20 == 7 drop; }; }"
    kernel.nft(node.node, loss)
    try:
        with followed(node) as watch:
            done = transfer(node, ("a", "b"), (B, 8008), 400_000)
            rows = told(watch.program)
    finally:
        kernel.nft(node.node, "delete table ip lossy")
    closed = one(rows, src_port=done.sender[1], dst_port=8008, socket_event=SOCKET_EVENT.index("closed"))
    assert closed["retransmits"] > 5
    assert closed["rtt_avg_ns"] > 0


def test_events_beyond_the_buffer_are_counted(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowgauge.ebpf.program_options.EVENT_BYTES", 4096)
    with followed(node) as watch:
        for _ in range(100):
            with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
                assert client.connect_ex((B, 8009))
        counted = watch.program.counters()["kernel_events_full"]
        kept = len(watch.program.evict().events)
        with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect_ex((B, 8010))
        rows = told(watch.program)
    room = 4096 // (8 + abi.SOCKET_EVENT.itemsize)
    assert room - 2 <= kept <= room
    assert counted >= 100 - room
    assert events(rows, dst_port=8010) == [("failed", "refused", "src")]


def test_many_events_are_each_told_once(node: TwoPods) -> None:
    """Three times around the buffer."""
    with followed(node) as watch:
        told(watch.program)
        ports = []
        for _ in range(12):
            for _ in range(20):
                with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
                    client.bind((A, 0))
                    ports.append(client.getsockname()[1])
                    assert client.connect_ex((B, 8011))
            found = [row["src_port"] for row in told(watch.program) if row["socket_event"] and row["dst_port"] == 8011]
            assert found == ports
            ports.clear()


def test_a_connection_of_a_pod_with_itself_is_told_over_loopback_and_over_its_address(node: TwoPods) -> None:
    with followed(node) as watch:
        within = [_called_within(node, "127.0.0.1"), _called_within(node, B)]
        rows = told(watch.program)
    for client, server in within:
        assert events(rows, src_port=client, dst_port=server)[:1] == [("connected", "established", "src")]
        assert events(rows, src_port=server, dst_port=client)[:1] == [("accepted", "established", "dst")]


def _called_within(node: TwoPods, address: str) -> tuple[int, int]:
    """A connection from pod b to itself: ports of client and server."""
    with node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((address, 0))
        listener.listen()
        with node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect(listener.getsockname())
            listener.accept()[0].close()
            return client.getsockname()[1], listener.getsockname()[1]


def test_switched_off_neither_is_told(node: TwoPods) -> None:
    with observed(node) as watch:
        watch.program.attach_signals()
        transfer(node, ("a", "b"), (B, 8012), 10_000)
        rows = told(watch.program)
        assert {watch.program.features()[name] for name in ("process", "sockets")} == {"off"}
    assert not [row for row in rows if row["socket_event"] or row["src_pid"] or row["dst_pid"]]
    assert {row["src_uid"] for row in rows} == {NO_USER}


def test_nodes_that_share_a_kernel_keep_to_their_own_sockets() -> None:
    def here(keys: Any) -> Any:
        return np.where(keys["src_port"] == 1, 2, 1).astype(np.uint8)

    some = np.zeros(3, abi.SOCKET_EVENT)
    some["key"]["src_port"] = [1, 2, 1]
    assert socket_events.of_this_node(some, here)["key"]["src_port"].tolist() == [1, 1]
    assert len(socket_events.of_this_node(some, None)) == 3
