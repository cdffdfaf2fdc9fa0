# SPDX-License-Identifier: Apache-2.0
"""How fast flows come out of the kernel: batches into numpy memory, against one system call an entry, and against copying.

Three ways for the same full table, in rounds that take turns; the best round of each counts. ``batches`` is what the agent
does (new epoch, wait for running programs, take, hand over columns); ``one by one`` asks for the next key and takes
its entry, as other eBPF agents do; ``copy`` moves as many bytes once, the limit of this machine's memory. Beside each rate
what it would be if the thread had waited for nothing: neither for running programs nor for its turn on a busy machine.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from flowgauge.ebpf import abi, bpf_syscall
from flowgauge.ebpf.bpf_syscall import Batch, Command
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.program_options import ProgramOptions

GOAL_RATE, GOAL_RATIO = 1.5e6, 3.0
"""Entries a second, and how many times those that come one by one."""
ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Entries a second, by the wall's clock and by the processor time of this thread."""

    wall: float = 0.0
    busy: float = 0.0

    def best(self, other: Rate) -> Rate:
        """The better of both clocks."""
        return Rate(max(self.wall, other.wall), max(self.busy, other.busy))


def table(entries: int) -> tuple[abi.Structured, abi.Structured]:
    """Keys and values of as many distinct flows."""
    random = np.random.default_rng(1)
    keys, values = np.zeros(entries, abi.FLOW_KEY), np.zeros(entries, abi.FLOW_VALUE)
    keys["src_addr"], keys["dst_addr"] = random.integers(0, 256, (2, entries, 16), np.uint8)
    keys["src_port"], keys["dst_port"], keys["proto"] = np.arange(entries) % 65_536, 443, 6
    values["packets"], values["bytes"] = 10, 10_000
    return keys, values


def fill(program: FlowProgram, keys: abi.Structured, values: abi.Structured) -> int:
    """Puts the flows into the present epoch's table, whose descriptor it gives."""
    first, epoch = np.zeros(1, np.uint32), np.zeros(1, np.uint8)
    bpf_syscall.lookup(program.map_fd(".data.epoch"), first.ctypes.data, epoch.ctypes.data)
    keys["epoch"] = epoch[0]
    map_fd = program.map_fd("flows_odd" if epoch[0] % 2 else "flows_even")
    error, done = bpf_syscall.batch(Command.MAP_UPDATE_BATCH, map_fd, Batch(keys.ctypes.data, values.ctypes.data), len(keys))
    assert (error, done) == (0, len(keys))
    return map_fd


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
    start, busy = time.perf_counter(), time.thread_time()
    assert work() == entries
    return Rate(entries / (time.perf_counter() - start), entries / (time.thread_time() - busy))


def measure(program: FlowProgram, entries: int, rounds: int) -> dict[str, Rate]:
    """The best rate of each way."""
    keys, values = table(entries)
    ways: dict[str, Callable[[int], int]] = {
        "batches": lambda _: len(program.evict()),
        "one by one": lambda map_fd: one_by_one(map_fd, entries),
        "copy": lambda _: copied(keys, values),
    }
    best = dict.fromkeys(ways, Rate())
    for _ in range(rounds):
        for name, work in ways.items():
            map_fd = fill(program, keys, values)
            best[name] = best[name].best(timed(partial(work, map_fd), entries))
            program.evict()
    return best


def main() -> int:
    """Prints a line a way and the ratio; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    arguments = parser.parse_args()
    program = FlowProgram(ProgramOptions(max_flows=1 << 18))
    program.load()
    best = measure(program, arguments.entries, arguments.rounds)
    program.close()
    for name, rate in best.items():
        print(f"{name:11} {rate.wall / 1e6:7.2f} M entries/s, {rate.busy / 1e6:7.2f} without waiting")
    rate, ratio = best["batches"].wall, best["batches"].wall / best["one by one"].wall
    print(f"eviction {rate / 1e6:.2f} M entries/s (goal >= {GOAL_RATE / 1e6}), {ratio:.1f} x one by one (goal >= {GOAL_RATIO})")
    return 0 if rate >= GOAL_RATE and ratio >= GOAL_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
