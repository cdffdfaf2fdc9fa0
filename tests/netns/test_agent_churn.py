# SPDX-License-Identifier: Apache-2.0
"""Devices, network namespaces and programs that come and go: each observes or is observed, and nothing of them stays behind."""

from __future__ import annotations

import gc
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flowgauge.agent.interface_choice import InterfaceChoice
from flowgauge.agent.interfaces import Interfaces
from flowgauge.agent.main import Agent
from flowgauge.agent.namespace import Namespace
from flowgauge.agent.settings import AgentSettings
from flowgauge.agent.watch import NetworkWatch
from flowgauge.config.model import Collector, Exporter
from flowgauge.demo.scene import kernel
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.runtime import linux

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.slow]

ROUNDS, PAIRS = 20, 25
"""1,000 devices in all: both ends of a pair count."""
WITHIN_S = 120.0


def until(held: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not held():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@contextmanager
def watched(program: FlowProgram, netns: str) -> Iterator[Interfaces]:
    linux.create_netns(netns)
    interfaces = Interfaces(program, InterfaceChoice([], ["lo"]), netns)
    watch = NetworkWatch(Namespace(netns), [interfaces])
    try:
        watch.start()
        yield interfaces
    finally:
        watch.stop()
        linux.delete_netns(netns)


@pytest.fixture
def program() -> Iterator[FlowProgram]:
    one = FlowProgram(ProgramOptions(max_flows=1024, cache_sets=64))
    one.load()
    yield one
    one.close()


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def anonymous_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def name() -> str:
    return f"fgt{os.getpid() % 100_000}{secrets.token_hex(3)}"


def one_round(netns: str, interfaces: Interfaces) -> None:
    """The same names each time: a device that comes again is another one."""
    names = [f"v{number}" for number in range(PAIRS)]
    kernel.ip_batch(netns, [f"link add {one} type veth peer name {one}p" for one in names])
    until(lambda: len(interfaces.attached) == 2 * PAIRS, "all are observed")
    kernel.ip_batch(netns, [f"link del {one}" for one in names])
    until(lambda: not interfaces.attached, "none is observed any more")


def test_a_thousand_devices_that_came_and_went_leave_nothing(program: FlowProgram) -> None:
    netns = name()
    with watched(program, netns) as interfaces:
        for _ in range(2):
            one_round(netns, interfaces)
        before, memory = descriptors(), anonymous_kib()
        for _ in range(ROUNDS - 2):
            one_round(netns, interfaces)
        assert descriptors() == before
        assert anonymous_kib() - memory < 20_000
        assert interfaces.unattached == 0
        assert interfaces.attach_failures == 0


def test_names_and_indexes_may_be_the_same_in_several_namespaces_that_come_and_go(program: FlowProgram) -> None:
    after: set[int] = set()
    for _ in range(5):
        first, second = name(), name()
        with watched(program, first) as one, watched(program, second) as other:
            for netns in (first, second):
                kernel.ip_batch(netns, ["link add same type veth peer name samep"])
            until(lambda: len(one.attached) == len(other.attached) == 2, "both ends in both")
            assert {(x.name, x.ifindex) for x in one.attached} == {(x.name, x.ifindex) for x in other.attached}
            kernel.ip_batch(first, ["link del same"])
            until(lambda: not one.attached, "gone in the first")
            assert len(other.attached) == 2
            other_hooks = [*other._attachments.values()]
        for hook in other_hooks:
            hook.detach()
        after.add(descriptors())
    assert len(after) == 1, "what the first round leaves is the program's claim to its stamp"


def shared_with_the_kernel() -> int:
    """Maps of eBPF programs in this process's memory."""
    gc.collect()
    return Path("/proc/self/maps").read_text().count("anon_inode:bpf-map")


def test_a_program_that_was_replaced_leaves_no_maps() -> None:
    """Those of the first one are its slots, 24 MB by default, and rings."""
    netns = name()
    linux.create_netns(netns)
    exporter, collector = Exporter(max_flows=1024, features=[]), Collector(address="127.0.0.1", port=9)
    settings = AgentSettings(netns=netns, node=netns, http_port=0, exporter=exporter, collector=collector)
    agent = Agent(settings)
    try:
        agent.start()
        maps, held = shared_with_the_kernel(), descriptors()
        for sampling in (2, 3):
            agent.apply(replace(settings, exporter=exporter.model_copy(update={"sampling": sampling})))
            agent.cycle(0.1)
            assert (shared_with_the_kernel(), descriptors()) == (maps, held)
    finally:
        agent.stop()
        linux.delete_netns(netns)
