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
_SHARE = 0.25
"""Weight of the latest portion, when it held fewer than those before. It has all of that when it was as large as the guess
wants: a few datagrams with templates alone say little, and after one with very many flows, which hostile senders can make,
small portions must not last."""


class Portions:
    """Of one stream of datagrams; used by one thread."""

    def __init__(self) -> None:
        self._flows = _FIRST_GUESS
        """Flows of a datagram, lately."""

    def of(self, datagrams: Datagrams) -> Iterator[Datagrams]:
        """All of them, in portions of about equal size, each by what is known when it is asked for."""
        at, count = 0, len(datagrams)
        while at < count:
            left = count - at
            portions = min(left, max(1, round(left * self._flows / FLOWS)))
            stop = at - (-left // portions)
            yield datagrams.part(at, stop)
            at = stop

    def note(self, datagrams: int, flows: int) -> None:
        """Takes note of what a portion held."""
        if datagrams:
            latest = flows / datagrams
            weight = _SHARE * min(1.0, datagrams * self._flows / FLOWS)
            self._flows = max(latest, self._flows + weight * (latest - self._flows))
