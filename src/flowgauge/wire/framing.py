# SPDX-License-Identifier: Apache-2.0
"""Messages and sets of the protocols with templates (NetFlow v9, IPFIX), found in a whole batch in lockstep.

Before it: ``netflow9`` and ``ipfix``, which read their own headers; after it nothing knows which of the two a set came by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.problems import Problems
from flowgauge.wire.views import ByteView, Mask, Offsets

SET_HEADER_BYTES = 4
MAX_SETS = 1024
"""Sets read in one message: an Ethernet frame holds at most 364 (empty) ones; each round costs time for the whole batch."""
NOT_TOLD = -(1 << 62)
"""``boot_ms`` of an exporter that has not said when it started."""


@dataclass(frozen=True, slots=True)
class Messages:
    """One row a message.

    Attributes:
        datagram: which datagram it is in.
        start, end: bytes in the buffer, header included.
        export_s: its export time, seconds since 1970.
        sequence: what was sent before it in its domain, modulo 2³²: records (IPFIX) or messages (NetFlow v9).
        domain: observation domain (IPFIX), source id (NetFlow v9).
        boot_ms: when the exporter started, ms since 1970, as the header has it (NetFlow v9), else ``NOT_TOLD``.
        missing: bytes of it behind ``end`` that are not in the buffer, since its datagram was cut.
    """

    datagram: Offsets
    start: Offsets
    end: Offsets
    export_s: Offsets
    sequence: npt.NDArray[np.uint32]
    domain: npt.NDArray[np.uint32]
    boot_ms: Offsets
    missing: Offsets

    def __len__(self) -> int:
        return len(self.datagram)


@dataclass(frozen=True, slots=True)
class Sets:
    """One row a set.

    Attributes:
        message: which message it is in.
        set_id: ``TEMPLATE_SET``, ``OPTIONS_TEMPLATE_SET``, from 256 data of the template of that number.
        start, end: bytes of its content in the buffer, header excluded.
        position: increases with the place in the batch: what comes later has a greater one.
        cut: whether its datagram was cut within it: ``end`` is where that was.
    """

    message: Offsets
    set_id: Offsets
    start: Offsets
    end: Offsets
    position: Offsets
    cut: Mask

    def __len__(self) -> int:
        return len(self.message)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Sets:
        """The chosen rows."""
        return Sets(
            self.message[rows], self.set_id[rows], self.start[rows], self.end[rows], self.position[rows], self.cut[rows]
        )


def walk_sets(view: ByteView, found: Messages, header_bytes: int, problems: Problems) -> Sets:
    """The sets of all messages: in each round the next set of every message that has one.

    A set whose length is wrong ends its message (where the next set begins is unknown then); the sets before it stay. Zeros
    behind the last set are padding, whatever a protocol allows. The set within which a datagram was cut ends there.
    """
    message = np.arange(len(found), dtype=np.int64)
    start, end = found.start + header_bytes, found.end
    is_cut = bool(found.missing.any())
    rows: list[tuple[Offsets, ...]] = []
    for turn in range(MAX_SETS):
        whole = end - start >= SET_HEADER_BYTES  # up to three bytes of padding after the last set do no harm
        if not whole.all():
            message, start, end = message[whole], start[whole], end[whole]
        if not len(start):
            break
        length = view.u16[start + 2].astype(np.int64)
        room = end - start + found.missing[message] if is_cut else end - start
        good = (length >= SET_HEADER_BYTES) & (length <= room)
        if not good.all():
            bad = ~good
            padded = bad & (length == 0) & (view.u16[start] == 0)  # zeros to the end: padding, not a set
            wrong = bad & ~padded
            problems.add_all(found.datagram[message[wrong]], start[wrong] + 2, "set_length", room[wrong], length[wrong])
            message, start, end, length = message[good], start[good], end[good], length[good]
        place = message * MAX_SETS + turn
        rows.append((message, view.u16[start].astype(np.int64), start + SET_HEADER_BYTES, start + length, place))
        start = start + length
    else:
        problems.add_all(found.datagram[message], start, "set_count", f"at most {MAX_SETS} sets", "more")
    message, set_id, begin, finish, position = (joined([row[column] for row in rows]) for column in range(5))
    if not is_cut:
        return Sets(message, set_id, begin, finish, position, np.zeros(len(message), np.bool_))
    last = found.end[message]
    return Sets(message, set_id, begin, np.minimum(finish, last), position, finish > last)


def without_reserved(found: Messages, sets: Sets, reserved: npt.NDArray[np.bool_], expected: str, problems: Problems) -> Sets:
    """The sets that are not ``reserved``; those that are are named, and cost nothing but themselves."""
    if not reserved.any():
        return sets
    rows = np.flatnonzero(reserved)
    problems.add_all(
        found.datagram[sets.message[rows]], sets.start[rows] - SET_HEADER_BYTES, "set_id", expected, sets.set_id[rows]
    )
    return sets.take(~reserved)


def joined(parts: Sequence[Offsets]) -> Offsets:
    """Columns put together; none give an empty one."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
