# SPDX-License-Identifier: Apache-2.0
"""Reads the sampling rate of records that carry it as a ratio or a probability (RFC 5477 §8.2); options are in ``sampling``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.wire.readers import Columns, Source, integers
from flowgauge.wire.records import Records
from flowgauge.wire.sampling import MAX_RATE

FLOAT_BYTES = (4, 8)
"""Lengths of a float64, which may be sent as a float32 (RFC 7011 §6.2)."""
SWAPPED_BYTES = 4
_NO_RATE = 1 << 24
"""Nobody samples one packet of so many: a number from here on has its bytes in the other order."""


@dataclass(frozen=True, slots=True)
class Interval:
    """samplingInterval (34) of ``SWAPPED_BYTES``, which MikroTik's records have in the byte order of its processors."""

    column: str
    source: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        told = integers(records, self.source).astype(np.uint32)
        if len(told) and told.max() >= _NO_RATE:
            swapped = told.byteswap()
            told = np.where((told >= _NO_RATE) & (swapped < _NO_RATE), swapped, told)
        out[self.column][...] = told


@dataclass(frozen=True, slots=True)
class Ratio:
    """Packets in all for each one taken, rounded; 0 where none is taken.

    Attributes:
        taken: samplingPacketInterval (305) or samplingSize (309).
        others: samplingPacketSpace (306), those left out, or samplingPopulation (310), all of them, taken ones included.
        left_out: whether it is the former.
    """

    column: str
    taken: Source
    others: Source
    left_out: bool

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        taken = integers(records, self.taken).astype(np.float64)
        whole = integers(records, self.others) + taken * self.left_out
        rate = np.rint(whole / np.maximum(taken, 1))
        out[self.column][...] = np.where(taken > 0, np.clip(rate, 1, MAX_RATE), 0)


@dataclass(frozen=True, slots=True)
class Probability:
    """samplingProbability (311); 0 where it is none."""

    column: str
    source: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        length = self.source.length
        bits = np.ascontiguousarray(integers(records, self.source)).astype(f">u{length}")
        with np.errstate(invalid="ignore"):  # of a NaN that signals
            told = bits.view(f">f{length}").astype(np.float64)
        good = (told > 1 / MAX_RATE) & (told <= 1)
        out[self.column][...] = np.where(good, np.rint(1 / np.where(good, told, 1)), 0)
