# SPDX-License-Identifier: Apache-2.0
"""Which bits of a stamp an agent takes: some of its own while it runs, of the node that its network namespace agrees on."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from flowgauge.ebpf import clsact, stamps
from flowgauge.ebpf.abi_settings import STAMP_AGENTS
from flowgauge.runtime import linux, logs

pytestmark = pytest.mark.root

Taken = tuple[int, int, int]
"""Node, the bit of what was counted, that of what later hooks look at."""

_CLAIM = """
import sys
from flowgauge.ebpf import stamps
from flowgauge.runtime import linux
linux.enter_netns(sys.argv[1])
stamp = stamps.claim(int(sys.argv[2])).stamp
print(stamp.node, stamp.counted, stamp.trace, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"fgs{os.getpid()}{secrets.token_hex(2)}"
    linux.create_netns(name)
    yield name
    linux.delete_netns(name)


def taken(stamp: stamps.Stamp) -> Taken:
    """Its members."""
    return stamp.node, stamp.counted, stamp.trace


@contextmanager
def process(netns: str, salt: int) -> Iterator[Taken]:
    """What a process takes that runs in the block, and then is killed."""
    command = [sys.executable, "-c", _CLAIM, netns, str(salt)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            node, counted, trace = map(int, running.stdout.readline().split())
            yield node, counted, trace
        finally:
            running.kill()


def test_agents_have_bits_of_their_own_and_the_node_of_the_first(netns: str) -> None:
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(process(netns, salt)) for salt in (7, 8, 7)]
    assert {node for node, _, _ in all_of_them} == {taken(stamps.first(7))[0]}
    bits = [bit for _, *own in all_of_them for bit in own]
    assert sum(bits) == STAMP_AGENTS
    assert all(bit.bit_count() == 1 for bit in bits)


def test_the_bits_of_a_killed_agent_are_free_and_the_node_stays_while_another_runs(netns: str) -> None:
    with process(netns, 7) as first, ExitStack() as stack:
        second = stack.enter_context(process(netns, 9))
        stays = stack.pop_all()
    with stays:
        assert second[0] == first[0]
        with process(netns, 10) as again:
            assert again == first
    with process(netns, 10) as other:
        assert other == taken(stamps.first(10))


def test_programs_of_one_process_share_bits_until_the_last_one_lets_go(netns: str) -> None:
    with linux.in_netns(netns):
        claims = [stamps.claim(7), stamps.claim(8)]
        assert taken(claims[0].stamp) == taken(claims[1].stamp) == taken(stamps.first(7))
        claims.pop().release()
        with process(netns, 7) as other:
            assert other[1:] != taken(claims[0].stamp)[1:]
        claims.pop().release()
        with process(netns, 8) as other:
            assert other == taken(stamps.first(8))


def test_other_namespaces_have_stamps_of_their_own(netns: str) -> None:
    other = f"{netns}b"
    linux.create_netns(other)
    try:
        with process(netns, 7) as here, process(other, 8) as there:
            assert (here, there) == (taken(stamps.first(7)), taken(stamps.first(8)))
    finally:
        linux.delete_netns(other)


def test_an_agent_that_was_stopped_while_it_chose_is_not_waited_for_for_ever(
    netns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "_PATIENCE_S", 0.05)
    with linux.in_netns(netns), clsact.sign_of_life(f"{clsact.NAME_PREFIX}chooses its stamp"):
        claimed = stamps.claim(7)
    assert taken(claimed.stamp) == taken(stamps.first(7))
    claimed.release()


@pytest.mark.parametrize("name", ["99 as 5", "0 as 0", "0 as 1024", "0 as 99999999999999999999"])
def test_a_name_that_no_agent_takes_changes_no_stamp(netns: str, name: str) -> None:
    """Users of the machine may take any name."""
    with linux.in_netns(netns), clsact.sign_of_life(f"{clsact.NAME_PREFIX}stamps {name}"), logs.captured() as lines:
        claimed = stamps.claim(7)
    assert taken(claimed.stamp) == taken(stamps.first(7))
    assert lines == []
    claimed.release()


def test_where_nothing_can_be_agreed_it_is_said_and_packets_are_counted(netns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> None:
        raise PermissionError(13, name)

    monkeypatch.setattr(stamps, "sign_of_life", refused)
    with linux.in_netns(netns), logs.captured() as lines:
        claimed = stamps.claim(7)
    assert taken(claimed.stamp) == taken(stamps.first(7))
    assert [line["event"] for line in lines] == ["stamp_not_claimed"]
    claimed.release()
