# SPDX-License-Identifier: Apache-2.0
"""Sequence numbers of a whole batch: streams whose messages all follow each other are found at once, others one by one."""

from __future__ import annotations

import numpy as np

from flowgauge.wire.intake import Batch
from flowgauge.wire.sequence import Seen
from flowgauge.wire.views import Mask, Offsets


def judge(batch: Batch, records: Offsets, has_flows: Mask | None = None, *, by_message: bool = False) -> None:
    """Judges every message; ``records``: data records in each, -1 where a template was missing.

    With ``has_flows`` (of each message) the numbers of a domain 0 that only tells of its exporter are not judged: Open vSwitch
    goes on with another domain's numbers there, where RFC 7011 §3.1 has each domain count for itself.

    With ``by_message``, numbers count messages, and the records only tell what a lost one may have held.
    """
    messages, index = batch.messages, batch.index
    order = np.argsort(index, kind="stable")
    owner, sequence, carried = index[order], messages.sequence[order].astype(np.int64), records[order]
    held = np.ones_like(carried) if by_message else carried
    export_s, received_ns = messages.export_s[order], batch.intake.origins.received_ns[messages.datagram[order]]
    follows = np.ones(len(order), np.bool_)
    follows[1:] = (sequence[:-1] + held[:-1] & 0xFFFFFFFF == sequence[1:]) | (owner[1:] != owner[:-1])
    follows &= held >= 0
    firsts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
    smooth = np.logical_and.reduceat(follows, firsts).tolist()
    runs = list(zip(firsts.tolist(), [*firsts[1:].tolist(), len(order)], smooth, strict=True))
    if has_flows is not None and not messages.domain.all():
        runs.sort(key=lambda run: batch.streams[int(owner[run[0]])].domain)  # what domain 0 tells is known to the others
    for first, last, easy in runs:
        stream = batch.streams[int(owner[first])]
        stream.heard_ns = int(received_ns[last - 1])
        stream.skew_ns = stream.heard_ns - int(export_s[last - 1]) * 1_000_000_000
        if has_flows is not None and stream.only_tells:
            stream.only_tells = not has_flows[order[first:last]].any()
        if has_flows is not None and stream.only_tells:
            stream.asides.extend(zip(sequence[first:last].tolist(), carried[first:last].tolist(), strict=True))
            continue
        state = stream.sequence
        if by_message:
            known = carried[first:last][carried[first:last] >= 0]
            state.carried(int(known.sum()), len(known))
        if easy and state.follows(int(sequence[first])):
            state.skip(sequence[first:last], held[first:last], export_s[first:last])
        else:
            rows = slice(first, last)
            for seen in zip(sequence[rows].tolist(), held[rows].tolist(), export_s[rows].tolist(),
                            received_ns[rows].tolist(), strict=True):  # fmt: skip
                state.observe(Seen(*seen), batch.intake.counts)
