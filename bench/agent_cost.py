# SPDX-License-Identifier: Apache-2.0
"""What the agent's process costs: processor time, memory, and how soon it counts. Needs root.

An agent as users start it, with the features that are on by default, on a veth device of a network namespace; the frames are
written to the other end, one a flow. Nobody there wants them, so each is a dropped flow, too: the worst case of drops. What the
kernel's programs take is in ``ebpf_packet.py``; the kernel's tables are no part of the process's memory. Its IPFIX goes to a
UDP port that nobody reads.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ebpf_packet import packet
from load_kit import cpu_s

from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from agent_kit import AgentProcess, Collector, agent, until

GOAL_SHARE, GOAL_MIB, GOAL_START_S = 0.03, 100.0, 1.0
FLOWS_PER_S, INTERVAL_S, INTERVALS = 5_000, 5, 4
FLOWS = 100_000
STARTS = 9
_SOURCE_AT = 26
"""Of the IPv4 source address in a frame; its last three bytes are the flow's number."""
_ROUND_S = 0.01


def frames(count: int) -> list[bytes]:
    """As many frames, each of a flow of its own."""
    frame = np.frombuffer(packet(payload=100), np.uint8)
    rows: npt.NDArray[np.uint8] = np.repeat(frame[np.newaxis], count, axis=0)
    rows[:, _SOURCE_AT + 1 : _SOURCE_AT + 4] = np.arange(count, dtype=">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    return [row.tobytes() for row in rows]


@contextmanager
def link() -> Iterator[tuple[str, socket.socket]]:
    """A namespace whose device ``seen`` is observed, and a socket whose frames arrive there."""
    netns = f"fgb{secrets.token_hex(3)}"
    linux.create_netns(netns)
    try:
        kernel.ip_batch(
            netns, ["link add seen type veth peer name far", "link set lo up", "link set seen up", "link set far up"]
        )
        with linux.in_netns(netns):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            sender.bind(("far", 0))
        with sender:
            yield netns, sender
    finally:
        linux.delete_netns(netns)


def options(netns: str, port: int, interval: str) -> list[str]:
    """Of an agent on the device."""
    return [f"--collector=127.0.0.1:{port}", f"--netns={netns}", "--interface=seen", "--http-port=0",
            f"--export-interval={interval}"]  # fmt: skip


def send(sender: socket.socket, what: list[bytes], seconds: float) -> None:
    """Frames after frames, evenly over so many seconds."""
    began, sent = time.monotonic(), 0
    while sent < len(what):
        due = min(len(what), int((time.monotonic() - began) / seconds * len(what)) + 1)
        for frame in what[sent:due]:
            sender.send(frame)
        sent = due
        time.sleep(_ROUND_S)


def share(running: AgentProcess, sender: socket.socket) -> float:
    """Processor time of the agent at ``FLOWS_PER_S``, as part of one core."""
    what = frames(FLOWS_PER_S * INTERVAL_S)
    send(sender, what, INTERVAL_S)
    began, before = time.monotonic(), cpu_s(running.process.pid)
    for _ in range(INTERVALS):
        send(sender, what, INTERVAL_S)
    return (cpu_s(running.process.pid) - before) / (time.monotonic() - began)


def anonymous_mib(pid: int) -> float:
    """Memory that is backed by no file (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    return 0.0


def evicted(running: AgentProcess) -> int:
    """Flows that it took from the kernel since it began."""
    counters: dict[str, int] = json.loads(running.get("/api/v1/ledger"))["components"][0]["counters"]
    return counters["eviction_flows"]


def peak(running: AgentProcess, sender: socket.socket) -> tuple[float, int]:
    """The most memory (MiB) while ``FLOWS`` flows an interval are taken and sent, and the most flows that it took at once."""
    what, mib, most, before = frames(FLOWS), 0.0, 0, evicted(running)
    thread = threading.Thread(target=lambda: [send(sender, what, INTERVAL_S) for _ in range(INTERVALS)])
    thread.start()
    while thread.is_alive():
        for _ in range(20):
            mib = max(mib, anonymous_mib(running.process.pid))
            time.sleep(_ROUND_S)
        now = evicted(running)
        most, before = max(most, now - before), now
    return mib, most


def start_s(netns: str, sender: socket.socket, folder: Path) -> float:
    """From starting the process to the first packet that it counts, while packets come all the time."""
    stop, what = threading.Event(), frames(1)

    def drip() -> None:
        while not stop.is_set():
            sender.send(what[0])
            time.sleep(0.001)

    to, thread = Collector(), threading.Thread(target=drip)
    thread.start()
    try:
        began_ns = time.time_ns()
        with agent(options(netns, to.port, "500ms"), folder):
            flows = until(lambda: found if len(found := to.decoded()[0]) else None, "a flow")
    finally:
        stop.set()
        thread.join()
        to.close()
    return float(flows.array("time_start_ns").min().astype(np.int64) - began_ns) / 1e9


def main() -> int:
    """Prints a line a measurement; 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as temporary, link() as (netns, sender):
        folder = Path(temporary)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        start_s(netns, sender, folder)  # leaves the sources compiled, as an installation does
        starts = sorted(start_s(netns, sender, folder) for _ in range(STARTS))
        print(f"start to first packet {starts[0]:.2f} s, median {starts[STARTS // 2]:.2f} (goal < {GOAL_START_S})", flush=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            with agent(options(netns, nobody.getsockname()[1], f"{INTERVAL_S}s"), folder) as running:
                idle_mib = anonymous_mib(running.process.pid)
                part = share(running, sender)
                print(
                    f"processor {part:.1%} of a core at {FLOWS_PER_S:,} flows/s, every {INTERVAL_S} s (goal < {GOAL_SHARE:.0%})"
                )
                mib, most = peak(running, sender)
    print(f"anonymous memory {mib:.0f} MiB at {most:,} flows an interval, {idle_mib:.0f} before (goal < {GOAL_MIB:.0f})")
    return 0 if starts[0] < GOAL_START_S and part < GOAL_SHARE and mib < GOAL_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
