# SPDX-License-Identifier: Apache-2.0
"""The cache counts what the table alone would count: no packet more or less, whatever is evicted meanwhile."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

import pytest

from ebpf_kit import context, flows, loaded, show
from flowgauge.ebpf import abi, bpf_syscall, tables
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.map_reader import Entries, MapReader
from flowgauge.runtime import linux
from node_kit import A, observed, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

BUSY = 100
NODE = "10.9.1.1"
RPS = "/sys/class/net/va/queues/rx-0/rps_cpus"


def frame(port: int, flags: int = 0x10, payload: int = 100) -> bytes:
    """TCP from 10.0.0.1:port to 10.0.0.2:443."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + payload, 1, 0x4000, 64, 6, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return bytes(12) + b"\x08\x00" + ip + struct.pack("!HHIIBBHHH", port, 443, 1, 1, 0x50, flags, 512, 0, 0) + bytes(payload)


def send(program: FlowProgram, packet: bytes, count: int) -> None:
    """Each packet is new to the node: its stamp is cleared before every run."""
    for _ in range(count):
        show(program, packet)


def totals(entries: Entries) -> dict[int, tuple[int, int, int]]:
    """Packets, bytes and flags by source port; each flow must be there once."""
    ports = entries.keys["src_port"].tolist()
    assert len(set(ports)) == len(ports)
    values = entries.values
    return {
        port: (int(values["packets"][at]), int(values["bytes"][at]), int(values["tcp_flags"][at]))
        for at, port in enumerate(ports)
    }


def in_cache(program: FlowProgram) -> int:
    """Packets that the cache's slots hold, of any epoch."""
    return int(program._tables._cache._packets.sum())


def test_a_flow_is_counted_in_the_cache_and_told_once() -> None:
    with loaded(max_flows=1024) as program:
        send(program, frame(1), BUSY)
        send(program, frame(1, flags=0x11), 1)
        send(program, frame(2), 3)
        held = in_cache(program)
        evicted = program.evict()
        assert held == BUSY + 1 + 3
        assert totals(evicted) == {1: (101, 101 * 140, 0x11), 2: (3, 3 * 140, 0x10)}
        assert (evicted.values["first_tick"] <= evicted.values["last_tick"]).all()
        assert in_cache(program) == 0
        assert len(program.evict()) == 0


def test_what_a_flow_begins_with_is_the_same_in_cache_and_table() -> None:
    """And nothing of the flow that had the slot before."""
    found = []
    for sets in (0, 1):
        with loaded(max_flows=1024, cache_sets=sets) as program:
            for packet, egress in ((frame(1)[:15] + b"\x28" + frame(1)[16:], True), (frame(2), False)):
                for _ in range(2):
                    show(program, packet, egress=egress)
                found.append(flows(program.evict()))
    assert found[:2] == found[2:]
    assert [(row["ip_tos"], row["observed"]) for (row,) in found[:2]] == [(0x28, ["1 out"]), (0, ["1 in"])]


def test_only_the_epoch_that_is_over_is_taken() -> None:
    """Flows of the epoch that begins are in the other table, or keep their slots, and come the next time."""
    for sets in (0, 256):
        with loaded(max_flows=1024, cache_sets=sets) as program:
            send(program, frame(1), 3)
            program._begin_epoch()
            send(program, frame(1), 2)
            send(program, frame(2), 1)
            over = program._tables.take(program._epoch)
            assert totals(over) == {1: (3, 3 * 140, 16)}
            assert totals(program.evict()) == {1: (2, 2 * 140, 16), 2: (1, 140, 16)}
            assert len(program.evict()) == 0


def test_without_cache_the_figures_are_the_same() -> None:
    found = []
    for sets in (0, 4096):
        with loaded(max_flows=1024, cache_sets=sets) as program:
            for port in range(1, 20):
                send(program, frame(port), 10 * port)
            found.append(totals(program.evict()))
            assert program.counters()["kernel_packets_in_flows"] == sum(packets for packets, _, _ in found[-1].values())
    assert found[0] == found[1]


def test_more_flows_than_slots() -> None:
    """Two slots for each CPU: the other flows are in the table."""
    with loaded(max_flows=1024, cache_sets=1) as program:
        for _ in range(3):
            for port in range(1, 10):
                send(program, frame(port), 20)
        assert totals(program.evict()) == dict.fromkeys(range(1, 10), (60, 60 * 140, 16))


@pytest.mark.parametrize("byte", [26 + 3, 26 + 2, 30 + 3], ids=["source's last", "source's third", "destination's last"])
def test_neighbouring_addresses_spread_over_the_sets(byte: int) -> None:
    """Pods' addresses differ in their last bytes."""
    with loaded(max_flows=1024, cache_sets=2048) as program:
        for number in range(256):
            send(program, frame(1)[:byte] + bytes((number,)) + frame(1)[byte + 1 :], 1)
        assert in_cache(program) > 240


