# SPDX-License-Identifier: Apache-2.0
"""Sends to one of several collectors, and to the next one while it is away.

Away is what a collector's machine says (UDP: port unreachable, always so on loopback; TCP and TLS: no connection). A datagram
that nobody answers for may get lost all the same; use TCP or TLS where that must not be. There is no way back but the next
failure: which collector is first does not matter to collectors that share a store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from flowgauge.export.messages import Message
from flowgauge.runtime import logs

PATIENCE_S = 3.0
"""How long a collector may be away, as one that restarts is, before the next one is tried."""

_log = logs.get("agent")


class Export(Protocol):
    """Hands messages to one collector."""

    @property
    def where(self) -> str:
        """The collector, for people."""

    @property
    def held(self) -> bool:
        """Whether it is away, so that messages are kept."""

    @property
    def sent_anything(self) -> bool:
        """Whether it, or the network before it, ever took a message."""

    @property
    def refused(self) -> str:
        """While it refuses us, and not only is away: why, and what to do; else empty."""

    @property
    def sent_records(self) -> int:
        """Of data, for the collector to compare with what has come."""

    def start(self) -> None:
        """Begins; a collector that is away is no error."""

    def send(self, messages: Sequence[Message], budget_s: float = 2.0) -> None:
        """Sends what is kept, then ``messages``, within about ``budget_s`` seconds; keeps what nobody takes."""

    def release(self) -> list[Message]:
        """Gives away what is kept."""

    def stop(self) -> None:
        """Ends; what is left is counted as failed. Safe to call twice."""


class FailoverExport:
    """One export in use of several; like each of them.

    Args:
        exports: in the order in which they are tried.
        greeting: makes what somebody who has just begun to listen needs first.
    """

    def __init__(self, exports: Sequence[Export], greeting: Callable[[], Sequence[Message]]) -> None:
        self._exports, self._greeting = exports, greeting
        self._used = 0
        self._away_since: float | None = None

    @property
    def where(self) -> str:
        """The collector in use, for people."""
        return self._now.where

    @property
    def held(self) -> bool:
        """Whether the one in use is away."""
        return self._now.held

    @property
    def sent_anything(self) -> bool:
        """Whether any of them got something."""
        return any(export.sent_anything for export in self._exports)

    @property
    def refused(self) -> str:
        """Why the one in use refuses us, if it does."""
        return self._now.refused

    @property
    def sent_records(self) -> int:
        """What the one in use got."""
        return self._now.sent_records

    @property
    def _now(self) -> Export:
        return self._exports[self._used]

    def start(self) -> None:
        """Begins all: names are looked up, connections are made when they are needed."""
        for export in self._exports:
            export.start()

    def send(self, messages: Sequence[Message], budget_s: float = 2.0) -> None:
        """Sends to the one in use, or turns to the next one."""
        self._now.send(messages, budget_s)
        if not self._now.held:
            self._away_since = None
            return
        now = time.monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since >= PATIENCE_S:
            self._turn(budget_s)

    def release(self) -> list[Message]:
        """What all of them keep."""
        return [message for export in self._exports for message in export.release()]

    def stop(self) -> None:
        """Ends all."""
        for export in self._exports:
            export.stop()

    def _turn(self, budget_s: float) -> None:
        kept, left = self._now.release(), self._now.where
        self._used = (self._used + 1) % len(self._exports)
        self._away_since = None
        _log.warning("export_failover", away=left, collector=self._now.where, kept_messages=len(kept))
        self._now.send([*self._greeting(), *kept], budget_s)
