# SPDX-License-Identifier: Apache-2.0
"""Messages that nobody has taken yet: in order, bounded, with what does not fit counted. Safe from several threads."""

from __future__ import annotations

import threading
from collections import deque

from flowgauge.agent.not_sent import NotSent
from flowgauge.export.messages import Message

BACKLOG_BYTES = 16 << 20
"""Bytes of messages kept while nobody listens: about 180 000 flows; beyond it the oldest are counted as failed."""


class Backlog:
    """Kept messages, oldest first.

    Args:
        not_sent: gets what there was no room for.
    """

    def __init__(self, not_sent: NotSent) -> None:
        self._not_sent = not_sent
        self._lock = threading.Lock()
        self._messages: deque[Message] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, message: Message) -> None:
        """Puts a message at the end; the oldest go where there is no room."""
        with self._lock:
            self._messages.append(message)
            self.size_bytes += len(message.payload)
            full = [self._popped() for _ in self._beyond()]
        for one in full:
            self._not_sent.count(one, "backlog_full")

    def first(self) -> Message | None:
        """The oldest; it stays until it is taken."""
        with self._lock:
            return self._messages[0] if self._messages else None

    def take(self, message: Message) -> None:
        """Removes the oldest, if it is still ``message``: it may have been given up meanwhile."""
        with self._lock:
            if self._messages and self._messages[0] is message:
                self._popped()

    def give_up(self) -> list[Message]:
        """Empties it: what was kept, oldest first."""
        with self._lock:
            kept = list(self._messages)
            self._messages.clear()
            self.size_bytes = 0
        return kept

    def _beyond(self) -> range:
        """One for each of the oldest messages that are too many."""
        excess, count = self.size_bytes - BACKLOG_BYTES, 0
        for message in self._messages:
            if excess <= 0:
                break
            excess -= len(message.payload)
            count += 1
        return range(count)

    def _popped(self) -> Message:
        message = self._messages.popleft()
        self.size_bytes -= len(message.payload)
        return message
