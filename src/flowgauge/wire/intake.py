# SPDX-License-Identifier: Apache-2.0
"""What is passed along while one batch of datagrams is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.grouping import Index
from flowgauge.wire.ipfix import Messages
from flowgauge.wire.problems import Problems
from flowgauge.wire.scratch import Scratch
from flowgauge.wire.streams import Stream
from flowgauge.wire.views import ByteView


@dataclass(frozen=True, slots=True)
class Origins:
    """Where datagrams came from, one row a datagram: uint8 (n, 16) addresses and int64 (n,) receive times in ns."""

    source_addr: npt.NDArray[np.uint8]
    received_ns: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Intake:
    """One batch of datagrams.

    Attributes:
        view: their buffer; ``slot`` bytes from one datagram to the next.
        origins: where they came from.
        problems, counts: added to by whoever finds something.
        scratch: memory for what is needed until the batch has become columns.
    """

    view: ByteView
    slot: int
    origins: Origins
    problems: Problems
    counts: Counter[str]
    scratch: Scratch


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of an intake; ``streams[index[i]]`` is the stream of message i."""

    intake: Intake
    messages: Messages
    streams: Sequence[Stream]
    index: Index
