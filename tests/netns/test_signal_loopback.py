# SPDX-License-Identifier: Apache-2.0
"""Connections over a pod's own loopback are told at that pod, though all pods have the same addresses and ports there."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebpf_kit import loaded
from flowgauge.agent import socket_events
from flowgauge.demo.scene import cgroups, kernel
from flowgauge.ebpf import abi
from flowgauge.ebpf.abi_settings import CHOICE_EXCLUDE, CHOICE_INCLUDE
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.flow.addresses import packed
from flowgauge.runtime import linux
from flowgauge.schema.enums import FLOW_DIRECTION, LOCAL_ENDS, SOCKET_EVENT
from node_kit import A, TwoPods, two_pods
from signal_kit import batch, events, one, rows, told

pytestmark = [pytest.mark.root, pytest.mark.bpf]

V4, V6 = "127.0.0.1", "::1"
TALK = """
import os, socket, sys
host, port, source = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()
listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
child = os.fork()
if child == 0:
    accepted, _ = listener.accept()
    accepted.recv(1)
    accepted.sendall(b"hello")
    accepted.recv(1)
    os._exit(0)
listener.close()
with socket.create_connection((host, port), source_address=(host, source)) as client:
    client.sendall(b"?")
    client.recv(5)
os.waitpid(child, 0)
try:
    socket.create_connection((host, port), source_address=(host, source + 1))
except ConnectionRefusedError:
    print(os.getpid(), child)
"""
"""A server's worker and a client that talk over loopback, then one that nobody answers; their process ids."""
TOLD = [
    ("listening", "", "dst"),
    ("accepted", "established", "dst"), ("connected", "established", "src"),
    ("closed", "closed", "dst"), ("closed", "closed", "src"), ("failed", "refused", "src"),
]  # fmt: skip


