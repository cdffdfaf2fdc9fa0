# SPDX-License-Identifier: Apache-2.0
"""Broken captures for tests and fuzzing: good ones of every kind, changed as damage and attackers change them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from capture_kit import (
    SYN,
    block,
    ethernet,
    fragments,
    interface,
    ip,
    option,
    packet_block,
    pcap,
    section,
    tcp,
    udp,
)
from wire_kit import a_set, basic, basic_template, message

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 12, 20, 28, 31, 255, 1500, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Lengths, offsets and counts at which readers break."""


def corpus() -> list[bytes]:
    """Files of every kind, with every kind of packet."""
    messages = [message(basic_template()), *(message(a_set(256, *[basic(1)] * 9), sequence=n * 9) for n in range(6))]
    long = message(basic_template(), *[a_set(256, *[basic(1)] * 10)] * 20)
    stream, at, segments = b"".join(messages), 0, [tcp(b"", 99, SYN)]
    while at < len(stream):
        segments.append(tcp(stream[at : at + 150], 100 + at))
        at += 150
    packets = [ip(udp(one), v6=v6) for v6 in (False, True) for one in messages]
    packets += [piece for v6 in (False, True) for piece in fragments(udp(long), 17, [1480, 1480, 9000], v6=v6)]
    packets += [ip(one, 6, v6=v6) for v6 in (False, True) for one in segments]
    frames = [ethernet(packet) for packet in packets]
    blocks = b"".join(packet_block(">", frame, number << 10) for number, frame in enumerate(frames))
    options = option("<", 9, b"\x09") + option("<", 14, bytes(8)) + option("<", 0, b"")
    return [
        pcap(frames),
        pcap(packets, 101, ">", magic=0xA1B23C4D),
        pcap([bytes(14) + b"\x08\0" + packet for packet in packets], 113),
        section(">") + interface(">") + blocks,
        section("<")
        + interface("<", 1, options)
        + b"".join(block("<", 3, struct.pack("<I", len(one)) + one) for one in frames),
        stream,
        long,
    ]


class Mutator:
    """Changes files at random, the same for the same ``seed``."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - must be the same again for a seed
        self._corpus = corpus()
        self._changes: tuple[Callable[[bytearray], None], ...] = (
            self._bit,
            self._number,
            self._cut,
            self._repeat,
            self._remove,
        )

    def file(self) -> bytes:
        """One file with up to eight changes."""
        data = bytearray(self._random.choice(self._corpus))
        for _ in range(self._random.choice((1, 1, 2, 3, 5, 8))):
            self._random.choice(self._changes)(data)
        return bytes(data)

    def _at(self, data: bytearray) -> int:
        return self._random.randrange(len(data)) if data else 0

    def _bit(self, data: bytearray) -> None:
        if data:
            data[self._at(data)] ^= 1 << self._random.randrange(8)

    def _number(self, data: bytearray) -> None:
        at, size = self._at(data), self._random.choice((1, 2, 4))
        order = self._random.choice(("little", "big"))
        value = self._random.choice(NUMBERS) & ((1 << 8 * size) - 1)
        data[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]

    def _cut(self, data: bytearray) -> None:
        if self._random.randrange(4) == 0:
            del data[self._at(data) :]

    def _repeat(self, data: bytearray) -> None:
        first = self._at(data)
        piece = data[first : first + self._random.randrange(1, 200)]
        data[first:first] = piece * self._random.randrange(1, 4)

    def _remove(self, data: bytearray) -> None:
        first = self._at(data)
        del data[first : first + self._random.randrange(1, 200)]