def test_super_packets_count_in_the_cache_as_they_do_in_the_table() -> None:
    with loaded(max_flows=1024) as program:
        for _ in range(20):
            show(program, frame(1, payload=3000), ctx=context(gso_size=1000, gso_segments=3))
        assert totals(program.evict()) == {1: (60, 20 * (3040 + 2 * 40), 0x10)}


def test_nothing_is_lost_or_told_twice_while_both_cpus_count_and_epochs_wrap() -> None:
    """Twice around the 256 epochs, with four threads that send all the time."""
    stop = threading.Event()
    sent = [0] * 4
    with loaded(max_flows=1024, cache_sets=4) as program:
        fd = program.fd("flow_ingress")

        def hammer(thread: int) -> None:
            number = 0
            while not stop.is_set():
                # One flow of each thread and one that all share.
                for port in (thread + 1, 9):
                    bpf_syscall.test_run(fd, frame(port), context(), 1)
                    sent[thread] += 1
                number += 1

        threads = [threading.Thread(target=hammer, args=(thread,)) for thread in range(len(sent))]
        for thread in threads:
            thread.start()
        told: dict[int, int] = {}
        for _ in range(530):
            for port, (packets, _, _) in totals(program.evict()).items():
                told[port] = told.get(port, 0) + packets
        stop.set()
        for thread in threads:
            thread.join()
        for port, (packets, _, _) in totals(program.evict()).items():
            told[port] = told.get(port, 0) + packets
        assert in_cache(program) == 0
    assert sum(told.values()) == sum(sent)
    assert [told[port] for port in range(1, 5)] == [count // 2 for count in sent]


@pytest.mark.parametrize("sets", [None, 0], ids=["in slots", "in a table that two threads empty"])
def test_flows_that_begin_while_others_are_taken_disturb_nothing(sets: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some thousand of them in each eviction, on all CPUs, all over the cache."""
    monkeypatch.setattr(tables, "_MANY", 1)
    stop, sent = threading.Event(), [0, 0]
    with loaded(max_flows=1 << 17, cache_sets=sets) as program:
        fd = program.fd("flow_ingress")

        def begin(thread: int) -> None:
            packet = bytearray(frame(thread + 1))
            while not stop.is_set():
                packet[26 + 1 : 26 + 4] = (sent[thread] % (1 << 20)).to_bytes(3, "big")
                bpf_syscall.test_run(fd, bytes(packet), context(), 1)
                sent[thread] += 1

        threads = [threading.Thread(target=begin, args=(thread,)) for thread in range(len(sent))]
        for thread in threads:
            thread.start()
        told = sum(int(program.evict().values["packets"].sum()) for _ in range(100))
        stop.set()
        for thread in threads:
            thread.join()
        told += int(program.evict().values["packets"].sum())
        counted = program.counters()
    assert told + counted["kernel_packets_table_full"] == sum(sent)


@pytest.mark.parametrize("middle", [1, 512, 1023, 4096], ids=["the second", "half-way", "the last", "none there"])
def test_two_threads_take_each_entry_once_wherever_the_second_begins(middle: int) -> None:
    with loaded(max_flows=1024, cache_sets=0) as program:
        for port in range(1, 800):
            send(program, frame(port), 1)
        reader = MapReader(program.map_fd("flows_even"), abi.FLOW_KEY, abi.FLOW_VALUE)
        assert totals(reader.take(800, middle)) == dict.fromkeys(range(1, 800), (1, 140, 16))
        assert len(reader.read()) == 0


def test_a_hook_on_another_cpu_adds_where_it_saw_the_flow() -> None:
    """The sender's CPU counts, the receiving one (chosen by RPS) has no slot of the flow: it leaves a note in the table."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one CPU only")
    with two_pods() as node, observed(node, ["va"]) as watch:
        va = node.ifindex("va")
        node.run("node", "ip", "netns", "exec", node.node, "sh", "-c", f"echo {1 << cpus[1]:x} > {RPS}")
        node.run("a", "ping", "-c1", NODE)  # who waits for the neighbour's address is sent by the CPU that hears it
        with linux.in_netns(node.netns["a"]):
            eth0 = socket.if_nametoindex("eth0")
            watch.attachments["a"] = watch.program.attach(eth0)
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
            thread = threading.Thread(target=send_from, args=(udp, cpus[0]))
            thread.start()
            thread.join()
            while watch.program.counters()["kernel_packets_seen_before"] < 3:
                time.sleep(0.01)
        in_table = MapReader(watch.program.map_fd("flows_even"), abi.FLOW_KEY, abi.FLOW_VALUE).read()
        found = [row for row in watch.flows() if (row["src_addr"], row["dst_port"]) == (A, 9)]
    assert [(row["packets"], row["observed"]) for row in found] == [(3, [f"{eth0} out", f"{va} in"])]
    assert 0 in in_table.values["packets"].tolist()


def send_from(udp: socket.socket, cpu: int) -> None:
    os.sched_setaffinity(0, [cpu])
    for _ in range(3):
        udp.sendto(b"x", (NODE, 9))  # a connected one would be told that nobody listens, and send no more
