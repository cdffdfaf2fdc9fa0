# SPDX-License-Identifier: Apache-2.0
"""The scene's network: fast up and down, translation, counters, faults, and cleaning up after kill -9."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import quiet_kit as quiet
from flowgauge.demo.scene import addresses, cgroups, counters, faults, journal, processes
from flowgauge.demo.scene.network import Network
from flowgauge.demo.scene.pods import PodPlace, add_pod
from flowgauge.demo.scene.services import Service, Translation
from flowgauge.runtime import linux

pytestmark = [pytest.mark.root, pytest.mark.tool("ip", "nft", "nsenter", "setpriv")]

VIP = Service("web", "10.96.0.80", 80, 8080)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as scene:
        yield scene.up()


@pytest.fixture
def pods(network: Network) -> list[PodPlace]:
    nodes = list(network.nodes.values())
    return [add_pod(network, nodes[index % 3], f"pod-{index:05d}") for index in range(3)]


def _serve(pod: PodPlace, port: int, answer: bytes) -> socket.socket:
    """Answers every connection to ``pod`` with ``answer``, from a thread."""
    with linux.in_netns(pod.netns):
        listener = socket.create_server((pod.address, port))

    def loop() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(answer)

    threading.Thread(target=loop, daemon=True).start()
    return listener


def _ask(netns: str, address: str, port: int, source: str = "", within_s: float = 30) -> bytes:
    with linux.in_netns(netns):
        connection = socket.socket()
    with connection:
        connection.settimeout(within_s)
        if source:
            connection.bind((source, 0))
        connection.connect((address, port))
        return connection.recv(100)


def test_a_whole_scene_comes_up_and_goes_down_fast(capsys: pytest.CaptureFixture[str]) -> None:
    """Three nodes and twelve pods; the goals are 1 s and 0.2 s, printed so that a slow machine can be seen."""
    start = time.monotonic()
    with Network() as scene:
        scene.up()
        nodes = list(scene.nodes.values())
        for index in range(12):
            add_pod(scene, nodes[index % 3], f"pod-{index:05d}")
        up_s = time.monotonic() - start
        start = time.monotonic()
    with capsys.disabled():
        print(f" up {up_s:.2f} s, down {time.monotonic() - start:.3f} s", end="")
    assert not list(Path("/run/netns").glob(f"fg-{scene.id}-*"))
    assert not scene.folder.exists()
    assert scene.cgroup is None or not scene.cgroup.exists()


def test_pods_of_different_nodes_reach_each_other(pods: list[PodPlace]) -> None:
    _serve(pods[2], 8080, b"hello")
    assert _ask(pods[0].netns, pods[2].address, 8080) == b"hello"


def test_a_node_speaks_to_its_pod_from_its_own_address(pods: list[PodPlace]) -> None:
    with linux.in_netns(pods[0].netns):
        listener = socket.create_server((pods[0].address, 8080))
    with linux.in_netns(pods[0].node.netns):
        probe = socket.create_connection((pods[0].address, 8080), timeout=30)
    with listener, probe:
        assert listener.accept()[1][0] == pods[0].node.address


def test_a_cluster_ip_reaches_both_backends_and_only_present_ones(network: Network, pods: list[PodPlace]) -> None:
    _serve(pods[1], 8080, b"one")
    _serve(pods[2], 8080, b"two")
    translation = Translation.cluster_ips(network)
    VIP.endpoints = [pods[1].address, pods[2].address]
    translation.put(VIP)
    assert {_ask(pods[0].netns, VIP.address, VIP.port) for _ in range(40)} == {b"one", b"two"}
    VIP.endpoints = [pods[2].address]
    translation.put(VIP)
    assert {_ask(pods[0].netns, VIP.address, VIP.port) for _ in range(10)} == {b"two"}


def test_the_route_keeps_the_address_of_the_outside_client(network: Network, pods: list[PodPlace]) -> None:
    with linux.in_netns(pods[1].netns):
        listener = socket.create_server((pods[1].address, 8080))
    Translation.routes(network).put(Service("route", addresses.ROUTE, 80, 8080, endpoints=[pods[1].address]))
    with linux.in_netns(network.outside):
        client = socket.socket()
    with listener, client:
        client.settimeout(60)
        client.bind((addresses.YOU, 0))
        client.connect((addresses.ROUTE, 80))
        assert listener.accept()[1][0] == addresses.YOU


def test_interface_counters_count_the_packets_of_the_wire(pods: list[PodPlace]) -> None:
    """With offloads off, as the scene has them, 1 MB is at least 1 MB / 1448 B packets at the node's end of the veth."""
    before = pods[1].traffic()
    _serve(pods[0], 8080, bytes(1_000_000))
    with linux.in_netns(pods[1].netns):
        client = socket.create_connection((pods[0].address, 8080))
    with client:
        while client.recv(65536):
            pass
    seen = pods[1].traffic().since(before)
    assert seen.tx_packets >= 1_000_000 / 1448
    assert seen.layer3_bytes == seen.layer2_bytes - 14 * seen.packets


