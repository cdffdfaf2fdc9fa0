# SPDX-License-Identifier: Apache-2.0
"""How soon new devices are observed: a trickle of 20 a second, and a thousand at once; and that nothing stays behind.

A network namespace of its own, veth pairs in it (both ends count), and the agent's own watch thread. Needs root.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowgauge.agent.interface_choice import InterfaceChoice
from flowgauge.agent.interfaces import Interfaces
from flowgauge.agent.watch import NetworkWatch
from flowgauge.demo.scene import kernel
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.runtime import linux, logs

TRICKLE_PER_S = 20
SOON_S, AT_ONCE_S = 1.0, 30.0
"""Goals: from appearing to observed, and for all of ``AT_ONCE`` devices."""
AT_ONCE = 1000


@contextmanager
def watched() -> Iterator[tuple[str, Interfaces, FlowProgram]]:
    """A namespace whose devices are observed."""
    netns = f"fgb{secrets.token_hex(3)}"
    program = FlowProgram(ProgramOptions(max_flows=4096, netns=linux.netns_path(netns)))
    program.load()
    interfaces = Interfaces(program, InterfaceChoice([], ["lo"]), "bench")
    linux.create_netns(netns)
    watch = NetworkWatch(netns, [interfaces])
    try:
        watch.start()
        yield netns, interfaces, program
    finally:
        watch.stop()
        linux.delete_netns(netns)
        program.close()


def add(netns: str, names: list[str]) -> None:
    """Makes a veth pair a name."""
    kernel.ip_batch(netns, [f"link add {name} type veth peer name {name}p" for name in names])


def remove(netns: str, names: list[str]) -> None:
    """Takes them away."""
    kernel.ip_batch(netns, [f"link del {name}" for name in names])


def until(interfaces: Interfaces, names: set[str], within_s: float) -> float:
    """Seconds until exactly these devices are observed."""
    begun = time.monotonic()
    while {one.name for one in interfaces.attached} != names:
        if time.monotonic() - begun > within_s:
            raise SystemExit(f"not within {within_s} s: {interfaces.unattached} unattached")
        time.sleep(0.01)
    return time.monotonic() - begun


def trickle(netns: str, interfaces: Interfaces, seconds: int) -> float:
    """The longest time from the call that makes a device to its being observed, at ``TRICKLE_PER_S`` devices a second."""
    longest, names = 0.0, []
    for number in range(seconds * TRICKLE_PER_S // 2):
        begun = time.monotonic()
        names.append(f"t{number}")
        add(netns, names[-1:])
        while f"t{number}p" not in {one.name for one in interfaces.attached}:
            time.sleep(0.005)
            if time.monotonic() - begun > AT_ONCE_S:
                raise SystemExit("a device was never observed")
        longest = max(longest, time.monotonic() - begun)
        time.sleep(max(0.0, 2 / TRICKLE_PER_S - (time.monotonic() - begun)))
    remove(netns, names)
    until(interfaces, set(), AT_ONCE_S)
    return longest


def at_once(netns: str, interfaces: Interfaces, devices: int) -> tuple[float, int]:
    """Seconds until ``devices`` that appear together are observed, and the most that were counted as unattached meanwhile."""
    names = [f"b{number}" for number in range(devices // 2)]
    begun, most = time.monotonic(), 0
    add(netns, names)
    while len(interfaces.attached) < devices:
        most = max(most, interfaces.unattached)
        time.sleep(0.01)
        if time.monotonic() - begun > 4 * AT_ONCE_S:
            raise SystemExit(f"{interfaces.unattached} devices still not observed")
    taken = time.monotonic() - begun
    remove(netns, names)
    until(interfaces, set(), 4 * AT_ONCE_S)
    return taken, most


def main() -> int:
    """Prints the figures and their limits; 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=AT_ONCE)
    parser.add_argument("--seconds", type=int, default=3, help="of the trickle")
    arguments = parser.parse_args()
    logs.configure("error")
    with watched() as (netns, interfaces, _):
        before = len([*Path("/proc/self/fd").iterdir()])
        longest = trickle(netns, interfaces, arguments.seconds)
        taken, most = at_once(netns, interfaces, arguments.devices)
        left = len([*Path("/proc/self/fd").iterdir()]) - before
    load = os.getloadavg()[0]
    print(f"attach, {TRICKLE_PER_S} a second: observed after {longest:.2f} s at most (goal <= {SOON_S:.0f} s)")
    print(
        f"attach, {arguments.devices} at once: {taken:.1f} s (goal <= {AT_ONCE_S:.0f} s), at most {most} counted as unattached"
    )
    print(f"descriptors left behind: {left}; load of the machine {load:.1f}")
    return 0 if longest <= SOON_S and taken <= AT_ONCE_S and left == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
