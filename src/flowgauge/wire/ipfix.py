# SPDX-License-Identifier: Apache-2.0
"""Finds the messages and sets of IPFIX datagrams (RFC 7011 §3), of a whole batch in lockstep."""

from __future__ import annotations

import numpy as np

from flowgauge.wire.framing import NOT_TOLD, Messages, Sets, joined, walk_sets, without_reserved
from flowgauge.wire.problems import Problems
from flowgauge.wire.views import ByteView, Offsets

VERSION = 10
HEADER_BYTES = 16
SET_HEADER_BYTES = 4
TEMPLATE_SET, OPTIONS_TEMPLATE_SET, FIRST_DATA_SET = 2, 3, 256
MAX_MESSAGES = 64
"""Messages read in one datagram; exporters send one, files are cut before they get here."""


def messages(view: ByteView, datagram: Offsets, start: Offsets, end: Offsets, problems: Problems) -> Messages:
    """The messages of datagrams that begin with version 10; more than one in a datagram are found one after the other.

    A message that ends behind its datagram is malformed (RFC 7011 §3.1: the length is that of the message), and none of it is
    read; unless the datagram was cut on its way to us: then it ends where that was.
    """
    starts, ends, owners, lacking = [], [], [], []
    for _ in range(MAX_MESSAGES):
        whole = end - start >= HEADER_BYTES
        short = ~whole & (end > start) & (problems.missing[datagram] == 0)
        if short.any():
            problems.add_all(datagram[short], start[short], "message_header", "16 bytes", (end - start)[short])
        datagram, start, end = datagram[whole], start[whole], end[whole]
        if not len(start):
            break
        length = view.u16[start + 2].astype(np.int64)
        room = end - start + problems.missing[datagram]
        good = (view.u16[start] == VERSION) & (length >= HEADER_BYTES) & (length <= room)
        if not good.all():
            bad = ~good
            problems.add_all(datagram[bad], start[bad] + 2, "message_length", room[bad], length[bad])
            datagram, start, end, length = datagram[good], start[good], end[good], length[good]
        starts.append(start)
        ends.append(np.minimum(start + length, end))
        lacking.append(np.maximum(start + length - end, 0))
        owners.append(datagram)
        start = start + length
    begin = joined(starts)
    order = np.argsort(begin) if len(starts) > 1 else slice(None)  # several in a datagram: back into order of arrival
    begin = begin[order]
    return Messages(
        datagram=joined(owners)[order],
        start=begin,
        end=joined(ends)[order],
        export_s=view.u32[begin + 4].astype(np.int64),
        sequence=view.u32[begin + 8].astype(np.uint32),
        domain=view.u32[begin + 12].astype(np.uint32),
        boot_ms=np.full(len(begin), NOT_TOLD),
        missing=joined(lacking)[order],
    )


def sets(view: ByteView, found: Messages, problems: Problems) -> Sets:
    """The sets of all messages; those of reserved ids (NetFlow v9's 0 and 1 too) are passed over (RFC 7011 §3.3.2)."""
    every = walk_sets(view, found, HEADER_BYTES, problems)
    known = (every.set_id >= FIRST_DATA_SET) | (every.set_id == TEMPLATE_SET) | (every.set_id == OPTIONS_TEMPLATE_SET)
    return without_reserved(found, every, ~known, "2, 3 or from 256", problems)
