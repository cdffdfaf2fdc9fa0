# SPDX-License-Identifier: Apache-2.0
"""Capture files of several agents become one: in order, whole, within its bound; and what is no capture is refused."""

from __future__ import annotations

import random
from functools import partial

import pytest

from flowgauge.errors import EnvironmentProblem
from flowgauge.wire.captures import pcapng_write
from flowgauge.wire.captures.pcapng_merge import Merge, blocks
from heads_kit import packets


def stream(node: str, times_ns: list[int]) -> bytes:
    """An agent's answer: a packet at each time, and a mark behind each."""
    parts = [pcapng_write.section("test"), pcapng_write.interface("eth0", node, pcapng_write.ETHERNET, 100)]
    for at in times_ns:
        parts.append(pcapng_write.packet(0, at, node.encode() * 3, 1500, direction=pcapng_write.INBOUND, comment=f"{node} → ?"))
        parts.append(pcapng_write.mark(at, 2))
    return b"".join(parts)


def pieces(content: bytes, seed: int) -> list[bytes]:
    """The same bytes, as a network may deliver them."""
    chance, found = random.Random(seed), []  # noqa: S311 - not for secrets
    while content:
        size = chance.randint(1, 300)
        found.append(content[:size])
        content = content[size:]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_packets_of_all_nodes_are_in_the_order_of_time(seed: int) -> None:
    times = {"a": list(range(1_000, 2_000, 7)), "b": list(range(1_003, 2_500, 11))}
    merge = Merge(2, "test", 1_000_000)
    told = [list(blocks(pieces(stream(node, at), seed))) for node, at in times.items()]
    chance, at, written = random.Random(seed), [0, 0], b""  # noqa: S311 - not for secrets
    while any(at[one] < len(told[one]) for one in (0, 1)):
        one = chance.choice([number for number in (0, 1) if at[number] < len(told[number])])
        merge.take(one, told[one][at[one]])
        at[one] += 1
        if at[one] == len(told[one]):
            merge.ended(one)
        written += merge.ready()
    written += merge.rest()
    found = packets(written)
    assert [one.time_ns for one in found] == sorted(at for node in times for at in times[node])
    assert {one.time_ns for one in found if one.data == b"aaa"} == set(times["a"])
    assert (merge.packets, merge.lost, len(written)) == (len(found), 4, merge.bytes)


def test_what_is_held_back_is_written_when_all_that_was_before_is_known() -> None:
    merge = Merge(2, "test", 1_000_000)
    for block in blocks([stream("a", [10, 20])]):
        merge.take(0, block)
    assert not packets(merge.ready())
    for block in blocks([stream("b", [15])]):
        merge.take(1, block)
    assert merge.packets == 3
    merge.ended(0)
    merge.ended(1)


def test_a_file_never_gets_longer_than_its_bound() -> None:
    merge = Merge(1, "test", 2_000)
    for block in blocks([stream("a", list(range(1_000)))]):
        merge.take(0, block)
    written = merge.rest()
    assert merge.full
    assert 1_800 < len(written) == merge.bytes <= 2_000
    assert len(packets(written)) == merge.packets


@pytest.mark.parametrize("content", [b"<html>no such page</html>", bytes(64), b"\x06\x00\x00\x00\xff\xff\xff\xff" + bytes(64)])
def test_what_is_no_capture_is_refused(content: bytes) -> None:
    with pytest.raises(EnvironmentProblem):
        list(map(partial(Merge(1, "test", 2_000).take, 0), blocks([content])))


def test_a_packet_of_a_device_that_was_not_named_is_refused() -> None:
    merge = Merge(1, "test", 2_000)
    with pytest.raises(EnvironmentProblem, match="device"):
        merge.take(0, next(blocks([pcapng_write.packet(3, 1, b"x", 1)])))


def test_long_names_and_odd_characters_leave_a_file_whole() -> None:
    content = pcapng_write.section("t") + pcapng_write.interface("ü" * 2_000, "n", pcapng_write.RAW_IP, 96)
    content += pcapng_write.packet(0, (1 << 62) + 1, b"abc", 9, comment="→" * 5_000 + "\ud800")
    (packet,) = packets(content)
    assert (packet.time_ns, packet.data, packet.length, packet.link) == ((1 << 62) + 1, b"abc", 9, 101)
