# SPDX-License-Identifier: Apache-2.0
"""What a packet costs in the kernel: the flow program on a packet of a known flow, against a program that does nothing.

All run by PROG_TEST_RUN on one 1400-byte TCP/IPv4 packet, in rounds that take turns; the least of each program's rounds
counts, because whatever else the machine does only adds. The stamp is cleared in each run, so that each takes the whole way:
parsing, finding the flow, adding to it. The ratio holds over machines better than nanoseconds.

A new flow begins in a slot of the CPU; in the table when its slots are taken; and it is counted as lost when that is full, too.
The first two are measured in the agent's usual memory, which each round has anew and empty, with 50,000 flows: of 100,000 an
interval what one of two CPUs has. Beside them what a hash map takes for that at least, with the same parser.

Beside these: a known flow with every signal on, behind 64 rules of which none matches, with the hash map alone (no cache),
of 16,384 flows, and a packet that another hook has seen.
"""

from __future__ import annotations

import argparse
import struct
import sys
from dataclasses import dataclass, replace

from flowgauge.agent.kernel_probes import EVERYTHING
from flowgauge.ebpf import bpf_syscall
from flowgauge.ebpf.abi_settings import CHOICE_EXCLUDE, MAX_RULES
from flowgauge.ebpf.libbpf import Object
from flowgauge.ebpf.parts import OBJECT
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.ebpf.rules import Action, Rule

GOAL, GOAL_ALL = 2.5, 4.0
GOAL_NEW, GOAL_SPILLED = 350 / 32, 1000 / 32
"""Of a new flow, also as a ratio to the empty program: 350 and 1,000 ns where that takes 32."""
REPEAT = 200_000
"""Runs a round: some tens of milliseconds, short enough to fall between two disturbances."""
BASE = ProgramOptions(salt=0x1234, max_flows=1 << 16)
EVERY_SIGNAL = replace(EVERYTHING, salt=BASE.salt, max_flows=BASE.max_flows, tunnels=False)
HASH_ONLY = ProgramOptions(salt=0x1234, max_flows=1 << 16, cache_sets=0)


@dataclass(frozen=True, slots=True)
class Case:
    """One program under one set of options."""

    what: str
    options: ProgramOptions
    program: str
    in_vxlan: bool = False
    repeat: int = REPEAT
    fresh: bool = False


RULES = ProgramOptions(salt=0x1234, max_flows=1 << 16, rules=(Rule(Action.REJECT, proto=6, ports=(9, 9)),) * MAX_RULES)
TUNNELS = ProgramOptions(salt=0x1234, max_flows=1 << 16, tunnels=True)
PODS = ProgramOptions(salt=0x1234, max_flows=1 << 16, choice=CHOICE_EXCLUDE)


USUAL, NO_SLOTS = ProgramOptions(salt=0x1234), ProgramOptions(salt=0x1234, cache_sets=1)
NO_ROOM = ProgramOptions(salt=0x1234, max_flows=1 << 10, cache_sets=1)
NEW_FLOWS = 50_000


NEW = Case("new flow", USUAL, "bench_new", repeat=NEW_FLOWS, fresh=True)
SPILLED = Case("new flow, its slots taken", NO_SLOTS, "bench_new", repeat=NEW_FLOWS, fresh=True)
FULL = Case("new flow, its slots and table full", NO_ROOM, "bench_new")
KNOWN, ALL, EMPTY = (
    Case("known flow", BASE, "bench_unseen"),
    Case("known flow, every signal", EVERY_SIGNAL, "bench_unseen"),
    Case("empty program", BASE, "bench_empty"),
)
CASES = (
    KNOWN,
    ALL,
    Case("known flow, hash map only", HASH_ONLY, "bench_unseen"),
    Case("known flow, behind 64 rules", RULES, "bench_unseen"),
    Case("known flow, tunnels: inner", TUNNELS, "bench_unseen"),
    Case("known flow in VXLAN, inner", TUNNELS, "bench_unseen", in_vxlan=True),
    Case("known flow in VXLAN, outer", BASE, "bench_unseen", in_vxlan=True),
    Case("of 16,384 flows", BASE, "bench_many"),
    Case("of 16,384 flows, some pods out", PODS, "bench_many"),
    Case("of 16,384 flows, hash map only", HASH_ONLY, "bench_many"),
    NEW,
    SPILLED,
    Case("new flow, with MACs", replace(USUAL, macs=True), "bench_new", repeat=NEW_FLOWS, fresh=True),
    FULL,
    Case("parser and one hash map update", NO_SLOTS, "bench_update", repeat=NEW_FLOWS, fresh=True),
    Case("seen before", BASE, "flow_ingress"),
    EMPTY,
)


