# SPDX-License-Identifier: Apache-2.0
"""Exporters whose uptime is in seconds where NetFlow v9 has milliseconds: seen by how fast it rises beside the export time."""

from __future__ import annotations

import numpy as np

from flowgauge.wire.intake import Batch
from flowgauge.wire.streams import Uptime

COMPARED_S = 10
"""Export times so far apart say in which unit the uptime between them was; nearer ones may be rounding."""
_LEAST_MS, _MOST_S = 500, 2
"""Units a second that the uptime rises by: at least so many, milliseconds; at most so many, seconds."""


def compare(batch: Batch) -> None:
    """Takes in the headers' clocks of a batch: the latest of each stream, and the first where it is long before (files)."""
    number, messages = np.arange(len(batch.messages)), batch.messages
    first, last = np.zeros(len(batch.streams), np.intp), np.zeros(len(batch.streams), np.intp)
    first[batch.index[::-1]], last[batch.index] = number[::-1], number
    early = np.flatnonzero(messages.export_s[last] - messages.export_s[first] >= COMPARED_S).tolist()
    for stream, message in (*((each, int(first[each])) for each in early), *enumerate(last.tolist())):
        export_s = int(messages.export_s[message])
        _compare(batch.streams[stream].uptime, export_s, export_s * 1000 - int(messages.boot_ms[message]))


def _compare(known: Uptime, export_s: int, units: int) -> None:
    passed_s, risen = export_s - known.export_s, units - known.units
    if known.export_s >= 0 and 0 <= passed_s < COMPARED_S:
        return
    if known.export_s >= 0 and passed_s > 0 and risen > 0:
        if risen >= passed_s * _LEAST_MS:
            known.in_seconds = False
        elif risen <= passed_s * _MOST_S:
            known.in_seconds = True
    known.export_s, known.units = export_s, units
