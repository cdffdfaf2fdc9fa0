# SPDX-License-Identifier: Apache-2.0
"""Data sets and the records cut from them, not yet read into columns. Cut by ``cutting``, read by ``readers``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.views import ByteView, Offsets, Structured

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class DataSets:
    """m data sets of one layout.

    Attributes:
        start, end: bytes of their contents in the buffer.
        datagram: where they came from.
        export_s: export time of their messages, seconds since 1970.
        boot_ms: start of their exporters, ms since 1970, or ``framing.NOT_TOLD``.
        in_seconds: exporters whose uptimes count seconds, not milliseconds; None: there is none.
        cut: whether their datagrams were cut within them; None: none was.
    """

    start: Offsets
    end: Offsets
    datagram: Offsets
    export_s: Offsets
    boot_ms: Offsets
    in_seconds: npt.NDArray[np.bool_] | None = None
    cut: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Spans:
    """Values of one field of variable length: n pieces of the buffer."""

    view: ByteView
    start: Offsets
    length: Offsets


@dataclass(frozen=True, slots=True)
class Records:
    """n records of one layout, cut but not yet read.

    Attributes:
        fixed: their fields of fixed length, shape (n,), dtype ``Layout.fixed``.
        spans: their fields of variable length, by index of the field.
        set_row: (n,), for each record which of ``sets`` it came from.
    """

    fixed: Structured
    spans: Mapping[int, Spans]
    set_row: Index
    sets: DataSets

    def __len__(self) -> int:
        return len(self.set_row)

    def take(self, rows: Index) -> Records:
        """The chosen records."""
        spans = {field: Spans(span.view, span.start[rows], span.length[rows]) for field, span in self.spans.items()}
        return Records(self.fixed[rows], spans, self.set_row[rows], self.sets)
