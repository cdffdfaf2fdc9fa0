# SPDX-License-Identifier: Apache-2.0
"""The cache of busy flows counts what the table alone would count: no packet more or less, whatever is evicted meanwhile."""

from __future__ import annotations

import struct
import threading
from typing import Any

import numpy as np
import pytest

from ebpf_kit import context, loaded, show
from flowgauge.ebpf import abi, bpf_syscall
from flowgauge.ebpf.cache import merged
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.map_reader import Entries

pytestmark = [pytest.mark.root, pytest.mark.bpf]

BUSY = 100
"""Packets after which a flow is in the cache for sure."""


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


def test_a_busy_flow_is_counted_in_both_and_told_once() -> None:
    with loaded(max_flows=1024) as program:
        send(program, frame(1), BUSY)
        send(program, frame(1, flags=0x11), 1)
        send(program, frame(2), 3)
        held = in_cache(program)
        evicted = program.evict()
        assert 80 < held < BUSY
        assert totals(evicted) == {1: (101, 101 * 140, 0x11), 2: (3, 3 * 140, 0x10)}
        assert (evicted.values["first_tick"] <= evicted.values["last_tick"]).all()
        assert in_cache(program) == 0
        assert len(program.evict()) == 0


def test_only_the_epoch_that_is_over_is_taken() -> None:
    """Flows of the epoch that begins are in the other table, and come the next time."""
    with loaded(max_flows=1024, cache_sets=0) as program:
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


def test_more_busy_flows_than_slots() -> None:
    """Two slots for each CPU: the other flows stay in the table."""
    with loaded(max_flows=1024, cache_sets=1) as program:
        for _ in range(3):
            for port in range(1, 10):
                send(program, frame(port), 20)
        assert totals(program.evict()) == dict.fromkeys(range(1, 10), (60, 60 * 140, 16))


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


def test_slots_add_to_their_flow_and_those_without_become_one() -> None:
    keys: Any = np.zeros(2, abi.FLOW_KEY)
    keys["src_port"] = [1, 2]
    values = np.zeros(2, abi.FLOW_VALUE)
    values["packets"], values["first_tick"], values["last_tick"] = [8, 8], [5, 5], [7, 70]
    slots: Any = np.zeros(3, abi.CACHE_SLOT)
    slots["key"]["src_port"] = [1, 3, 1]
    slots["packets"], slots["last_tick"], slots["tcp_flags"] = [10, 20, 30], [50, 60, 40], [1, 2, 16]
    found = merged(Entries(keys, values), slots)
    assert found.keys["src_port"].tolist() == [1, 2, 3]
    assert found.values["packets"].tolist() == [48, 8, 20]
    assert found.values["first_tick"].tolist() == [5, 5, 60]
    assert found.values["last_tick"].tolist() == [50, 70, 60]
    assert found.values["tcp_flags"].tolist() == [17, 0, 2]
