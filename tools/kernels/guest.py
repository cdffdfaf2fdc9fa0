# SPDX-License-Identifier: Apache-2.0
"""What runs on the other kernel: the eBPF object built here is loaded, attached and counts right; so does the packet socket.

Each line of output is one thing seen; the last says whether all held. ``tools/kernels/run.py`` runs it in the guest; its
arguments are names of scenes, none meaning all.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import guest_clock
import guest_devices
import guest_layer3
import guest_loopback
import guest_signals
import numpy as np
from guest_devices import Finding

from ebpf_kit import flows, loaded, touched
from flowgauge.agent.capture_program import CaptureProgram
from flowgauge.demo.scene import counters
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.runtime import linux
from node_kit import FAR, A, B, TwoPods, settled, transfer, two_pods

DEVICES = ("va", "vb", "eth0")
PASSED = "kernel test: passed"


def say(name: str, held: bool, detail: object = "") -> bool:  # noqa: FBT001 - what is told
    """Prints one finding; whether it held."""
    print(f"{'ok  ' if held else 'FAIL'} {name}: {detail}", flush=True)
    return held


def traffic(node: TwoPods) -> None:
    """TCP between pods, UDP in fragments and ICMP to beyond the uplink."""
    transfer(node, ("a", "b"), (B, 9000), 1_000_000)
    with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for size in (1, 1400, 5000):
            udp.sendto(bytes(size), (FAR, 5353))


def observe(node: TwoPods) -> bool:
    """The same traffic counted by eBPF, by a packet socket, and by the devices."""
    before = settled(node, 1.0)
    capture = CaptureProgram(ProgramOptions(netns=linux.netns_path(node.node), max_flows=4096, nat=False))
    capture.load()
    for name in DEVICES:
        capture.attach(node.ifindex(name))
    with loaded(max_flows=4096, salt=0x1234, rtt=True, drops=True, dns=True) as program:
        print("features:", program.features(), flush=True)
        with linux.in_netns(node.node):
            hooks = [program.attach(socket.if_nametoindex(name)) for name in DEVICES]
        print("attached by:", sorted({hook.kind for hook in hooks}), flush=True)
        program.attach_signals()
        traffic(node)
        device = settled(node, 1.0)["va"].since(before["va"])
        for hook in hooks:
            hook.detach()
        program.detach_signals()
        found = program.evict()
        rows, seen, not_ip = flows(found), touched(program.counters()), program.not_ip()
    without = flows(capture.evict())
    captured = touched(capture.counters())
    capture.close()
    signals = say("RTT of sockets", len(found.sockets) > 0, len(found.sockets))
    same = say("without eBPF the same flows", without == rows, f"{len(without)} and {len(rows)}, {captured}")
    return all([*_findings(node, rows, seen, not_ip, device), signals, same])


def _findings(
    node: TwoPods, rows: list[dict[str, Any]], seen: dict[str, int], not_ip: Any, device: counters.Traffic
) -> list[bool]:
    index = node.ifindex("va")
    here = [row for row in rows if any(point.split()[0] == str(index) for point in row["observed"])]
    other = not_ip[index].packets if index in not_ip else 0
    tcp = next((row for row in rows if row["proto"] == 6 and row["src_addr"] == A), None)
    balance = seen["seen"] == sum(value for name, value in seen.items() if name != "seen" and not name.startswith("kernel_"))
    return [
        say("packets of va equal its counters", sum(row["packets"] for row in here) == device.packets - other, device.packets),
        say("bytes of the transfer", tcp is not None and tcp["bytes"] > 1_000_000, tcp and tcp["bytes"]),
        say("every packet is in one place", balance, seen),
    ]


def pods() -> bool:
    """The plain traffic of a node; whether all held."""
    with two_pods() as node:
        return observe(node)


def found(findings: Callable[[], Iterator[Finding]]) -> bool:
    """Whether all findings held, each of them looked at."""
    return False not in [say(*finding) for finding in findings()]


SCENES: dict[str, Callable[[], bool]] = {
    "pods": pods,
    "signals": lambda: found(guest_signals.findings),
    "loopback": lambda: found(guest_loopback.findings),
    "layer3": lambda: found(guest_layer3.findings),
    "clock": lambda: found(guest_clock.findings),
    "vlans": lambda: found(guest_devices.vlans),
    "tunnels": lambda: found(guest_devices.findings),
}


def held(scene: str) -> bool:
    """Runs a scene; whether all of it held."""
    since = time.monotonic()
    try:
        well = SCENES[scene]()
    except Exception:  # noqa: BLE001 - the guest has nobody else to tell
        traceback.print_exc(file=sys.stdout)
        well = False
    print(f"{scene}: {time.monotonic() - since:.0f} s", flush=True)
    return well


def sorts() -> bool:
    """Whether numpy sorts here, by which flows are found again: an emulated processor may be wrong where it is used rarely."""
    numbers = np.random.default_rng().integers(0, 2**64, 500, dtype=np.uint64)
    return say("numpy sorts", numbers[np.argsort(numbers)].tolist() == sorted(numbers.tolist()))


def main(scenes: list[str]) -> int:
    """1 when something did not hold."""
    print("kernel:", os.uname().release, flush=True)
    well = False not in [sorts(), *(held(scene) for scene in scenes or SCENES)]
    print(PASSED if well else "kernel test: failed", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