@dataclass(slots=True)
class Pod:
    """A pod's network namespace, and its identity by control group."""

    netns: str
    folder: Path
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    client: int = 0
    server: int = 0

    def talk(self, port: int, source: int, host: str = V4) -> None:
        """Lets the processes of two containers talk until both have ended."""
        group = self.folder / f"pod{self.uid}" / secrets.token_hex(32)
        group.mkdir(parents=True)
        with linux.in_netns(self.netns):
            started = subprocess.Popen(
                [sys.executable, "-c", TALK, host, str(port), str(source)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        (group / "cgroup.procs").write_text(str(started.pid))
        said, _ = started.communicate("go\n", timeout=60)
        self.client, self.server = map(int, said.split())


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


@pytest.fixture
def folder() -> Iterator[Path]:
    """A control group with room for pods."""
    root = cgroups.mount_point()
    assert root is not None
    made = root / f"fgt{os.getpid()}{secrets.token_hex(3)}"
    made.mkdir()
    yield made
    cgroups.remove(made)


@contextmanager
def stranger() -> Iterator[str]:
    """A network namespace that nothing connects with any other."""
    name = f"fgt{os.getpid() % 100_000}{secrets.token_hex(3)}"
    linux.create_netns(name)
    try:
        kernel.ip_batch(name, ["link set lo up"])
        yield name
    finally:
        linux.delete_netns(name)


@contextmanager
def watching(node: TwoPods, **options: Any) -> Iterator[FlowProgram]:
    """The program as an agent in the node's namespace loads it, with the signals alone."""
    netns = linux.netns_path(node.node)
    with loaded(**{"max_flows": 4096, "process": True, "sockets": True, "rtt": True, "netns": netns, **options}) as program:
        program.attach_signals()
        yield program
        program.detach_signals()


def of_pod(told: list[dict[str, Any]], pod: Pod) -> list[dict[str, Any]]:
    return [row for row in told if row["src_pod_uid"] == pod.uid]


def test_two_pods_with_equal_ends_at_once_are_told_apart(node: TwoPods, folder: Path) -> None:
    pods = [Pod(node.netns[place], folder) for place in ("a", "b")]
    with watching(node) as program:
        for pod in pods:
            pod.talk(8001, 40_000)
        found = told(program)
    for pod in pods:
        mine = of_pod(found, pod)
        assert sorted(events(mine)) == sorted(TOLD)
        assert {row["src_addr"] for row in mine} == {V4}
        connected = one(mine, src_port=40_000, socket_event=SOCKET_EVENT.index("connected"))
        assert (connected["src_pid"], connected["dst_pid"], connected["dst_port"]) == (pod.client, pod.server, 8001)
        accepted = one(mine, src_port=8001, socket_event=SOCKET_EVENT.index("accepted"))
        assert accepted["dst_pid"] == pod.client, "the other pod's client has the same address and port"
        assert {row["dst_pod_uid"] for row in mine} == {pod.uid}, "whoever is at the other end is of the same pod"
        assert connected["dst_container"] == connected["src_container"] != ""


def test_a_refused_connection_has_its_pod_at_both_ends_and_no_process_at_the_other(node: TwoPods, folder: Path) -> None:
    pod = Pod(node.netns["a"], folder)
    with watching(node) as program:
        pod.talk(8002, 40_010)
        flows = batch(program)
    at = [row for row in range(len(flows)) if flows.names("src_pod_uid").to_list()[row] == pod.uid]
    mine = rows(flows.take(np.array(at, np.intp)))
    refused = one(mine, socket_event=SOCKET_EVENT.index("failed"))
    assert (refused["src_pid"], refused["dst_pid"], refused["dst_pod_uid"]) == (pod.client, 0, pod.uid)
    assert {LOCAL_ENDS[flows.array("local_ends")[row]] for row in at} == {"both"}
    assert {FLOW_DIRECTION[flows.array("flow_direction")[row]] for row in at} == {"inner"}


def test_over_ipv6_too(node: TwoPods, folder: Path) -> None:
    pod = Pod(node.netns["a"], folder)
    with watching(node) as program:
        pod.talk(8003, 40_020, V6)
        mine = of_pod(told(program), pod)
    assert sorted(events(mine)) == sorted(TOLD)
    assert {row["src_addr"] for row in mine} == {V6}


def test_signals_of_flows_are_not_mixed_with_a_pods_loopback(node: TwoPods, folder: Path) -> None:
    """No hook counts packets there: what sockets know of their round trips would be the flow of another pod's equal ends."""
    pod = Pod(node.netns["a"], folder)
    with watching(node) as program:
        pod.talk(8004, 40_030)
        evicted = program.evict()
    for keys in (evicted.sockets.keys, evicted.owners.keys):
        assert not np.isin(keys["src_port"][keys["src_addr"][:, 12] == 127], [8004, 40_030]).any()
    assert np.isin([8004, 40_030], evicted.events["key"]["src_port"]).all()


def test_the_nodes_own_loopback_is_the_nodes(node: TwoPods) -> None:
    with watching(node, netns=Path("/proc/thread-self/ns/net")) as program:
        with socket.create_server((V4, 0)) as listener, socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            accepted.close()
            port, server = client.getsockname()[1], client.getpeername()[1]
        found = program.evict().events
    ends = (found["key"]["src_port"] == port) & (found["key"]["dst_port"] == server)
    mine = found[ends & (found["netns"] == 0)]
    assert mine["kind"].tolist() == [SOCKET_EVENT.index("connected"), SOCKET_EVENT.index("closed")]


def test_a_namespace_that_belongs_to_no_pod_is_told_where_the_machine_is_one_node(node: TwoPods, folder: Path) -> None:
    with stranger() as netns, watching(node) as program:
        pod = Pod(netns, folder)
        pod.talk(8005, 40_040)
        found = of_pod(told(program), pod)
    assert sorted(events(found)) == sorted(TOLD)


def test_nodes_that_share_a_kernel_tell_each_of_their_own_pods(node: TwoPods, folder: Path) -> None:
    """A cable leads from pod to node; a namespace without one is no node's."""
    with ExitStack() as stack:
        other = stack.enter_context(two_pods())
        mine, theirs = (stack.enter_context(watching(one, shares_kernel=True)) for one in (node, other))
        pods = [Pod(node.netns["a"], folder), Pod(other.netns["a"], folder), Pod(stack.enter_context(stranger()), folder)]
        for pod in pods:
            pod.talk(8006, 40_050)
        found = [told(program) for program in (mine, theirs)]
    assert [[len(of_pod(each, pod)) for pod in pods] for each in found] == [[len(TOLD), 0, 0], [0, len(TOLD), 0]]


@pytest.mark.parametrize(("port", "bits", "told_of"), [
    (8007, CHOICE_INCLUDE, [True, False]), (8008, CHOICE_EXCLUDE, [False, True]),
])  # fmt: skip
def test_the_choice_of_pods_holds_for_their_loopback(
    node: TwoPods, folder: Path, port: int, bits: int, told_of: list[bool]
) -> None:
    pods = [Pod(node.netns[place], folder) for place in ("a", "b")]
    with watching(node, choice=bits) as program:
        program.choose({packed(A): bits})
        for pod in pods:
            pod.talk(port, 40_000 + 10 * (port - 8000))
        found = told(program)
    assert [bool(of_pod(found, pod)) for pod in pods] == told_of


@pytest.mark.parametrize("bits", [CHOICE_INCLUDE, CHOICE_EXCLUDE])
def test_a_pod_without_ipv4_is_chosen_by_its_other_address(node: TwoPods, folder: Path, bits: int) -> None:
    with stranger() as netns, watching(node, choice=bits) as program:
        kernel.ip_batch(netns, ["link add eth0 type veth peer name eth1", "addr add fd00:7::2/64 dev eth0 nodad"])
        program.choose({packed("fd00:7::2"): bits})
        pod = Pod(netns, folder)
        pod.talk(8010, 40_100)
        found = told(program)
    assert bool(of_pod(found, pod)) == (bits == CHOICE_INCLUDE)


def test_a_pods_loopback_is_kept_among_nodes_that_share_a_kernel() -> None:
    def elsewhere(keys: Any) -> Any:
        return np.zeros(len(keys), np.uint8)

    some = np.zeros(2, abi.SOCKET_EVENT)
    some["netns"] = [0, 4_026_532_000]
    assert socket_events.of_this_node(some, elsewhere)["netns"].tolist() == [4_026_532_000]
