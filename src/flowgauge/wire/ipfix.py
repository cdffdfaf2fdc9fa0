# SPDX-License-Identifier: Apache-2.0
"""Finds the messages and sets of IPFIX datagrams (RFC 7011 §3), of a whole batch in lockstep.

After it: templates and data sets are the same for NetFlow v9 and IPFIX; a walker for v9 yields the same two tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.problems import Problems
from flowgauge.wire.views import ByteView, Offsets

VERSION = 10
HEADER_BYTES = 16
SET_HEADER_BYTES = 4
TEMPLATE_SET, OPTIONS_TEMPLATE_SET, FIRST_DATA_SET = 2, 3, 256
MAX_MESSAGES = 64
"""Messages read in one datagram; exporters send one, files are cut before they get here."""
MAX_SETS = 1024
"""Sets read in one message: an Ethernet frame holds at most 364 (empty) ones; each round costs time for the whole batch."""


@dataclass(frozen=True, slots=True)
class Messages:
    """One row a message.

    Attributes:
        datagram: which datagram it is in.
        start, end: bytes in the buffer, header included.
        export_s: its export time, seconds since 1970.
        sequence: records sent before it in its domain, modulo 2³².
        domain: observation domain.
    """

    datagram: Offsets
    start: Offsets
    end: Offsets
    export_s: Offsets
    sequence: npt.NDArray[np.uint32]
    domain: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.datagram)


@dataclass(frozen=True, slots=True)
class Sets:
    """One row a set.

    Attributes:
        message: which message it is in.
        set_id: 2 templates, 3 options templates, from 256 data of the template of that number.
        start, end: bytes of its content in the buffer, header excluded.
        position: increases with the place in the batch: what comes later has a greater one.
    """

    message: Offsets
    set_id: Offsets
    start: Offsets
    end: Offsets
    position: Offsets

    def __len__(self) -> int:
        return len(self.message)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Sets:
        """The chosen rows."""
        return Sets(self.message[rows], self.set_id[rows], self.start[rows], self.end[rows], self.position[rows])


def messages(view: ByteView, datagram: Offsets, start: Offsets, end: Offsets, problems: Problems) -> Messages:
    """The messages of datagrams that begin with version 10; more than one in a datagram are found one after the other."""
    starts, ends, owners = [], [], []
    for _ in range(MAX_MESSAGES):
        whole = end - start >= HEADER_BYTES
        short = ~whole & (end > start)
        if short.any():
            problems.add_all(datagram[short], start[short], "message_header", "16 bytes", (end - start)[short])
        datagram, start, end = datagram[whole], start[whole], end[whole]
        if not len(start):
            break
        length = view.u16[start + 2].astype(np.int64)
        good = (view.u16[start] == VERSION) & (length >= HEADER_BYTES) & (length <= end - start)
        if not good.all():
            bad = ~good
            problems.add_all(datagram[bad], start[bad] + 2, "message_length", (end - start)[bad], length[bad])
            datagram, start, end, length = datagram[good], start[good], end[good], length[good]
        starts.append(start)
        ends.append(start + length)
        owners.append(datagram)
        start = start + length
    begin = _joined(starts)
    order = np.argsort(begin) if len(starts) > 1 else slice(None)  # several in a datagram: back into order of arrival
    begin = begin[order]
    return Messages(
        datagram=_joined(owners)[order],
        start=begin,
        end=_joined(ends)[order],
        export_s=view.u32[begin + 4].astype(np.int64),
        sequence=view.u32[begin + 8].astype(np.uint32),
        domain=view.u32[begin + 12].astype(np.uint32),
    )


def sets(view: ByteView, found: Messages, problems: Problems) -> Sets:
    """The sets of all messages: in each round the next set of every message that has one.

    A set whose length is wrong ends its message (where the next set begins is unknown then); the sets before it stay.
    """
    message = np.arange(len(found), dtype=np.int64)
    start, end = found.start + HEADER_BYTES, found.end
    rows: list[tuple[Offsets, ...]] = []
    for turn in range(MAX_SETS):
        whole = end - start >= SET_HEADER_BYTES  # up to three bytes of padding after the last set do no harm
        if not whole.all():
            message, start, end = message[whole], start[whole], end[whole]
        if not len(start):
            break
        length = view.u16[start + 2].astype(np.int64)
        good = (length >= SET_HEADER_BYTES) & (length <= end - start)
        if not good.all():
            bad = ~good
            padded = bad & (length == 0) & (view.u16[start] == 0)  # zeros to the end: padding, not a set
            wrong = bad & ~padded
            problems.add_all(
                found.datagram[message[wrong]], start[wrong] + 2, "set_length", (end - start)[wrong], length[wrong]
            )
            message, start, end, length = message[good], start[good], end[good], length[good]
        rows.append(
            (message, view.u16[start].astype(np.int64), start + SET_HEADER_BYTES, start + length, message * MAX_SETS + turn)
        )
        start = start + length
    else:
        problems.add_all(found.datagram[message], start, "set_count", f"at most {MAX_SETS} sets", "more")
    message, set_id, begin, finish, position = (_joined([row[column] for row in rows]) for column in range(5))
    return Sets(message, set_id, begin, finish, position)


def _joined(parts: list[Offsets]) -> Offsets:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
