# SPDX-License-Identifier: Apache-2.0
"""Capture files of several agents, joined block by block into one in the order of time. Pure.

Each agent marks from time to time up to when it has told everything; packets before the oldest of these marks are in order.

Before: :mod:`flowgauge.cli.capture_source`; after: :mod:`flowgauge.cli.capture_run`.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator

from flowgauge.errors import EnvironmentProblem
from flowgauge.wire.captures.pcapng_write import INTERFACE, MARK, PACKET, SECTION, STATISTICS, read_mark, section

_MAX_BLOCK_BYTES = 1 << 20
_ENDED = 1 << 63

Block = tuple[int, bytes]


def blocks(pieces: Iterable[bytes]) -> Iterator[Block]:
    """Type and bytes of each block, of a file that comes in pieces; EnvironmentProblem when it is none."""
    waiting = b""
    for piece in pieces:
        waiting += piece
        at = 0
        while len(waiting) - at >= 12:
            kind, length = struct.unpack_from("<II", waiting, at)
            if length < 12 or length % 4 or length > _MAX_BLOCK_BYTES:
                raise EnvironmentProblem("an agent sent what is no capture file: is it of another version?")
            if len(waiting) - at < length:
                break
            yield kind, waiting[at : at + length]
            at += length
        waiting = waiting[at:]


class Merge:
    """The joined file of ``count`` agents, which never gets longer than ``max_bytes``."""

    def __init__(self, count: int, application: str, max_bytes: int) -> None:
        self._until = [0] * count
        self._lost = [0] * count
        self._numbers: list[list[int]] = [[] for _ in range(count)]
        self._held: list[tuple[int, int, bytes]] = []
        self._out = [section(application)]
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
