# SPDX-License-Identifier: Apache-2.0
"""How fast an export sends, and how long it waits for somebody who is away."""

from __future__ import annotations

import time
from collections.abc import Callable

DATAGRAMS_PER_S = 8_000
"""Pace over UDP, about 40,000 flows with names: what one collector decodes without effort."""
BURST_S = 0.004
"""How far ahead of its pace an export may be: 32 datagrams, a third of what a default receive buffer holds."""
RETRY_S = 0.2
"""Between two tries to reach somebody who is away."""

Sleep = Callable[[float], None]


class Pace:
    """Holds back so that at most ``flows_per_s`` flows and ``messages_per_s`` messages pass; 0 sets no bound.

    After a pause there is no burst to make up for it.
    """

    def __init__(self, flows_per_s: float, messages_per_s: float, sleep: Sleep = time.sleep) -> None:
        self._flow_s = 1 / flows_per_s if flows_per_s else 0.0
        self._message_s = 1 / messages_per_s if messages_per_s else 0.0
        self._sleep = sleep
        self._due = 0.0

    def wait(self, flows: int) -> None:
        """Called before a message with ``flows`` is sent."""
        now = time.monotonic()
        self._due = max(self._due, now) + max(self._message_s, flows * self._flow_s)
        if self._due - now > BURST_S:
            self._sleep(self._due - now)


class Patience:
    """Waits for somebody who is away, altogether ``seconds`` long, and then no more until they were there again."""

    def __init__(self, seconds: float, sleep: Sleep = time.sleep) -> None:
        self._seconds, self._sleep = seconds, sleep
        self._since: float | None = None

    def there(self) -> None:
        """They answered."""
        self._since = None

    def wait(self) -> bool:
        """Waits a little; False when the time is over."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._seconds:
            return False
        self._sleep(RETRY_S)
        return True
