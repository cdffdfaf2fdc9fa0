# SPDX-License-Identifier: Apache-2.0
"""Which addresses something was learned about, as a log: whoever keeps answers reads it on, and asks again about those.

Not thread-safe: ``kubernetes`` holds the lock.
"""

from __future__ import annotations

KEPT = 50_000
"""Entries that are kept at least, about 50 B each; who is further behind has to ask about everything again."""


class Touched:
    """Empty at first; a position in it never goes back."""

    def __init__(self) -> None:
        self._first = 0
        self._log: list[bytes] = []

    def add(self, address: bytes) -> None:
        """Something about an address has changed."""
        self._log.append(address)
        if len(self._log) >= 2 * KEPT:
            self._first += KEPT
            del self._log[:KEPT]

    def since(self, position: int) -> tuple[set[bytes] | None, int]:
        """(the addresses from a position on, None when they are not known any more; the position to go on from)."""
        end = self._first + len(self._log)
        return (set(self._log[position - self._first :]) if position >= self._first else None), end
