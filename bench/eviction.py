# SPDX-License-Identifier: Apache-2.0
"""How fast flows come out of the kernel: from the CPUs' slots, against one system call an entry, and against copying.

The ways take turns; the best round of each counts. ``agent`` is what the agent does with flows that packets began, spread
over the CPUs (new epoch, wait for running programs, take slots and table, join what is one flow, hand over columns); ``on all
CPUs`` the same when each CPU saw each flow; ``table`` when there is no cache; ``one by one`` asks a table for the next key and
takes its entry, as other eBPF agents do; ``copy`` moves as many bytes once, the limit of this machine's memory. Beside each
rate what one processor would do that waited for nothing: neither for running programs nor for its turn on a busy machine.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from ebpf_packet import packet

from flowgauge.ebpf import abi, bpf_syscall
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.program_options import ProgramOptions

GOAL_RATE, GOAL_RATIO = 1.5e6, 3.0
"""Entries a second, and how many times those that come one by one."""
ENTRIES = 100_000
_SOURCE_AT, _CONTEXT_BYTES = 26, 192
"""Of the IPv4 source address in the frame; size of ``struct __sk_buff``."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Entries a second, by the wall's clock and by the processor time of this process."""

    wall: float = 0.0
    busy: float = 0.0

    def best(self, other: Rate) -> Rate:
        """The better of both clocks."""
        return Rate(max(self.wall, other.wall), max(self.busy, other.busy))


def present_table(program: FlowProgram) -> int:
    """Descriptor of the table that the present epoch fills."""
    first, epoch = np.zeros(1, np.uint32), np.zeros(1, np.uint8)
    bpf_syscall.lookup(program.map_fd(".data.epoch"), first.ctypes.data, epoch.ctypes.data)
    return program.map_fd("flows_odd" if epoch[0] % 2 else "flows_even")


def show(program: FlowProgram, first: int, count: int) -> None:
    """Lets a hook on this CPU see a packet each of so many flows, which have numbers."""
    ingress, context, frame = program.fd("flow_ingress"), bytes(_CONTEXT_BYTES), bytearray(packet(payload=0))
    for number in range(first, first + count):
        struct.pack_into("!I", frame, _SOURCE_AT, 0x0A000000 + number)
        bpf_syscall.test_run(ingress, bytes(frame), context, 1)


def spread(program: FlowProgram, entries: int, *, everywhere: bool) -> None:
    """Lets each CPU see its share of the flows, or all of them."""
    cpus = os.sched_getaffinity(0)
    share = entries // len(cpus)
    for number, cpu in enumerate(sorted(cpus)):
        os.sched_setaffinity(0, {cpu})
        show(program, *((0, entries) if everywhere else (number * share, share)))
    os.sched_setaffinity(0, cpus)


def one_by_one(map_fd: int, entries: int) -> int:
    """Takes every entry by two system calls through libbpf; how many there were."""
    libbpf = ctypes.CDLL("libbpf.so.1")
    next_key, take = libbpf.bpf_map_get_next_key, libbpf.bpf_map_lookup_and_delete_elem
    here, there = (ctypes.create_string_buffer(abi.FLOW_KEY.itemsize) for _ in range(2))
    value = ctypes.create_string_buffer(abi.FLOW_VALUE.itemsize)
    taken = 0
    result = next_key(map_fd, None, there)
    while result == 0 and taken < entries:
        here, there = there, here
        result = next_key(map_fd, here, there)
        assert take(map_fd, here, value) == 0
        taken += 1
    return taken


def copied(keys: abi.Structured, values: abi.Structured) -> int:
    """Copies every entry once; how many there were."""
    return (len(keys.tobytes()) + len(values.tobytes())) // (abi.FLOW_KEY.itemsize + abi.FLOW_VALUE.itemsize)


def timed(work: Callable[[], int], entries: int) -> Rate:
    """Of one go; it must take them all."""
    start, busy = time.perf_counter(), time.process_time()
    assert work() == entries
    return Rate(entries / (time.perf_counter() - start), entries / (time.process_time() - busy))


def measure(agent: FlowProgram, plain: FlowProgram, entries: int, rounds: int) -> dict[str, Rate]:
    """The best rate of each way."""
    keys, values = np.zeros(entries, abi.FLOW_KEY), np.zeros(entries, abi.FLOW_VALUE)
    ways: dict[str, tuple[Callable[[], object], Callable[[], int]]] = {
        "agent": (partial(spread, agent, entries, everywhere=False), lambda: len(agent.evict())),
        "on all CPUs": (partial(spread, agent, entries, everywhere=True), lambda: len(agent.evict())),
        "table": (partial(spread, plain, entries, everywhere=False), lambda: len(plain.evict())),
        "one by one": (partial(spread, plain, entries, everywhere=False), lambda: one_by_one(present_table(plain), entries)),
        "copy": (lambda: None, lambda: copied(keys, values)),
    }
    best = dict.fromkeys(ways, Rate())
    for _ in range(rounds):
        for name, (prepare, work) in ways.items():
            prepare()
            best[name] = best[name].best(timed(work, entries))
    return best


def main() -> int:
    """Prints a line a way and the ratio; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    arguments = parser.parse_args()
    agent, plain = FlowProgram(ProgramOptions()), FlowProgram(ProgramOptions(cache_sets=0))
    for program in (agent, plain):
        program.load()
    best = measure(agent, plain, arguments.entries, arguments.rounds)
    for program in (agent, plain):
        program.close()
    for name, rate in best.items():
        print(f"{name:11} {rate.wall / 1e6:7.2f} M entries/s, {rate.busy / 1e6:7.2f} without waiting")
    rate, ratio = best["agent"].wall, best["agent"].wall / best["one by one"].wall
    print(f"eviction {rate / 1e6:.2f} M entries/s (goal >= {GOAL_RATE / 1e6}), {ratio:.1f} x one by one (goal >= {GOAL_RATIO})")
    return 0 if rate >= GOAL_RATE and ratio >= GOAL_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