def packet(payload: int = 1360) -> bytes:
    """Ethernet, IPv4, TCP: 10.244.1.2:40000 > 10.244.2.3:5432, ACK."""
    ethernet = bytes.fromhex("020000000001020000000002") + b"\x08\x00"
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 40 + payload, 1, 0x4000, 64, 6, 0, bytes((10, 244, 1, 2)), bytes((10, 244, 2, 3))
    )
    tcp = struct.pack("!HHIIBBHHH", 40000, 5432, 1, 1, 0x50, 0x10, 512, 0, 0)
    return ethernet + ip + tcp + bytes(payload)


def in_vxlan(frame: bytes) -> bytes:
    """The frame in VXLAN: 192.0.2.1:50000 > 192.0.2.2:4789, network 42."""
    udp = struct.pack("!HHHH", 50000, 4789, 16 + len(frame), 0) + b"\x08\0\0\0\0\0\x2a\0" + frame
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)))
    return frame[:14] + ip + udp


def loaded(options: ProgramOptions) -> Object:
    """The programs with ``options``."""
    found = Object(OBJECT.read_bytes(), "flowgauge")
    found.load(
        programs={case.program for case in CASES},
        map_sizes=options.map_sizes(),
        constants=options.constants(),
    )
    return found


def measure(rounds: int) -> dict[Case, int]:
    """The least nanoseconds a run of each case."""
    objects = {options: loaded(options) for options in {case.options: None for case in CASES}}
    frame = packet()
    least = dict.fromkeys(CASES, 1 << 30)
    for _ in range(rounds):
        for case in CASES:
            shown = in_vxlan(frame) if case.in_vxlan else frame
            if case.fresh:
                objects[case.options].close()
                objects[case.options] = loaded(case.options)
            run = bpf_syscall.test_run(objects[case.options].program_fd(case.program), shown, bytes(192), case.repeat)
            least[case] = min(least[case], run.duration_ns)
    for one in objects.values():
        one.close()
    return least


def main() -> int:
    """Prints a line a case and the ratios; 1 when one is above its goal."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    least = measure(arguments.parse_args().rounds)
    for case in CASES:
        print(f"{case.what:36} {least[case]:5} ns  {least[case] / least[EMPTY]:5.2f} x empty")
    ratio, with_all = (least[case] / least[EMPTY] for case in (KNOWN, ALL))
    print(f"ebpf_packet ratio {ratio:.2f} (goal <= {GOAL}), with every signal {with_all:.2f} (goal <= {GOAL_ALL})")
    new, spilled = (max(least[case] for case in cases) / least[EMPTY] for cases in ((NEW,), (SPILLED, FULL)))
    print(f"new flow {new:.1f} x empty (goal <= {GOAL_NEW:.1f}), without slot {spilled:.1f} (goal <= {GOAL_SPILLED:.1f})")
    return 0 if ratio <= GOAL and with_all <= GOAL_ALL and new <= GOAL_NEW and spilled <= GOAL_SPILLED else 1


if __name__ == "__main__":
    sys.exit(main())
