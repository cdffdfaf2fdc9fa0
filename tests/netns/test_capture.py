# SPDX-License-Identifier: Apache-2.0
"""Flows without eBPF: a packet socket on real devices counts what the eBPF program, device counters and tcpdump count."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dump_kit import packets_in, tcpdump
from ebpf_kit import flows, loaded, touched
from flowgauge.agent.capture_program import CaptureProgram
from flowgauge.demo.scene import counters, kernel
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.runtime import linux
from node_kit import A6, FAR, FAR6, A, B, TwoPods, settled, transfer, two_pods

pytestmark = pytest.mark.root

DEVICES = ("va", "vb", "eth0")


@contextmanager
def captured(node: TwoPods, devices: Sequence[str] = DEVICES, **options: Any) -> Iterator[CaptureProgram]:
    """A packet socket on ``devices`` of the node."""
    program = CaptureProgram(ProgramOptions(netns=linux.netns_path(node.node), max_flows=4096, **options))
    program.load()
    try:
        for name in devices:
            program.attach(node.ifindex(name))
        yield program
    finally:
        program.close()


def of_everything(node: TwoPods) -> None:
    """TCP, UDP in fragments, ICMP, over IPv4 and IPv6, through the node and to it."""
    transfer(node, ("a", "b"), (B, 9000), 3_000_000)
    transfer(node, ("far", "a"), (A6, 9000), 300_000)
    for family, address in ((socket.AF_INET, FAR), (socket.AF_INET6, FAR6)):
        with node.socket("a", family, socket.SOCK_DGRAM) as udp:
            for size in (0, 1, 700, 1400, 5000, 20_000):
                udp.sendto(bytes(size), (address, 5353))
    node.run("a", "ping", "-q", "-c", "3", "-i", "0.05", "-s", "3000", B)
    node.run("far", "ping", "-q", "-c", "3", "-i", "0.05", "-s", "3000", A6)


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


@pytest.mark.bpf
@pytest.mark.parametrize("offloads", [False, True], ids=["every packet", "super-packets"])
def test_the_same_traffic_counted_by_ebpf_and_without_it_gives_equal_flows(*, offloads: bool) -> None:
    with (
        two_pods(offloads=offloads) as built,
        captured(built, nat=False) as capture,
        loaded(max_flows=4096, salt=0x1234) as program,
        linux.in_netns(built.node),
    ):
        hooks = [program.attach(socket.if_nametoindex(name)) for name in DEVICES]
        of_everything(built)
        settled(built)
        with_ebpf, without = flows(program.evict()), flows(capture.evict())
        for hook in hooks:
            hook.detach()
        assert without == with_ebpf
        assert touched(capture.counters()) == touched(program.counters())
        assert {index: (seen.packets, seen.bytes) for index, seen in capture.not_ip().items()} == {
            index: (seen.packets, seen.bytes) for index, seen in program.not_ip().items()
        }


def test_one_device_counts_what_its_counters_count(node: TwoPods) -> None:
    before = settled(node)["va"]
    with captured(node, ["va"]) as capture:
        of_everything(node)
        device = settled(node)["va"].since(before)
        rows = flows(capture.evict())
        seen, not_ip = touched(capture.counters()), capture.not_ip()
    other = sum(frames.packets for frames in not_ip.values())
    layer2 = sum(frames.bytes for frames in not_ip.values())
    assert seen["seen"] == device.met
    assert sum(row["packets"] for row in rows) == device.packets - other
    assert sum(row["bytes"] for row in rows) == device.layer3_bytes - (layer2 - 14 * other)


@pytest.mark.tool("tcpdump")
def test_tcpdump_beside_it_sees_as_many_packets(node: TwoPods, tmp_path: Path) -> None:
    pcap = tmp_path / "va.pcap"
    with tcpdump(node.node, "va", pcap, "-s", "64"), captured(node, ["va"]) as capture:
        of_everything(node)
        settled(node)
        capture.evict()
        seen = touched(capture.counters())["seen"]
    assert packets_in(pcap) == seen


def test_a_packet_between_two_devices_is_counted_once_over_many_intervals(node: TwoPods) -> None:
    before, in_pod = settled(node)["va"], counters.devices(node.netns["a"])["eth0"]
    with captured(node) as capture:
        total = 0
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for round_ in range(40):
                for _ in range(50):
                    udp.sendto(bytes(100), (B, 7000))
                if round_ % 2:
                    total += sum(row["packets"] for row in flows(capture.evict()) if row["dst_port"] == 7000)
        settled(node)
        total += sum(row["packets"] for row in flows(capture.evict()) if row["dst_port"] == 7000)
        found = touched(capture.counters())
    lost = counters.devices(node.netns["a"])["eth0"].since(in_pod).not_sent
    assert settled(node)["va"].since(before).rx_packets >= total >= 2000 - lost > 1000, "a busy machine may lose some before"
    assert found["seen"] == sum(value for name, value in found.items() if name != "seen")


def test_both_halves_of_a_translated_connection_are_one_flow() -> None:
    with two_pods() as built:
        rule = f"ip daddr 10.96.0.80 tcp dport 80 dnat to {B}:8080"
        kernel.nft(built.node, f"table ip t {{\nchain pre {{\ntype nat hook prerouting priority dstnat\n{rule}\n}}\n}}\n")
        with captured(built) as capture:
            transfer(built, ("a", "b"), ("10.96.0.80", 80), 100_000, port=8080)
            settled(built)
            entries, known = capture.evict(), capture.known_translations()
        tcp = [row for row in flows(entries) if row["proto"] == 6]
    assert {(row["src_addr"], row["dst_addr"]) for row in tcp} == {(A, "10.96.0.80"), (B, A)}
    assert all(len(row["observed"]) == 2 for row in tcp)
    assert len(known) == 2


def test_packets_that_find_the_ring_full_are_counted_as_lost(node: TwoPods) -> None:
    program = CaptureProgram(ProgramOptions(netns=linux.netns_path(node.node), max_flows=64), frames=1024)
    in_pod = counters.devices(node.netns["a"])["eth0"]
    program.load()
    try:
        program.attach(node.ifindex("va"))
        with program._lock, node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for _ in range(3000):
                udp.sendto(b"x", (B, 7001))
        settled(node)
        kept = sum(row["packets"] for row in flows(program.evict()))
        found = touched(program.counters())
    finally:
        program.close()
    lost = counters.devices(node.netns["a"])["eth0"].since(in_pod).not_sent
    assert found["ring_full"] > 1900 - lost > 500, "a busy machine may lose some before"
    assert found["seen"] == sum(value for name, value in found.items() if name != "seen")
    assert kept == found["in_flows"]


def test_flows_beyond_the_table_are_counted(node: TwoPods) -> None:
    with captured(node, ["va"]) as capture:
        capture._table.max_rows = 100
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for port in range(10_000, 10_300):
                udp.sendto(b"x", (FAR, port))
        settled(node)
        rows = flows(capture.evict())
        found = touched(capture.counters())
    assert len(rows) == 100
    assert found["table_full"] >= 200
    assert found["seen"] == sum(value for name, value in found.items() if name != "seen")


def test_sampled_connections_are_whole_and_the_same_that_ebpf_takes(node: TwoPods) -> None:
    with captured(node, ["va"], sampling=4, sampling_mode="flow") as capture:
        for port in range(20_000, 20_200):  # a client's port each: connections are drawn by their client's end
            with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
                for _ in range(2):
                    udp.sendto(b"x", (FAR, port))
        settled(node)
        rows = [row for row in flows(capture.evict()) if row["dst_port"] >= 20_000]
        found = touched(capture.counters())
    assert {row["packets"] for row in rows} == {2}
    assert 20 <= len(rows) <= 90
    assert found["sampled_out"] >= 2 * (200 - len(rows))


def held() -> tuple[int, int]:
    """This process's descriptors and threads."""
    return len([*Path("/proc/self/fd").iterdir()]), len([*Path("/proc/self/task").iterdir()])


def test_a_socket_takes_no_descriptor_or_thread_with_it(node: TwoPods) -> None:
    for _ in range(2):
        with captured(node):
            pass
    before = held()
    for _ in range(20):
        with captured(node) as capture:
            time.sleep(0.01)
            capture.evict()
    assert held() == before
