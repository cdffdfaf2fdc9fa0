# SPDX-License-Identifier: Apache-2.0
"""Exporters whose uptime is in seconds where NetFlow v9 has milliseconds: seen by how fast it rises beside the export time.

An exporter's clock may be set meanwhile, mostly from 1970 to now soon after it started: then it goes further than our own, and
nothing is learned. (Where no receive times are told, ours stands still, and only the exporter's counts.)
"""

from __future__ import annotations

import numpy as np

from flowgauge.wire.intake import Batch
from flowgauge.wire.streams import Uptime

COMPARED_S = 10
"""Export times so far apart say in which unit the uptime between them was; nearer ones may be rounding."""
DELAYED_S = 60
"""Messages may have been under way so much longer or shorter than the one before; beyond it a clock was set."""
_LEAST_MS, _MOST_S = 500, 2
"""Units a second that the uptime rises by: at least so many, milliseconds; at most so many, seconds."""


def compare(batch: Batch) -> None:
    """Takes in the headers' clocks of a batch: the latest of each stream, and the first where it is long before (files)."""
    number, messages = np.arange(len(batch.messages)), batch.messages
    received_ns = batch.intake.origins.received_ns[messages.datagram]
    first, last = np.zeros(len(batch.streams), np.intp), np.zeros(len(batch.streams), np.intp)
    first[batch.index[::-1]], last[batch.index] = number[::-1], number
    early = np.flatnonzero(messages.export_s[last] - messages.export_s[first] >= COMPARED_S).tolist()
    for stream, message in (*((each, int(first[each])) for each in early), *enumerate(last.tolist())):
        export_s = int(messages.export_s[message])
        now = Uptime(export_s, int(received_ns[message]), export_s * 1000 - int(messages.boot_ms[message]))
        _compare(batch.streams[stream].uptime, now)


def _compare(known: Uptime, now: Uptime) -> None:
    passed_s, risen = now.export_s - known.export_s, now.units - known.units
    if known.export_s >= 0 and 0 <= passed_s < COMPARED_S:
        return
    if known.export_s >= 0 and passed_s > 0 and risen > 0 and not _was_set(passed_s, now.received_ns - known.received_ns):
        if risen >= passed_s * _LEAST_MS:
            known.in_seconds = False
        elif risen <= passed_s * _MOST_S:
            known.in_seconds = True
    known.export_s, known.received_ns, known.units = now.export_s, now.received_ns, now.units


def _was_set(passed_s: int, ours_ns: int) -> bool:
    """Whether one of both clocks was set between two messages."""
    return ours_ns != 0 and abs(passed_s - ours_ns / 1e9) > DELAYED_S
