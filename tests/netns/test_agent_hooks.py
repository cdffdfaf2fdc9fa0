# SPDX-License-Identifier: Apache-2.0
"""Hooks on devices: both kinds, and what is left when a process is killed."""

from __future__ import annotations

import array
import errno
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent_kit import until
from ebpf_kit import flows, loaded, touched
from flowgauge.ebpf import bpf_syscall, clsact
from flowgauge.ebpf.bpf_syscall import Direction
from flowgauge.runtime import linux
from node_kit import A, B, TwoPods, observed, settled, transfer, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

_PROG_QUERY = 16


@pytest.fixture
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def tcx_programs(node: TwoPods, device: str) -> int:
    """How many programs hang on a device's TCX hooks (bpf(2), BPF_PROG_QUERY)."""
    with linux.in_netns(node.node):
        ifindex = socket.if_nametoindex(device)
        total = 0
        for direction in Direction:
            identities = array.array("I", [0] * 16)
            attributes = struct.pack("=IIIIQI", ifindex, direction, 0, 0, identities.buffer_info()[0], 16)
            total += struct.unpack_from("=I", bpf_syscall.bpf(_PROG_QUERY, attributes)[1], 24)[0]  # type: ignore[arg-type]
    return total


def filters(node: TwoPods, device: str) -> list[clsact.Filter]:
    with linux.in_netns(node.node), clsact.Traffic() as traffic:
        return traffic.filters(socket.if_nametoindex(device))


def qdiscs(node: TwoPods, device: str) -> list[str]:
    return [line.split()[1] for line in node.run("node", "tc", "qdisc", "show", "dev", device).splitlines()]


@pytest.mark.parametrize("tcx", [True, False], ids=["tcx", "clsact"])
def test_both_kinds_count_the_same_and_leave_nothing(node: TwoPods, tcx: bool) -> None:  # noqa: FBT001
    with observed(node, tcx=tcx) as watch:
        assert {attachment.kind for attachment in watch.attachments.values()} == {"tcx" if tcx else "clsact"}
        transfer(node, ("a", "b"), (B, 9000), 100_000)
        rows, seen = watch.flows(), touched(watch.program.counters())
    connection = [row for row in rows if row["proto"] == 6]
    assert sorted((row["src_addr"], row["dst_addr"]) for row in connection) == [(A, B), (B, A)]
    assert all(len(row["observed"]) == 2 for row in connection)
    assert seen["seen_before"] == sum(row["packets"] for row in connection)
    assert seen["in_flows"] == sum(row["packets"] for row in rows)
    assert tcx_programs(node, "va") == 0
    assert qdiscs(node, "va") == ["noqueue"]


def test_clsact_filters_of_others_stay_and_see_the_packets_too(node: TwoPods) -> None:
    with loaded(salt=0x9998) as other, observed(node, ["va"], tcx=False) as watch:
        with linux.in_netns(node.node), clsact.Traffic() as traffic:
            traffic.add_filter(node.ifindex("va"), Direction.INGRESS, other.fd("flow_ingress"), "somebody else's")
        transfer(node, ("a", "b"), (B, 9000), 1000)
        watch.detach()
        assert "clsact" in qdiscs(node, "va")
        left = node.run("node", "tc", "filter", "show", "dev", "va", "ingress")
        assert "somebody else's" in left
        assert "flowgauge" not in left
        ours, theirs = touched(watch.program.counters()), touched(other.counters())
    assert theirs["in_flows"] >= 4
    assert ours["in_flows"] > theirs["in_flows"]


def test_a_filter_of_another_kind_in_the_first_place_does_not_keep_ours_away(node: TwoPods) -> None:
    node.run("node", "tc", "qdisc", "add", "dev", "va", "clsact")
    never = ["match", "ip", "protocol", "255", "0xff", "classid", "1:1"]
    node.run("node", "tc", "filter", "add", "dev", "va", "ingress", "protocol", "ip", "prio", "1", "u32", *never)
    with observed(node, ["va"], tcx=False) as watch:
        assert sorted(found.priority > 1 for found in filters(node, "va")) == [False, True]
        transfer(node, ("a", "b"), (B, 9000), 1000)
        assert {row["src_addr"] for row in watch.flows() if row["proto"] == 6} == {A, B}


