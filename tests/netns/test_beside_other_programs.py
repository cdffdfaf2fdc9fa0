# SPDX-License-Identifier: Apache-2.0
"""Programs of others on the same devices: none is replaced, their order stays, and what they decide holds."""

from __future__ import annotations

import array
import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flowgauge.ebpf import bpf_syscall
from flowgauge.ebpf.bpf_syscall import Command, Direction
from flowgauge.runtime import linux
from node_kit import FAR, TwoPods, observed, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

NEXT, PASS, DROP = -1, 0, 2
"""TCX verdicts of linux/bpf.h."""
BEFORE, AFTER = 1 << 3, 1 << 4
"""BPF_F_BEFORE and BPF_F_AFTER: with no other program named, the first and the last place."""
_PROG_QUERY, _SCHED_CLS = 16, 3


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


@contextmanager
def other(node: TwoPods, verdict: int, place: int) -> Iterator[None]:
    """Somebody else's program on the way in by ``va``: one that only has a verdict."""
    code = ctypes.create_string_buffer(struct.pack("<BBhi", 0xB7, 0, 0, verdict) + struct.pack("<BBhi", 0x95, 0, 0, 0), 16)
    license_ = ctypes.create_string_buffer(b"GPL\0")
    program, _ = bpf_syscall.bpf(
        Command.PROG_LOAD, struct.pack("=IIQQ", _SCHED_CLS, 2, ctypes.addressof(code), ctypes.addressof(license_))
    )
    with linux.in_netns(node.node):
        where = struct.pack("=IIIIIIQ", program, socket.if_nametoindex("va"), Direction.INGRESS, place, 0, 0, 0)
        link, _ = bpf_syscall.bpf(Command.LINK_CREATE, where)
    try:
        yield
    finally:
        os.close(link)
        os.close(program)


def attached(node: TwoPods) -> list[int]:
    """Ids of the programs on the way in by ``va``, in the order in which they run."""
    with linux.in_netns(node.node):
        ids = array.array("I", [0] * 16)
        attributes = struct.pack("=IIIIQI", socket.if_nametoindex("va"), Direction.INGRESS, 0, 0, ids.buffer_info()[0], 16)
        _, after = bpf_syscall.bpf(_PROG_QUERY, attributes)  # type: ignore[arg-type]
    return ids.tolist()[: struct.unpack_from("=I", after, 24)[0]]


def delivered(node: TwoPods, within_s: float) -> bool:
    """Whether a datagram of pod a reaches the machine beyond the node."""
    with (
        node.socket("far", socket.AF_INET, socket.SOCK_DGRAM) as to,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as out,
    ):
        to.bind((FAR, 7100))
        to.settimeout(within_s)
        out.sendto(b"x", (FAR, 7100))
        try:
            return to.recv(9) == b"x"
        except TimeoutError:
            return False


@pytest.mark.parametrize(
    ("verdict", "place", "arrives", "counted"),
    [
        (NEXT, BEFORE, True, True),
        (NEXT, AFTER, True, True),
        (DROP, AFTER, False, True),
        (DROP, BEFORE, False, False),
        (PASS, AFTER, True, True),
        (PASS, BEFORE, True, False),
    ],
    ids=["next before", "next behind", "drop behind", "drop before", "pass before the rest", "pass first"],
)
@pytest.mark.parametrize("ours_first", [True, False], ids=["ours came first", "ours came later"])
def test_verdicts_of_others_hold_and_ours_passes_everything_on(
    node: TwoPods, verdict: int, place: int, *, arrives: bool, counted: bool, ours_first: bool
) -> None:
    within_s = 30 if arrives else 0.7
    if ours_first:
        with observed(node, ["va"]) as watch, other(node, verdict, place):
            arrived = delivered(node, within_s)
            rows = watch.flows()
    else:
        with other(node, verdict, place), observed(node, ["va"]) as watch:
            behind = len(attached(node)) == 2
            arrived = delivered(node, within_s)
            rows = watch.flows()
            counted = verdict == NEXT
            assert behind, "ours is appended to what is there"
    assert arrived is arrives
    assert any(row["dst_port"] == 7100 for row in rows) is counted


def test_nobody_is_replaced_and_the_order_stays_while_ours_comes_changes_and_goes(node: TwoPods) -> None:
    with other(node, NEXT, BEFORE):
        (first,) = attached(node)
        with observed(node, ["va"]) as watch, other(node, NEXT, AFTER), observed(node, []) as successor:
            before, ours, last = attached(node)
            assert before == first
            with linux.in_netns(node.node):
                successor.program.take_over(socket.if_nametoindex("va"), watch.attachments["va"])
            now = attached(node)
            assert (now[0], now[2]) == (first, last)
            assert now[1] != ours
            watch.detach()
            assert attached(node) == [first, last]
        assert attached(node) == [first]
