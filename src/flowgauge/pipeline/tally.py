# SPDX-License-Identifier: Apache-2.0
"""What the stages count in one batch: kept until the result is stored, since a batch may pass the stages more than once."""

from __future__ import annotations

from typing import Protocol

from flowgauge.runtime.ledger import BY_NAME


class Counts(Protocol):
    """Where a stage counts: a tally, or straight a ledger."""

    def add(self, name: str, count: int = 1) -> None:
        """Adds to a counter of the ledger; KeyError for a name that is none."""


class Tally:
    """Increments of ledger counters; used by whoever holds the pipeline."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, name: str, count: int = 1) -> None:
        """See ``Counts.add``."""
        if name not in BY_NAME:
            raise KeyError(name)
        if count:
            self._counts[name] = self._counts.get(name, 0) + count

    def take(self) -> dict[str, int]:
        """What was counted since the last call."""
        counts, self._counts = self._counts, {}
        return counts