def test_a_successor_takes_over_without_a_gap(node: TwoPods) -> None:
    """Both are attached for a moment, and each packet is counted by one of them."""
    for tcx in (True, False):
        with loaded(salt=0x4321, tcx=tcx) as successor, observed(node, ["va"], salt=0x4321, tcx=tcx) as watch:
            second = successor.attach(node.ifindex("va"))
            transfer(node, ("a", "b"), (B, 9000), 500_000)
            watch.detach()
            transfer(node, ("a", "b"), (B, 9000), 500_000)
            second.detach()
            first, then = touched(watch.program.counters()), touched(successor.counters())
            packets = sum(int(program.evict().values["packets"].sum()) for program in (watch.program, successor))
        assert then["seen"] > first.get("seen", 0) > 300
        assert first.get("in_flows", 0) + then["in_flows"] == packets
        assert first.get("in_flows", 0) + first.get("not_ip", 0) == first["seen"] - first.get("seen_before", 0)
        assert then.get("seen_before", 0) + first.get("seen_before", 0) >= 300


@pytest.mark.parametrize("tcx", [True, False], ids=["tcx", "clsact"])
def test_quick_hooks_settle_while_packets_pass(node: TwoPods, tcx: bool) -> None:  # noqa: FBT001
    """Filters at once, links in their places later: each packet is in a flow once, as the device itself counted."""
    with loaded(tcx=tcx) as program, linux.in_netns(node.node):
        before = settled(node)["va"]
        quick = {name: program.attach(node.ifindex(name), quick=True) for name in ("va", "vb")}
        assert {(one.kind, one.lasting) for one in quick.values()} == {("clsact", False)}
        sending = threading.Thread(target=transfer, args=(node, ("a", "b"), (B, 9000), 20_000_000))
        sending.start()
        lasting = {name: program.settle(node.ifindex(name), one) for name, one in quick.items()}
        sending.join()
        passed = settled(node)["va"]
        rows, not_ip = flows(program.evict()), program.not_ip().get(node.ifindex("va"))
        assert {(one.kind, one.lasting) for one in lasting.values()} == {("tcx" if tcx else "clsact", True)}
        assert bool(filters(node, "va")) is not tcx, "the filters are gone where links are"
        assert ("clsact" in qdiscs(node, "va")) is not tcx
        for one in lasting.values():
            one.detach()
    at_va = {f"{node.ifindex('va')} {way}" for way in ("in", "out")}
    counted = sum(row["packets"] for row in rows if at_va.intersection(row["observed"]))
    frames = passed.met - before.met
    twice = counted + (not_ip.packets if not_ip else 0) - frames
    assert frames > 10_000
    assert 0 <= twice <= (not_ip.packets if not_ip else 0), "only frames without a stamp may have met both hooks"
    assert tcx_programs(node, "va") == 0
    assert qdiscs(node, "va") == ["noqueue"]


