# SPDX-License-Identifier: Apache-2.0
"""What a packet costs in the kernel: the flow program on a packet of a known flow, against a program that does nothing.

Both run by PROG_TEST_RUN on one 1400-byte TCP/IPv4 packet, in rounds that take turns; the least of each program's rounds
counts, because whatever else the machine does only adds. The stamp is cleared in each run, so that each takes the whole way:
parsing, finding the flow, adding to it. The ratio holds over machines better than nanoseconds.
"""

from __future__ import annotations

import argparse
import struct
import sys

from flowgauge.ebpf import bpf_syscall
from flowgauge.ebpf.flow_program import OBJECT
from flowgauge.ebpf.libbpf import Object
from flowgauge.ebpf.program_options import ProgramOptions

GOAL = 4.0
REPEAT = 200_000
"""Runs a round: some tens of milliseconds, short enough to fall between two disturbances."""
CASES = {"bench_unseen": "known flow", "flow_ingress": "seen before", "bench_empty": "empty program"}


def packet(payload: int = 1360) -> bytes:
    """Ethernet, IPv4, TCP: 10.244.1.2:40000 > 10.244.2.3:5432, ACK."""
    ethernet = bytes.fromhex("020000000001020000000002") + b"\x08\x00"
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 40 + payload, 1, 0x4000, 64, 6, 0, bytes((10, 244, 1, 2)), bytes((10, 244, 2, 3))
    )
    tcp = struct.pack("!HHIIBBHHH", 40000, 5432, 1, 1, 0x50, 0x10, 512, 0, 0)
    return ethernet + ip + tcp + bytes(payload)


def measure(rounds: int) -> dict[str, int]:
    """The least nanoseconds a run of each program."""
    loaded = Object(OBJECT, "flowgauge")
    loaded.load(
        programs=set(CASES),
        map_sizes={"flows": 1 << 16},
        constants={".rodata.settings": ProgramOptions(salt=0x1234).constants()},
    )
    frame = packet()
    least = dict.fromkeys(CASES, 1 << 30)
    for _ in range(rounds):
        for name in CASES:
            run = bpf_syscall.test_run(loaded.program_fd(name), frame, bytes(192), REPEAT)
            least[name] = min(least[name], run.duration_ns)
    loaded.close()
    return least


def main() -> int:
    """Prints a line a program and the ratio; 1 when it is above the goal."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    least = measure(arguments.parse_args().rounds)
    empty = least["bench_empty"]
    for name, what in CASES.items():
        print(f"{what:15} {least[name]:5} ns  {least[name] / empty:5.2f} x empty")
    ratio = least["bench_unseen"] / empty
    print(f"ebpf_packet ratio {ratio:.2f} (goal <= {GOAL})")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
