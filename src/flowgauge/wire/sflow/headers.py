# SPDX-License-Identifier: Apache-2.0
"""The heads of sFlow datagrams, of a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.flow.addresses import V4_MAPPED_PREFIX
from flowgauge.wire.intake import Intake
from flowgauge.wire.packet_headers_bytes import Index, Numbers, Windows, Words, narrowed
from flowgauge.wire.views import Octets, Offsets

VERSION = 5
_NO_ADDRESS, _V4, _V6 = 0, 1, 2
_ADDRESS_BYTES = np.array([0, 4, 16])
_BEFORE_ADDRESS, _AFTER_ADDRESS = 8, 16
_HEAD_BYTES = 40


@dataclass(frozen=True, slots=True)
class Heads:
    """One row a datagram.

    Attributes:
        datagram: which of the batch it is.
        agent: uint8 (n, 16), the agent's address as it says: the exporter, whichever address it sends from. The sender's
            address where it says none.
        sub_agent, sequence, uptime_ms: as they stand.
        samples: how many are said to follow.
        start, end: bytes of the samples in the buffer.
        missing: bytes behind ``end`` that are not in the buffer, since the datagram was cut.
    """

    datagram: Index
    agent: Octets
    sub_agent: Words
    sequence: Words
    uptime_ms: Words
    samples: Words
    start: Offsets
    end: Offsets
    missing: Offsets

    def __len__(self) -> int:
        return len(self.datagram)


def heads(intake: Intake, windows: Windows, datagram: Index, start: Offsets, end: Offsets) -> Heads:
    """The heads of datagrams that begin with version 5; those too short, or with an unknown kind of address, are named."""
    head = windows.take(start, _HEAD_BYTES)
    room = end - start
    kind = np.where(room >= _BEFORE_ADDRESS, head[:, 4:8].view(">u4")[:, 0], _NO_ADDRESS).astype(np.int64)
    strange = kind > _V6
    if strange.any():
        intake.problems.add_all(datagram[strange], start[strange] + 4, "agent_address_type", "0, 1 or 2", kind[strange])
    size = _ADDRESS_BYTES[np.minimum(kind, _V6)] + _BEFORE_ADDRESS + _AFTER_ADDRESS
    short = ~strange & (room < size)
    if short.any():
        named = short & (intake.problems.missing[datagram] == 0)
        intake.problems.add_all(datagram[named], start[named], "datagram_header", size[named], room[named])
    good = ~(strange | short)
    datagram, start, end, kind, size = narrowed(good, datagram, start, end, kind, size)
    (head,) = narrowed(good, head)
    sub_agent, sequence, uptime, samples = windows.words(start + size - _AFTER_ADDRESS, 4)
    return Heads(
        datagram=datagram,
        agent=_agents(intake, datagram, head, kind),
        sub_agent=sub_agent,
        sequence=sequence,
        uptime_ms=uptime,
        samples=samples,
        start=start + size,
        end=end,
        missing=intake.problems.missing[datagram],
    )


def _agents(intake: Intake, datagram: Index, head: Octets, kind: Numbers) -> Octets:
    address = np.zeros((len(head), 16), np.uint8)
    four = kind == _V4
    if four.all():
        address[:, :12], address[:, 12:] = np.frombuffer(V4_MAPPED_PREFIX, np.uint8), head[:, 8:12]
    else:
        address[four, :12] = np.frombuffer(V4_MAPPED_PREFIX, np.uint8)
        address[four, 12:] = head[four, 8:12]
        address[kind == _V6] = head[kind == _V6, 8:24]
    first, second = address.view(np.uint64).T
    unset = ((first | second) == 0) | (four & (address.view(np.uint32)[:, 3] == 0))
    if unset.any():
        address[unset] = intake.origins.source_addr[datagram[unset]]
    return address
