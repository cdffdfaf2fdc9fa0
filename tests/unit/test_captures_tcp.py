# SPDX-License-Identifier: Apache-2.0
"""IPFIX over captured TCP: whatever the network did to the segments, each message comes out once."""

from __future__ import annotations

import random
import struct

import pytest

from capture_kit import SYN, ethernet, ip, pcap, reading, tcp
from flowgauge.wire.captures.tcp import MAX_HELD_BYTES
from wire_kit import a_set, basic, basic_template, message

MESSAGES = [message(basic_template()), *(message(a_set(256, basic(number)), sequence=number) for number in range(30))]
STREAM = b"".join(MESSAGES)


def segments(sizes: list[int], first: int = 1000) -> list[tuple[int, bytes]]:
    """The stream in pieces: (sequence number, bytes)."""
    found, at = [], 0
    while at < len(STREAM):
        size = sizes[len(found) % len(sizes)]
        found.append((first + at, STREAM[at : at + size]))
        at += size
    return found


def seen(parts: list[tuple[int, bytes]], *, syn: int | None = 999, v6: bool = False) -> tuple[list[bytes], int]:
    """The messages of a capture with these segments, and how many gaps it has."""
    opening = [] if syn is None else [tcp(b"", syn, SYN)]
    packets = [ip(one, 6, v6=v6) for one in (*opening, *(tcp(content, number) for number, content in parts))]
    found, counts, damage = reading(pcap(map(ethernet, packets)))
    assert not damage
    return [export.payload for export in found], counts["tcp_gaps"]


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("sizes", [[1], [3, 50, 7], [1460], [10_000]])
def test_messages_are_cut_wherever_segments_end(sizes: list[int], *, v6: bool) -> None:
    assert seen(segments(sizes), v6=v6) == (MESSAGES, 0)


@pytest.mark.parametrize("seed", range(8))
def test_reordered_repeated_and_overlapping_segments(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - must be the same again for a seed
    parts = segments([chance.randrange(1, 90) for _ in range(7)], first=2**32 - 200)
    late = [(place + chance.randrange(6), part) for place, part in enumerate(parts)]
    parts = [part for _, part in sorted(late, key=lambda one: one[0])]
    parts += [
        (number, content + STREAM[number + 200 - 2**32 + len(content) :][:20]) for number, content in chance.sample(parts, 5)
    ]
    assert seen(parts, syn=2**32 - 201) == (MESSAGES, 0)


def test_a_capture_that_begins_within_a_connection_starts_with_the_next_message() -> None:
    parts = segments([len(MESSAGES[0])])
    rest = [(1000 + len(MESSAGES[0]) + number * len(MESSAGES[1]), content) for number, content in enumerate(MESSAGES[1:])]
    assert seen([(900, b"the end of a message"), *rest], syn=None) == (MESSAGES[1:], 0)
    assert parts[0] == (1000, MESSAGES[0])


def test_a_gap_is_counted_and_the_rest_is_read() -> None:
    sizes = [len(one) for one in MESSAGES]
    at = [1000 + sum(sizes[:number]) for number in range(len(MESSAGES))]
    parts = [(at[number], one) for number, one in enumerate(MESSAGES) if number != 3]
    assert seen(parts) == ([*MESSAGES[:3], *MESSAGES[4:]], 1)


def test_a_message_of_which_a_part_is_missing_is_left_out() -> None:
    at = 1000 + len(MESSAGES[0])
    parts = [(1000, MESSAGES[0]), (at, MESSAGES[1][:20]), (at + len(MESSAGES[1]), MESSAGES[2])]
    assert seen(parts) == ([MESSAGES[0], MESSAGES[2]], 1)


def test_a_new_connection_of_the_same_ports_is_a_new_stream() -> None:
    packets = [tcp(b"", 5, SYN), tcp(MESSAGES[0], 6), tcp(b"", 70_000, SYN), tcp(MESSAGES[1], 70_001)]
    found, counts, _ = reading(pcap(ethernet(ip(one, 6)) for one in packets))
    assert [export.payload for export in found] == MESSAGES[:2]
    assert counts["tcp_gaps"] == 0


def test_other_streams_are_passed_over() -> None:
    parts = [(1000, b"GET / HTTP/1.1\r\n\r\n"), (1018, MESSAGES[0])]
    assert seen(parts) == ([], 0)
    assert seen([(1000, b"\x16\x03\x01\x02\x00\x01")], syn=None) == ([], 0)


def test_a_stream_that_stops_being_ipfix_gives_that_piece_to_the_decoder_and_goes_on_at_the_next_message() -> None:
    at = 1000 + len(MESSAGES[0])
    parts = [(1000, MESSAGES[0]), (at, b"\0\x0b garbage"), (at + 10, MESSAGES[1])]
    assert seen(parts) == ([MESSAGES[0], b"\0\x0b garbage", MESSAGES[1]], 0)


def test_what_is_held_behind_a_gap_is_bounded() -> None:
    step = len(MESSAGES[1])
    far = [(5000 + number * step, MESSAGES[1]) for number in range(MAX_HELD_BYTES // step + 2000)]
    found, gaps = seen([(1000, MESSAGES[0]), *far])
    assert gaps == 1
    assert len(found) == len(far) + 1


@pytest.mark.parametrize("segment", [b"", bytes(19), struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0xF0, 0x18, 0, 0, 0) + bytes(10)])
def test_broken_segments_are_passed_over(segment: bytes) -> None:
    assert reading(pcap([ethernet(ip(segment, 6))]))[0] == []
