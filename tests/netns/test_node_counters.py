# SPDX-License-Identifier: Apache-2.0
"""The kernel's own counters as the agent tells them, against ip, nstat, and what was sent."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent_kit import agent, collector, until
from flowgauge.agent import kernel_told, node_counters
from flowgauge.agent.kernel_told import AGAIN_S, TELL_S, KernelTold
from flowgauge.pipeline.exporters import ExporterDirectory
from node_kit import B, TwoPods, settled, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tool("nstat")]

NODE = "10.9.1.1"
TRACKED = "table ip t { chain c { type filter hook forward priority 0; ct state new counter accept; }; }"
Devices = dict[str, dict[str, dict[str, int]]]
"""Counters by name of a device and direction."""
UNKNOWN_PROTOCOL = b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x88\xb5" + bytes(46)


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(TRACKED) as built:
        yield built


def nstat(node: TwoPods, name: str) -> int:
    """A counter of the node, from its beginning."""
    found = json.loads(node.run("node", "nstat", "-asz", "--json", name))
    return int(found["kernel"][name])


def drop_some(node: TwoPods) -> None:
    """Three packets that the node's device of pod a drops, as no protocol takes them."""
    with node.socket("a", socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for _ in range(3):
            raw.send(UNKNOWN_PROTOCOL)
    settled(node)


def test_every_device_has_what_ip_shows(node: TwoPods) -> None:
    with node.socket("a", socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for _ in range(7):  # nobody takes such frames, so the node's end drops them
            raw.send(UNKNOWN_PROTOCOL)
    settled(node)

    def told() -> Devices:
        return {name: asdict(device) for name, device in node_counters.read(node.node).devices.items()}

    def shown() -> Devices:
        return {
            link["ifname"]: {
                way: {name: link["stats64"][side][name] for name in ("packets", "bytes", "errors", "dropped")}
                for way, side in (("received", "rx"), ("sent", "tx"))
            }
            for link in json.loads(node.run("node", "ip", "-s", "-j", "link"))
        }

    until(lambda: told() == shown(), "both look while nothing passes")
    assert told()["va"]["received"]["dropped"] >= 7


def fill_a_socket(node: TwoPods, sent: int = 300) -> int:
    """So many datagrams to a socket of the node that has no room for all; how many found none."""
    with (
        node.socket("node", socket.AF_INET, socket.SOCK_DGRAM) as slow,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as fast,
    ):
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.bind(("", 7001))
        for _ in range(sent):
            fast.sendto(bytes(500), (NODE, 7001))
        settled(node)
        slow.setblocking(False)
        received = 0
        with suppress(BlockingIOError):
            while slow.recv(1000):
                received += 1
    return sent - received


def fill_a_listener(node: TwoPods) -> None:
    """More connections than a listener of the node takes."""
    before = nstat(node, "TcpExtListenOverflows")
    clients = [node.socket("a", socket.AF_INET, socket.SOCK_STREAM) for _ in range(6)]
    with node.socket("node", socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("", 7002))
        listener.listen(0)
        for client in clients:
            client.setblocking(False)
            client.connect_ex((NODE, 7002))
        until(lambda: nstat(node, "TcpExtListenOverflows") > before, "connections that the listener has no room for")
        for client in clients:
            client.close()
    settled(node)


def test_datagrams_that_find_a_full_socket_are_counted(node: TwoPods) -> None:
    before = node_counters.read(node.node).queues["udp_receive"]
    lost = fill_a_socket(node)
    assert node_counters.read(node.node).queues["udp_receive"] - before == lost > 0


def test_connections_that_find_a_full_listener_are_counted(node: TwoPods) -> None:
    fill_a_listener(node)
    told = node_counters.read(node.node).queues
    assert told["listen"] == nstat(node, "TcpExtListenOverflows") > 0
    assert told["tcp_backlog"] == nstat(node, "TcpExtTCPBacklogDrop")
    assert told["tcp_receive"] == nstat(node, "TcpExtTCPRcvQDrop")


def test_connection_tracking_is_told_with_its_limit() -> None:
    """On a node of its own, where no entry of before ends meanwhile."""
    with two_pods(TRACKED) as node:
        before = node_counters.read(node.node)
        with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
            for port in range(7100, 7110):
                client.sendto(b"", (B, port))
        settled(node)
        now = node_counters.read(node.node)
        assert now.tracked - before.tracked == 10
        assert now.trackable == int(node.run("node", "cat", "/proc/sys/net/netfilter/nf_conntrack_max"))


def test_a_cpu_that_had_no_time_is_told_as_the_kernel_does() -> None:
    rows = [line.split() for line in Path("/proc/net/softnet_stat").read_text(encoding="ascii").splitlines()]
    least = sum(int(row[1], 16) for row in rows), sum(int(row[2], 16) for row in rows)
    told = node_counters.read("")
    assert least <= (told.cpu_dropped, told.cpu_squeezed)
    assert told.cpu_squeezed - least[1] < 1000


def test_a_namespace_that_is_gone_gives_nothing() -> None:
    assert node_counters.read("there-is-no-such-namespace") == node_counters.NodeCounters()


@pytest.mark.slow
def test_the_agent_tells_them_in_metrics_and_of_each_interface(node: TwoPods, tmp_path: Path) -> None:
    with collector() as to:
        options = ["--netns", node.node, "--node", "n1", "--collector", f"127.0.0.1:{to.port}", "--http-port", "0"]
        with agent(options, tmp_path) as running:
            running.ready()
            told, metrics = json.loads(running.get("/api/v1/interfaces")), running.get("/metrics")
    dropped = {one["name"]: one["counted"]["received"]["dropped"] for one in told["interfaces"]}
    assert dropped["va"] == node_counters.read(node.node).devices["va"].received.dropped
    lines = [line for line in metrics.splitlines() if line.startswith("flowgauge_agent_device_dropped_packets_total{")]
    shown = [line.split()[-1] for line in lines if 'direction="in"' in line and 'interface="va"' in line]
    assert [float(value) for value in shown] == [dropped["va"]]
    assert told["kernel"]["trackable"] == node_counters.read(node.node).trackable
    for name in ("socket_queue_overflows_total", "conntrack_entries", "conntrack_entries_max", "cpu_queue_squeezed_total"):
        assert f"\nflowgauge_agent_{name}{{" in metrics


@pytest.mark.slow
def test_collectors_are_told_what_the_kernel_shows(node: TwoPods, tmp_path: Path) -> None:
    drop_some(node)
    fill_a_socket(node)
    fill_a_listener(node)
    with collector() as to:
        options = ["--netns", node.node, "--node", "n1", "--collector", f"127.0.0.1:{to.port}", "--http-port", "0"]
        with agent([*options, "--export-interval", "500ms"], tmp_path):
            told: dict[str, dict[str, int]] = {}
            directory = ExporterDirectory(learn_kernel=lambda name, counters, _: told.setdefault(name, {}).update(counters))

            def both_kinds() -> bool:
                directory.learn(to.options())
                return {"conntrack_entries_max", "device_in_dropped_packets@va"} <= told.get("n1", {}).keys()

            until(both_kinds, "records of the node and of its devices")
    now = node_counters.read(node.node)
    assert told["n1"]["conntrack_entries_max"] == now.trackable
    assert told["n1"]["device_in_dropped_packets@va"] == now.devices["va"].received.dropped > 0
    assert told["n1"]["listen_overflows"] == nstat(node, "TcpExtListenOverflows") > 0
    assert told["n1"]["udp_receive_overflows"] == nstat(node, "UdpRcvbufErrors") > 0


@pytest.mark.slow
def test_what_came_just_before_the_agents_end_is_told_all_the_same(node: TwoPods, tmp_path: Path) -> None:
    """It tells every ten seconds, and once more when it stops."""
    with collector() as to:
        options = ["--netns", node.node, "--node", "n1", "--collector", f"127.0.0.1:{to.port}", "--http-port", "0"]
        told: dict[str, dict[str, int]] = {}
        directory = ExporterDirectory(learn_kernel=lambda name, counters, _: told.setdefault(name, {}).update(counters))

        def heard() -> int:
            directory.learn(to.options())
            return told.get("n1", {}).get("device_in_dropped_packets@va", 0)

        drop_some(node)
        with agent([*options, "--export-interval", "500ms"], tmp_path) as running:
            first = until(heard, "records of the devices")
            drop_some(node)
            assert running.stop() == 0
        until(lambda: heard() > first, "what came last")
    assert heard() == node_counters.read(node.node).devices["va"].received.dropped


def test_with_a_devices_counters_goes_what_they_were_before(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    """At first the same, then of one or two times before at which all is told: also whoever missed the first move knows it."""
    now_s = [1000.0]
    monkeypatch.setattr(kernel_told, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    told, names = KernelTold(node.node), {7: "va"}
    seen: list[tuple[int, int]] = []
    for step_s in (0.0, TELL_S, AGAIN_S, AGAIN_S):
        now_s[0] += step_s
        drop_some(node)
        told_now = told.due(names)
        seen.append((told_now.before[7][0], told_now.devices[7][0]))
    first = seen[0][0]
    assert seen == [(first, first), (first, first + 3), (first, first + 6), (first + 6, first + 9)]