def test_frames_that_are_not_ip_are_counted_by_nftables(pods: list[PodPlace]) -> None:
    for netns in (pods[0].node.netns, pods[0].netns):
        quiet.neighbours(netns)
    counters.count_not_ip(pods[0].node.netns, pods[0].device)
    before = pods[0].traffic()
    _serve(pods[0], 8080, b"x")
    assert _ask(pods[0].node.netns, pods[0].address, 8080) == b"x"
    not_ip = counters.not_ip(pods[0].node.netns)[pods[0].device]
    assert (not_ip.rx_packets, not_ip.tx_packets) == (2, 2), "the node asks for the pod, the pod for its gateway"
    assert pods[0].traffic().since(before).packets > not_ip.packets


def test_segments_sent_are_the_kernels_count(pods: list[PodPlace]) -> None:
    before = counters.tcp_segments_sent(pods[1].netns)
    _serve(pods[0], 8080, b"x")
    _ask(pods[1].netns, pods[0].address, 8080)
    assert counters.tcp_segments_sent(pods[1].netns).since(before).new > 0


def test_an_address_can_be_given_to_another_pod(network: Network, pods: list[PodPlace]) -> None:
    address, node = pods[0].address, pods[0].node
    pods[0].remove()
    successor = add_pod(network, node, "successor-abcde", address=address)
    _serve(successor, 8080, b"new")
    assert _ask(pods[1].netns, address, 8080) == b"new"


def test_faults_disturb_only_while_they_last(pods: list[PodPlace]) -> None:
    _serve(pods[0], 8080, b"x")
    with faults.loss(pods[0].node.netns, 100, "tcp dport 8080"), pytest.raises(TimeoutError):
        _ask(pods[1].netns, pods[0].address, 8080, within_s=2)
    assert _ask(pods[1].netns, pods[0].address, 8080) == b"x"
    with faults.cut(pods[0]), pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        _ask(pods[1].netns, pods[0].address, 8080, within_s=2)
    assert _ask(pods[1].netns, pods[0].address, 8080) == b"x"
    with faults.slow(pods[0].node.netns, pods[0].device, "20mbit"):
        assert _ask(pods[1].netns, pods[0].address, 8080) == b"x"


def test_a_program_runs_in_its_pod_without_privileges(network: Network, pods: list[PodPlace]) -> None:
    resolv = network.folder / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.53\n")
    log = network.folder / "log"
    script = "id -u; cat /etc/resolv.conf /proc/self/cgroup; grep CapEff /proc/self/status; cat /proc/self/net/dev; cat"
    program = processes.Program(["sh", "-c", script], processes.User.named("nobody"), input=b"secret")
    place = pods[0]
    process = processes.start(network.journal, program, log, netns=place.netns, cgroup=place.cgroup, resolv_conf=resolv)
    assert process.wait(60) == 0
    text = log.read_text()
    assert text.splitlines()[0] == str(processes.User.named("nobody").uid)
    assert "nameserver 192.0.2.53" in text
    assert "CapEff:\t0000000000000000" in text
    assert "eth0" in text
    assert text.endswith("secret")
    assert place.cgroup is None or f"/{place.cgroup.name}\n" in text


_KILLED = """
import time
from flowgauge.demo.scene.network import Network
from flowgauge.demo.scene.pods import add_pod
from flowgauge.demo.scene.processes import Program, User, start
scene = Network().up()
pod = add_pod(scene, scene.nodes["node-a"], "pod-00000")
program = Program(["sleep", "600"], User.named("nobody"))
process = start(scene.journal, program, scene.folder / "log", netns=pod.netns, cgroup=pod.cgroup)
print(scene.id, process.pid, flush=True)
time.sleep(600)
"""


def test_the_next_run_removes_what_a_killed_one_left() -> None:
    owner = subprocess.Popen([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    scene_id, pid = owner.stdout.readline().split()
    assert list(Path("/run/netns").glob(f"fg-{scene_id}-*"))
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    journal.sweep()
    assert not list(Path("/run/netns").glob(f"fg-{scene_id}-*"))
    assert not list(Path("/tmp").glob(f"flowgauge-scene-{scene_id}*"))
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()
    root = cgroups.mount_point()
    assert root is None or not (root / f"flowgauge-{scene_id}").exists()


def test_a_living_scene_is_not_swept(network: Network) -> None:
    journal.sweep()
    assert (Path("/run/netns") / network.underlay).exists()
    assert journal.start_time(os.getpid()) > 0
