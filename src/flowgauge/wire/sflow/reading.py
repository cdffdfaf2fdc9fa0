# SPDX-License-Identifier: Apache-2.0
"""What is passed along while the records of samples are read into columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.intake import Intake
from flowgauge.wire.packet_headers_bytes import Index, Numbers, Windows
from flowgauge.wire.packet_headers_link import MAX_LABELS
from flowgauge.wire.sflow.parts import Parts, Rounds
from flowgauge.wire.sflow.samples import Samples
from flowgauge.wire.sflow.sheet import Sheet
from flowgauge.wire.views import Offsets

ENTERPRISE_RECORDS = 4096
"""The formats from here on are an enterprise's own."""
NOTHING, PORTS, IP = 0, 1, 2


@dataclass(slots=True)
class Reading:
    """The samples of one kind and their records.

    Attributes:
        rounds: all records.
        formats: how many records there are of each format of sFlow's own; the last element counts all others.
        sheet: what is found.
        lacking: what the packet of each sample lacks: ``NOTHING``, ``PORTS`` that were not captured, or ``IP`` altogether.
        labels: MPLS label stacks, uint32 (n, ``MAX_LABELS``), entries as on the wire; None: there are none (see ``stacks``).
    """

    intake: Intake
    windows: Windows
    samples: Samples
    rounds: Rounds
    formats: npt.NDArray[np.int64]
    sheet: Sheet
    lacking: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint32] | None = None

    @classmethod
    def of(cls, intake: Intake, windows: Windows, samples: Samples, rounds: Rounds) -> Reading:
        """Of samples and their records, nothing read yet."""
        formats = rounds.formats(ENTERPRISE_RECORDS)
        lacking = np.full(len(samples), IP, np.uint8)
        return cls(intake, windows, samples, rounds, formats, Sheet(len(samples)), lacking)

    def stacks(self) -> npt.NDArray[np.uint32]:
        """``labels``, to be filled."""
        if self.labels is None:
            self.labels = np.zeros((len(self.samples), MAX_LABELS), np.uint32)
        return self.labels

    def records(self, tag: int, size: int) -> Parts:
        """The first record of each sample in this format; those shorter than ``size`` bytes are named and left out."""
        found = self.rounds.firsts(tag)
        short = found.end - found.start < size
        if short.any():
            self.problem(found.owner[short], found.start[short], "record_fields", str(size), (found.end - found.start)[short])
            found = found.take(~short)
        return found

    def problem(self, row: Index, at: Offsets, cause: str, expected: Numbers | str, found: Numbers | str) -> None:
        """Names malformed places in the samples at ``row``."""
        self.intake.problems.add_all(self.samples.datagram[row], at, cause, expected, found)
