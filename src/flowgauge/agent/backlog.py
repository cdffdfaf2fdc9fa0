# SPDX-License-Identifier: Apache-2.0
"""Messages that nobody has taken yet: in order, bounded, with what does not fit counted. Safe from several threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

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
        self.size_bytes = self._in_hand = 0

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, message: Message) -> None:
        """Puts a message at the end; the oldest go where there is no room."""
        with self._lock:
            self._messages.append(message)
            self.size_bytes += len(message.payload)
            full = self._overflow()
        for one in full:
            self._not_sent.count(one, "backlog_full")

    def put_back(self, messages: Sequence[Message]) -> None:
        """Puts what was taken and did not arrive before all others; nothing is in hand then."""
        with self._lock:
            self._in_hand = 0
            self._messages.extendleft(reversed(messages))
            self.size_bytes += sum(len(message.payload) for message in messages)
            full = self._overflow()
        for one in full:
            self._not_sent.count(one, "backlog_full")

    def first(self) -> Message | None:
        """The oldest, to be sent; it stays until it is taken, however much comes meanwhile."""
        with self._lock:
            self._in_hand = min(1, len(self._messages))
            return self._messages[0] if self._messages else None

    def take(self, message: Message) -> None:
        """Removes the oldest, if it is still ``message``: all may have been given up meanwhile."""
        with self._lock:
            if self._messages and self._messages[0] is message:
                self._removed(0)
                self._in_hand = 0

    def give_up(self) -> list[Message]:
        """Empties it: what was kept, oldest first."""
        with self._lock:
            self._in_hand = 0
            return self._all_but_in_hand()

    def give_up_the_rest(self) -> list[Message]:
        """Empties it but for the one in hand, which may be on its way: what was kept, oldest first."""
        with self._lock:
            return self._all_but_in_hand()

    def _all_but_in_hand(self) -> list[Message]:
        return [self._removed(self._in_hand) for _ in range(len(self._messages) - self._in_hand)]

    def _overflow(self) -> list[Message]:
        """Removes the oldest that are too many; not the one in hand, which may have been sent already."""
        found = []
        while self.size_bytes > BACKLOG_BYTES and len(self._messages) > self._in_hand:
            found.append(self._removed(self._in_hand))
        return found

    def _removed(self, place: int) -> Message:
        message = self._messages[place]
        del self._messages[place]
        self.size_bytes -= len(message.payload)
        return message
