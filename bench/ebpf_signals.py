# SPDX-License-Identifier: Apache-2.0
"""What the signals cost for each event in the kernel: the tracepoints' programs while TCP talks and datagrams find nobody.

The kernel keeps the time itself (run time and runs of each program, the two clock readings of the measurement included, some
40 ns). Traffic goes over loopback; what else this machine does is measured with it, since tracepoints are machine-wide. The
least mean of several rounds counts. For comparison a program that just reads two clocks.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading

from flowgauge.ebpf import bpf_syscall, cost
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.program_options import ProgramOptions

GOAL = 8.0
"""Times a program that reads two clocks. These events are rare beside packets: above this something is wrong."""
EVENTS = 3_000


def talk(listener: socket.socket) -> None:
    """One TCP connection, a question and an answer at a time; then datagrams that nobody takes."""
    with socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            for _ in range(EVENTS):
                client.sendall(b"question")
                server.recv(100)
                server.sendall(b"answer")
                client.recv(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(EVENTS):
            sender.sendto(b"x", ("127.0.0.1", 9))


def measure(rounds: int) -> dict[str, tuple[float, int]]:
    """(least mean ns a run, runs in all) by program."""
    program = FlowProgram(ProgramOptions(rtt=True, drops=True, max_flows=1 << 16))
    program.load()
    program.attach_signals()
    least: dict[str, tuple[float, int]] = {}
    with cost.statistics(), socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(rounds):
            before = program.run_times()
            thread = threading.Thread(target=talk, args=(listener,))
            thread.start()
            thread.join()
            for name, after in program.run_times().items():
                runs, ns = after.runs - before[name].runs, after.ns - before[name].ns
                if runs > EVENTS / 2:
                    mean, total = least.get(name, (float("inf"), 0))
                    least[name] = min(mean, ns / runs), total + runs
            program.evict()
        clock = program.fd("read_clock")
        empty = [bpf_syscall.test_run(clock, bytes(64), bytes(192), 50_000).duration_ns for _ in range(rounds)]
    program.close()
    return least | {"read_clock": (float(min(empty)), rounds * 50_000)}


def main() -> int:
    """Prints a line a program; 1 when one is above the goal, or did not run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    found = measure(arguments.parse_args().rounds)
    base, _ = found["read_clock"]
    for name, (mean, runs) in found.items():
        print(f"{name:20} {mean:7.0f} ns an event, {runs:8,} events, {mean / base:5.1f} x a program that reads two clocks")
    wanted = ("on_tcp_receive", "on_drop_at_socket")
    worst = max((found[name][0] / base for name in wanted if name in found), default=float("inf"))
    print(f"ebpf_signals ratio {worst:.1f} (goal <= {GOAL})")
    return 0 if worst <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