def test_quick_hooks_of_a_kernel_without_clsact_are_lasting_ones(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links need neither the qdisc nor the classifier, which may be modules that are not there."""

    def lacks(_: clsact.Traffic, ifindex: int) -> bool:
        raise OSError(errno.ENOENT, f"no clsact for {ifindex}")

    monkeypatch.setattr(clsact.Traffic, "add_qdisc", lacks)
    with loaded() as program, linux.in_netns(node.node):
        hooked = program.attach(node.ifindex("va"), quick=True)
        assert (hooked.kind, hooked.lasting) == ("tcx", True)
        assert tcx_programs(node, "va") == 2
        hooked.detach()


def test_filters_that_cannot_be_removed_keep_their_place(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links beside them would belong to nobody."""
    with loaded() as program, linux.in_netns(node.node):
        quick = program.attach(node.ifindex("va"), quick=True)
        with monkeypatch.context() as broken:

            def no_socket(_: clsact.Traffic) -> clsact.Traffic:
                raise OSError(errno.EMFILE, "too many open files")

            broken.setattr(clsact.Traffic, "__enter__", no_socket)
            with pytest.raises(OSError, match="too many"):
                program.settle(node.ifindex("va"), quick)
        assert (tcx_programs(node, "va"), len(filters(node, "va"))) == (0, 2)
        lasting = program.settle(node.ifindex("va"), quick)
        assert (tcx_programs(node, "va"), len(filters(node, "va"))) == (2, 0)
        lasting.detach()


def test_a_qdisc_that_cannot_be_looked_at_stays_and_the_links_count(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: clsact.Traffic, ifindex: int) -> bool:
        raise OSError(errno.ENODEV, f"no device {ifindex}")

    with loaded() as program, linux.in_netns(node.node):
        quick = program.attach(node.ifindex("va"), quick=True)
        monkeypatch.setattr(clsact.Traffic, "empty", gone)
        lasting = program.settle(node.ifindex("va"), quick)
        assert lasting.kind == "tcx"
        lasting.detach()
        assert tcx_programs(node, "va") == 0


def test_a_device_that_is_not_there_is_an_error_with_its_cause(node: TwoPods) -> None:
    with loaded() as program, linux.in_netns(node.node), pytest.raises(OSError, match="No such device") as caught:
        program.attach(4711)
    assert caught.value.errno == errno.ENODEV


_HOLD = """
import sys
from flowgauge.ebpf.flow_program import FlowProgram, ProgramOptions
from flowgauge.runtime import linux
linux.enter_netns(sys.argv[1])
program = FlowProgram(ProgramOptions(max_flows=1024, tcx=sys.argv[2] == "tcx"))
program.load()
held = [program.attach(int(index)) for index in sys.argv[3:]]
print("attached", flush=True)
sys.stdin.read()
"""


@contextmanager
def running(node: TwoPods, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that hooked ``va`` and ``eth0``; killed in the end."""
    indexes = [str(node.ifindex(name)) for name in ("va", "eth0")]
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, node.node, kind, *indexes], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"attached\n"
        assert (tcx_programs(node, "va"), len(filters(node, "va"))) == ((2, 0) if kind == "tcx" else (0, 2))
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def killed(node: TwoPods, kind: str) -> Iterator[None]:
    """A process that hooked ``va`` and ``eth0`` and was killed."""
    with running(node, kind) as process:
        process.kill()
        process.wait(60)
        yield


def test_tcx_hooks_are_gone_with_a_killed_process(node: TwoPods) -> None:
    with killed(node, "tcx"):
        until(lambda: tcx_programs(node, "va") == tcx_programs(node, "eth0") == 0, "the kernel has removed them")


def test_clsact_filters_of_a_killed_process_are_removed_by_the_next_start(node: TwoPods) -> None:
    with killed(node, "clsact"):
        assert len(filters(node, "eth0")) == 2
        with observed(node, ["vb"]):  # another device, and the other kind
            assert filters(node, "va") == filters(node, "eth0") == []
        assert qdiscs(node, "va") == qdiscs(node, "eth0") == ["noqueue"]


def test_filters_of_an_agent_that_runs_stay_when_another_starts(node: TwoPods) -> None:
    with running(node, "clsact") as process:
        with observed(node, ["vb"], tcx=False):
            assert len(filters(node, "va")) == len(filters(node, "eth0")) == 2
        process.kill()
        process.wait(60)
        with observed(node, ["vb"]):
            assert filters(node, "va") == filters(node, "eth0") == []


def test_the_sweep_leaves_its_own_filters_and_those_of_others(node: TwoPods) -> None:
    node.run("node", "tc", "qdisc", "add", "dev", "eth0", "clsact")
    node.run("node", "tc", "filter", "add", "dev", "eth0", "ingress", "u32", "match", "u32", "0", "0", "classid", "1:1")
    with observed(node, ["va"], tcx=False):
        with linux.in_netns(node.node):
            assert clsact.sweep() == 0
        assert len(filters(node, "va")) == 2
    assert "u32" in node.run("node", "tc", "filter", "show", "dev", "eth0", "ingress")
