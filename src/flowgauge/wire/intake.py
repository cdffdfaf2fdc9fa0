# SPDX-License-Identifier: Apache-2.0
"""What is passed along while one batch of datagrams is decoded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from flowgauge.wire.framing import Messages
from flowgauge.wire.grouping import Index
from flowgauge.wire.origins import Origins
from flowgauge.wire.problems import Problems
from flowgauge.wire.scratch import Scratch
from flowgauge.wire.streams import Stream, Streams
from flowgauge.wire.views import ByteView


@dataclass(frozen=True, slots=True)
class Intake:
    """One batch of datagrams.

    Attributes:
        view: their buffer; ``slot`` bytes from one datagram to the next.
        origins: where they came from.
        problems, counts: added to by whoever finds something.
        scratch: memory for what is needed until the batch has become columns.
        fresh: they were sent just now, so an export time far from the receive time comes from a wrong clock.
        seen: units of the protocols themselves, see ``Decoded.seen``.
    """

    view: ByteView
    slot: int
    origins: Origins
    problems: Problems
    counts: Counter[str]
    scratch: Scratch
    fresh: bool = False
    seen: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of an intake; ``streams[index[i]]`` is the stream of message i, one of ``every``."""

    intake: Intake
    messages: Messages
    streams: list[Stream]
    index: Index
    every: Streams

    def split(self, number: int, former: int, port: int) -> Stream:
        """Gives messages of the stream ``number`` that came from ``port`` a stream of their own; the same one if it cannot."""
        child = self.every.split(self.streams[number], former, port)
        if child is None:
            return self.streams[number]
        ports = self.intake.origins.source_port[self.messages.datagram]
        self.index[(self.index == number) & (ports == port)] = len(self.streams)
        self.streams.append(child)
        return child
