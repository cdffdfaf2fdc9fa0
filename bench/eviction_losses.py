# SPDX-License-Identifier: Apache-2.0
"""Whether packets get lost while flows are taken out: every CPU counts all the time, this process evicts without a pause.

Each packet of the hooks must be in a flow that was handed out. Flows are few, so that each is counted on all CPUs, and every
eviction meets flows amid an addition; ``table`` is without slots, where CPUs add to the same entry.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import struct
import sys
import time
from multiprocessing.connection import Connection

from ebpf_packet import packet

from flowgauge.ebpf import bpf_syscall
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.program_options import ProgramOptions

GOAL_PPM = 5.0
FLOWS = 256
_SOURCE_AT, _CONTEXT_BYTES = 26, 192
"""Of the IPv4 source address in the frame; size of ``struct __sk_buff``."""


def hammer(fd: int, cpu: int, until: float, told: Connection) -> None:
    """Shows the hook packets of all flows in turn on one CPU, and tells how many."""
    os.sched_setaffinity(0, {cpu})
    frames = [bytearray(packet(payload=0)) for _ in range(FLOWS)]
    for number, frame in enumerate(frames):
        struct.pack_into("!I", frame, _SOURCE_AT, 0x0A000000 + number)
    sent, context = 0, bytes(_CONTEXT_BYTES)
    while time.monotonic() < until:
        for frame in frames:
            bpf_syscall.test_run(fd, bytes(frame), context, 1)
        sent += FLOWS
    told.send(sent)


def measure(options: ProgramOptions, seconds: float) -> tuple[int, int, int]:
    """Packets shown, packets in flows, evictions."""
    program = FlowProgram(options)
    program.load()
    until = time.monotonic() + seconds
    here, there = multiprocessing.Pipe(duplex=False)
    fork = multiprocessing.get_context("fork")
    cpus = sorted(os.sched_getaffinity(0))
    hammers = [fork.Process(target=hammer, args=(program.fd("flow_ingress"), cpu, until, there)) for cpu in cpus]
    for one in hammers:
        one.start()
    told = evictions = 0
    while any(one.is_alive() for one in hammers):
        told += int(program.evict().values["packets"].sum())
        evictions += 1
    told += int(program.evict().values["packets"].sum())
    program.close()
    return sum(here.recv() for _ in hammers), told, evictions


def main() -> int:
    """Prints a line a way; 1 when more is lost, or told twice, than the goal allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    worst = 0.0
    for name, options in {"slots": ProgramOptions(), "table": ProgramOptions(cache_sets=0)}.items():
        sent, told, evictions = measure(options, seconds)
        ppm = abs(sent - told) / sent * 1e6
        print(f"{name:6} {sent:,} packets, {told:,} in flows, {evictions:,} evictions: {ppm:.2f} ppm lost or told twice")
        worst = max(worst, ppm)
    print(f"eviction_losses {worst:.2f} ppm (goal <= {GOAL_PPM})")
    return 0 if worst <= GOAL_PPM else 1


if __name__ == "__main__":
    sys.exit(main())
