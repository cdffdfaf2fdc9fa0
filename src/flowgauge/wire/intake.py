# SPDX-License-Identifier: Apache-2.0
"""What is passed along while one batch of datagrams is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from flowgauge.wire.framing import Messages
from flowgauge.wire.grouping import Index
from flowgauge.wire.origins import Origins
from flowgauge.wire.problems import Problems
from flowgauge.wire.scratch import Scratch
from flowgauge.wire.streams import Stream
from flowgauge.wire.views import ByteView


@dataclass(frozen=True, slots=True)
class Intake:
    """One batch of datagrams.

    Attributes:
        view: their buffer; ``slot`` bytes from one datagram to the next.
        origins: where they came from.
        problems, counts: added to by whoever finds something.
        scratch: memory for what is needed until the batch has become columns.
        seen: units of the protocols themselves, see ``Decoded.seen``.
    """

    view: ByteView
    slot: int
    origins: Origins
    problems: Problems
    counts: Counter[str]
    scratch: Scratch
    seen: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of an intake; ``streams[index[i]]`` is the stream of message i."""

    intake: Intake
    messages: Messages
    streams: Sequence[Stream]
    index: Index
