# SPDX-License-Identifier: Apache-2.0
"""Capture files of several agents, joined block by block into one in the order of time. Pure.

Each agent marks from time to time up to when it has told everything; packets before the oldest of these marks are in order.

Used by ``flowgauge capture`` (:mod:`flowgauge.cli.capture_run`) and the console (:mod:`flowgauge.console.capture`).
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator

from flowgauge.errors import EnvironmentProblem
from flowgauge.wire.captures.pcapng_write import INTERFACE, MARK, PACKET, SECTION, STATISTICS, read_mark, section, statistics

_FEWEST_BYTES, _MAX_BLOCK_BYTES = 12, 1 << 20
_ENDED = 1 << 63

Block = tuple[int, bytes]


class Blocks:
    """Cuts a file that comes in pieces into its blocks."""

    def __init__(self) -> None:
        self._waiting = b""

    def cut(self, piece: bytes) -> Iterator[Block]:
        """Type and bytes of each block that ``piece`` completes; EnvironmentProblem when it is no capture file."""
        self._waiting += piece
        at = 0
        while len(self._waiting) - at >= _FEWEST_BYTES:
            kind, length = struct.unpack_from("<II", self._waiting, at)
            if length < _FEWEST_BYTES or length % 4 or length > _MAX_BLOCK_BYTES:
                raise EnvironmentProblem("an agent sent what is no capture file: is it of another version?")
            if len(self._waiting) - at < length:
                break
            yield kind, self._waiting[at : at + length]
            at += length
        self._waiting = self._waiting[at:]


def blocks(pieces: Iterable[bytes]) -> Iterator[Block]:
    """Every block of a file that comes in pieces; EnvironmentProblem when it is none."""
    cutter = Blocks()
    for piece in pieces:
        yield from cutter.cut(piece)


class Merge:
    """The joined file of ``count`` agents, which never gets longer than ``max_bytes``; ``comment`` is about the file."""

    def __init__(self, count: int, application: str, max_bytes: int, comment: str = "") -> None:
        self._until = [0] * count
        self._lost = [0] * count
        self._numbers: list[list[int]] = [[] for _ in range(count)]
        self._held: list[tuple[int, int, bytes]] = []
        self._out = [section(application, comment)]
        self._at_end: list[bytes] = []
        self._max_bytes = max_bytes
        self.bytes = len(self._out[0])
        """Of the file, with what is held back."""
        self.packets = 0
        self.full = False

    @property
    def lost(self) -> int:
        """Packets that came faster than they were taken."""
        return sum(self._lost)

    def take(self, stream: int, block: Block) -> None:
        """Takes over a block of an agent."""
        kind, data = block
        if kind == MARK:
            self._until[stream], self._lost[stream] = read_mark(data[8:-4])
        elif kind == INTERFACE and self._fits(data):
            self._numbers[stream].append(sum(map(len, self._numbers)))
            self._out.append(data)
        elif kind == PACKET and self._fits(data):
            (high, low), self.packets = struct.unpack_from("<II", data, 12), self.packets + 1
            heapq.heappush(self._held, (high << 32 | low, self.packets, self._renumbered(stream, data)))
        elif kind == STATISTICS and self._fits(data):
            self._at_end.append(self._renumbered(stream, data))
        elif kind not in (MARK, INTERFACE, PACKET, STATISTICS, SECTION):
            raise EnvironmentProblem("an agent sent what does not belong in a capture: is it of another version?")

    def told_until(self, stream: int) -> int:
        """Up to when an agent has told everything, in ns since 1970."""
        return self._until[stream]

    def ended(self, stream: int) -> None:
        """An agent will say no more."""
        self._until[stream] = _ENDED

    def note(self, stream: int, time_ns: int, words: str) -> None:
        """Says of an agent's first device, as a comment at the end, what is missing."""
        if self._numbers[stream] and self._fits(block := statistics(self._numbers[stream][0], time_ns, comment=words)):
            self._at_end.append(block)

    def ready(self) -> bytes:
        """What can be written."""
        until = min(self._until)
        while self._held and self._held[0][0] < until:
            self._out.append(heapq.heappop(self._held)[2])
        written, self._out = b"".join(self._out), []
        return written

    def rest(self) -> bytes:
        """Everything that is held back: nothing more will come."""
        self._until = [_ENDED]
        self._out += [heapq.heappop(self._held)[2] for _ in range(len(self._held))] + self._at_end
        self._at_end = []
        return self.ready()

    def _fits(self, data: bytes) -> bool:
        self.full = self.full or self.bytes + len(data) > self._max_bytes
        if not self.full:
            self.bytes += len(data)
        return not self.full

    def _renumbered(self, stream: int, data: bytes) -> bytes:
        (number,) = struct.unpack_from("<I", data, 8)
        if number >= len(self._numbers[stream]):
            raise EnvironmentProblem("an agent sent a packet of a device that it did not name: is it of another version?")
        return data[:8] + struct.pack("<I", self._numbers[stream][number]) + data[12:]
