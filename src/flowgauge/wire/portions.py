# SPDX-License-Identifier: Apache-2.0
"""Cuts what was received into batches that are cheap to decode: many flows, but not more than caches and kept memory hold.

Before: listeners; after: the decoder. How many flows a datagram holds is known only afterwards (30 of NetFlow 5, six of
sFlow), so the next portions are cut by what the last ones held. Too large a one costs more than too small ones: its columns
take memory of their own, which is new to the process, and filling new memory costs several times what decoding does. So the
guess begins high, rises at once and falls slowly.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowgauge.wire.datagrams import Datagrams

FLOWS = 1 << 15
"""Flows of a portion, about: below 20,000 a batch's own cost shows; each takes 300 B while it is decoded and written."""

_FIRST_GUESS = 30.0
"""Flows of a datagram before any was decoded: a full one of NetFlow 5, which holds the most of all common ones."""
_SHARE, _MANY = 0.25, 1024
"""Weight of the latest portion, when it held fewer than those before, and of how many datagrams it must be for all of that:
a few with templates alone say little."""


class Portions:
    """Of one stream of datagrams; used by one thread."""

    def __init__(self) -> None:
        self._flows = _FIRST_GUESS
        """Flows of a datagram, lately."""

    def of(self, datagrams: Datagrams) -> Iterator[Datagrams]:
        """All of them, in portions of about equal size."""
        count = len(datagrams)
        portions = min(count, max(1, round(count * self._flows / FLOWS)))
        for number in range(portions):
            yield datagrams.part(count * number // portions, count * (number + 1) // portions)

    def note(self, datagrams: int, flows: int) -> None:
        """Takes note of what a portion held."""
        if datagrams:
            latest = flows / datagrams
            self._flows = max(latest, self._flows + _SHARE * min(1.0, datagrams / _MANY) * (latest - self._flows))
