# SPDX-License-Identifier: Apache-2.0
"""The machine's clock is set, and the machine sleeps, while an agent observes: here nobody else goes by that clock.

What is asked and answered goes across each step. Flows after it stand at the time that it shows then, what was measured knows
nothing of it, no packet is missing or counts twice, and exports go on at their interval.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from guest_devices import Finding

from agent_kit import Collector, collector, until
from dns_kit import answer, query
from flowgauge.agent.capture_program import CaptureProgram
from flowgauge.agent.main import Agent, run_cycles
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Collector as CollectorSection
from flowgauge.config.model import Exporter, Feature
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.ebpf.ticks import Ticks
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime import linux, logs
from node_kit import FAR, B, TwoPods, settled, two_pods

STEPS_S = {"five seconds back": -5, "an hour back": -3600, "an hour forward": 3600, "a day forward": 86_400,
           "a day back": -86_400}  # fmt: skip
SENT = 20
"""Datagrams after each step."""
DELAY_S = 0.3
"""How long answers take, while the clock is set."""
SLEEP_S = 20
INTERVAL_S = 1.0
DEVICES = ("va", "vb", "eth0")
FEATURES = [Feature.RTT, Feature.DNS, Feature.SERVER_TIME, Feature.SOCKETS]
_TO_AND_FRO_S = (7200, -7200) * 3
_NS = 1_000_000_000
_FIRST_PORT = 20_000
_LATE_NS = _NS
"""How late an emulated timer may be where the host has other work: mostly not by a tick, seen were 190 ms."""
_RTC_ALARM, _STATE = Path("/sys/class/rtc/rtc0/wakealarm"), Path("/sys/power/state")


@dataclass(slots=True)
class Observed:
    """A node with a running agent, where its flows go, and how many datagrams we sent."""

    node: TwoPods
    agent: Agent
    to: Collector
    sent: int = 0

    def flows(self, dst_port: int) -> FlowBatch:
        """Flows to a port, without events of sockets."""
        found, _, _ = self.to.decoded()
        events = found.array("socket_event") if "socket_event" in found else np.zeros(len(found))
        return found.take((found.array("dst_port") == dst_port) & (events == 0))

    def latencies_ns(self) -> list[int]:
        """Of the answers of DNS until now."""
        flows = self.flows(53)
        return [one for one in flows.array("dns_latency_ns").tolist() if one] if len(flows) else []

    @property
    def steps(self) -> int:
        """How often the agent noticed that the clock was set."""
        return self.agent.ledger.snapshot().get("clock_steps", 0)

    def packets(self, dst_port: int, proto: int) -> int:
        """How many there are in them."""
        found = self.flows(dst_port)
        return int(found.array("packets")[found.array("proto") == proto].sum())


@contextmanager
def _observed() -> Iterator[Observed]:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with two_pods() as node, collector() as to:
        settings = AgentSettings(
            netns=node.node, node="node-a", http_port=0, log_level="warning", template_refresh_s=INTERVAL_S,
            collector=CollectorSection(address="127.0.0.1", port=to.port),
            exporter=Exporter(export_interval=f"{INTERVAL_S:.0f}s", features=FEATURES, interfaces=[*DEVICES]),
        )  # fmt: skip
        logs.configure(settings.log_level)
        agent, stop = Agent(settings), threading.Event()
        agent.start()
        cycling = threading.Thread(target=run_cycles, args=(agent, stop))
        cycling.start()
        try:
            yield Observed(node, agent, to)
        finally:
            stop.set()
            cycling.join()
            agent.stop()


def findings() -> Iterator[Finding]:
    """One after the other; nothing on a machine that others use."""
    if "FLOWGAUGE_GUEST" not in os.environ:
        yield "clock: not tried", True, "only an emulated machine's clock may be set"
        return
    with _observed() as scene:
        settled(scene.node)
        for number, (name, by_s) in enumerate(STEPS_S.items()):
            yield from _across(scene, name, _FIRST_PORT + number, lambda by_s=by_s: _set_clock(by_s), by_s)
        yield "clock: steps are counted", scene.steps == len(STEPS_S), scene.steps
        yield from _exports(scene)
        if _RTC_ALARM.exists() and "mem" in _STATE.read_text().split():
            yield from _across(scene, "sleep", _FIRST_PORT + 100, _sleep, SLEEP_S)
        yield from _without_ebpf(scene)
    found, _, _ = scene.to.decoded()
    ours = (found.array("proto") == 17) & np.isin(found.array("dst_port"), np.arange(_FIRST_PORT, _FIRST_PORT + 1000))
    packets, sent = int(found.array("packets")[ours].sum()), scene.sent
    yield "clock: every datagram counts once, whenever it was told", packets == sent, f"{packets} of {sent}"
    span = found.array("time_end_ns") - found.array("time_start_ns")
    yield "clock: nothing ends before it begins, or lasts long", span.min() >= 0 and span.max() < 60 * _NS, int(span.max())


def _across(scene: Observed, name: str, port: int, moved: Callable[[], None], by_s: int) -> Iterator[Finding]:
    """A question of DNS and one over TCP, whose answers come behind a step of the clock; then datagrams."""
    steps, answers = scene.steps, len(scene.latencies_ns())
    waited_s = _asked(scene.node, port, moved)
    tick_ns = Ticks.at(0, 0).tick_ns
    with scene.node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
        begun_ns = time.time_ns()
        for _ in range(SENT):
            client.sendto(b"now", (FAR, port))
            scene.sent += 1
            time.sleep(0.01)
        ended_ns = time.time_ns()
    until(lambda: scene.packets(port, 17) >= SENT, name)
    found = scene.flows(port)
    sent = found.take(found.array("proto") == 17)
    yield f"clock: {name}: packets", int(sent.array("packets").sum()) == SENT, f"{by_s} s"
    early, late = begun_ns - int(sent.array("time_start_ns").min()), int(sent.array("time_end_ns").max()) - ended_ns
    yield (
        f"clock: {name}: times right after it",
        max(early, late) <= _LATE_NS,
        f"{early}, {late} ns, a tick is {tick_ns} ns",
    )
    until(lambda: len(scene.latencies_ns()) > answers, f"{name}: an answer")
    until(lambda: scene.steps > steps, f"{name}: noticed")
    latency_s = scene.latencies_ns()[-1] / 1e9
    yield f"clock: {name}: how long DNS took", DELAY_S <= latency_s <= waited_s["dns"], f"{latency_s}, {waited_s['dns']}"
    server = found.take(found.array("proto") == 6)
    took_s = server.array("server_time_max_ns").max() / 1e9
    yield f"clock: {name}: how long a server took", DELAY_S <= took_s <= waited_s["tcp"], f"{took_s}, {waited_s['tcp']}"
    rtt_s = server.array("rtt_max_ns").max() / 1e9
    yield f"clock: {name}: round-trip times", 0 < rtt_s < waited_s["tcp"], rtt_s


def _asked(node: TwoPods, port: int, moved: Callable[[], None]) -> dict[str, float]:
    """How long pod a waited for both, by the monotonic clock."""
    question = query(4711, "shop.example.org")
    with (
        node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as dns,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as asking,
        node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener,
        node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        dns.bind((B, 53))
        listener.bind((B, port))
        listener.listen()
        client.connect((B, port))
        accepted, _ = listener.accept()
        with accepted:
            since = time.monotonic()
            asking.sendto(question, (B, 53))
            _, peer = dns.recvfrom(2000)
            client.sendall(b"SELECT 1")
            accepted.recv(100)
            moved()
            time.sleep(DELAY_S)
            dns.sendto(answer(question), peer)
            asking.recv(2000)
            waited_s = {"dns": time.monotonic() - since}
            accepted.sendall(b"1")
            client.recv(100)
            return waited_s | {"tcp": time.monotonic() - since}


def _exports(scene: Observed) -> Iterator[Finding]:
    """How often the agent told of itself while the clock is set to and fro."""
    before, since = _told(scene), time.monotonic()
    for by_s in _TO_AND_FRO_S:
        _set_clock(by_s)
        time.sleep(INTERVAL_S)
        _set_clock(-by_s)
        time.sleep(INTERVAL_S)
    passed_s, times = time.monotonic() - since, _told(scene) - before
    yield "clock: exports go on", 0.5 * passed_s <= times / INTERVAL_S <= passed_s + 2, f"{times} in {passed_s:.1f} s"


def _without_ebpf(scene: Observed) -> Iterator[Finding]:
    """A packet socket, whose frames the kernel stamps by the clock that is set."""
    node, sent = scene.node, 3 * SENT + 1
    capture = CaptureProgram(ProgramOptions(netns=linux.netns_path(node.node), max_flows=4096, nat=False))
    capture.load()
    capture.attach(node.ifindex("va"))
    with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
        begun_ns = time.monotonic_ns()
        for by_s in (-3600, 7200, -3600):
            for _ in range(SENT):
                client.sendto(b"now", (FAR, _FIRST_PORT + 200))
            time.sleep(DELAY_S)
            _set_clock(by_s)
        client.sendto(b"now", (FAR, _FIRST_PORT + 200))
    scene.sent += sent
    settled(node)
    flows = capture.evict()
    (row,) = flows.values[flows.keys["dst_port"] == _FIRST_PORT + 200]
    capture.close()
    first_ns, last_ns, now_ns = int(row["first_tick"]), int(row["last_tick"]), time.monotonic_ns()
    yield "clock: without eBPF: packets", int(row["packets"]) == sent, row["packets"]
    times = first_ns - begun_ns, last_ns - first_ns, now_ns - last_ns
    yield "clock: without eBPF: times", times[0] >= -_NS // 100 and times[1] >= 3 * DELAY_S * _NS and times[2] > 0, times


def _told(scene: Observed) -> int:
    return sum("kernel_packets_seen" in record for record in scene.to.decoded()[2])


def _set_clock(by_s: int) -> None:
    time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + by_s * _NS)


def _sleep() -> None:
    """Suspends the machine, until its alarm clock rings."""
    _RTC_ALARM.write_text("0")
    _RTC_ALARM.write_text(f"+{SLEEP_S}")
    _STATE.write_text("mem")
