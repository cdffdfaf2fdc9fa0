# SPDX-License-Identifier: Apache-2.0
"""How fast flows come out of the kernel: batches into numpy memory, against one system call an entry, and against copying.

Three ways for the same full table, in rounds that take turns; the best round of each counts. ``batches`` is what the agent
does (new epoch, wait for running programs, read, remove, hand over columns); ``one by one`` asks for the next key and takes
its entry, as other eBPF agents do;
``copy`` moves as many bytes once, the limit of this machine's memory.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Callable

import numpy as np

from flowgauge.ebpf import abi, bpf_syscall
from flowgauge.ebpf.bpf_syscall import Batch, Command
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.program_options import ProgramOptions

GOAL = 3.0
ENTRIES = 100_000


def table(entries: int) -> tuple[abi.Structured, abi.Structured]:
    """Keys and values of as many distinct flows."""
    random = np.random.default_rng(1)
    keys, values = np.zeros(entries, abi.FLOW_KEY), np.zeros(entries, abi.FLOW_VALUE)
    keys["src_addr"], keys["dst_addr"] = random.integers(0, 256, (2, entries, 16), np.uint8)
    keys["src_port"], keys["dst_port"], keys["proto"] = np.arange(entries) % 65_536, 443, 6
    values["packets"], values["bytes"] = 10, 10_000
    return keys, values


def fill(map_fd: int, keys: abi.Structured, values: abi.Structured, epoch: int) -> None:
    """Puts the flows into the table."""
    keys["epoch"] = epoch
    error, done = bpf_syscall.batch(Command.MAP_UPDATE_BATCH, map_fd, Batch(keys.ctypes.data, values.ctypes.data), len(keys))
    assert (error, done) == (0, len(keys))


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


def timed(work: Callable[[], int], entries: int) -> float:
    """Entries a second of one go; it must take them all."""
    start = time.perf_counter()
    assert work() == entries
    return entries / (time.perf_counter() - start)


def main() -> int:
    """Prints a line a way and the ratio; 1 when it is below the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    arguments = parser.parse_args()
    program = FlowProgram(ProgramOptions(max_flows=1 << 18))
    program.load()
    map_fd, entries = program.map_fd("flows"), arguments.entries
    keys, values = table(entries)
    ways: dict[str, Callable[[], int]] = {
        "batches": lambda: len(program.evict()),
        "one by one": lambda: one_by_one(map_fd, entries),
        "copy": lambda: copied(keys, values),
    }
    best = dict.fromkeys(ways, 0.0)
    for number in range(arguments.rounds):
        for name, work in ways.items():
            program.evict()
            fill(map_fd, keys, values, 255 - number)
            best[name] = max(best[name], timed(work, entries))
    program.close()
    for name, rate in best.items():
        print(f"{name:11} {rate / 1e6:7.2f} M entries/s")
    ratio = best["batches"] / best["one by one"]
    print(f"eviction ratio {ratio:.1f} x one by one (goal >= {GOAL}), {best['batches'] / best['copy']:.3f} x copy")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
