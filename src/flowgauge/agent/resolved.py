# SPDX-License-Identifier: Apache-2.0
"""Which names clients on this node resolved to which addresses: read from answers of DNS, told to collectors.

An answer is told before the flows that follow it, and again now and then while it is remembered, since options data get lost
over UDP and collectors restart; and soon, when the clock was set, since the times of flows go by another one then. What is kept
is bounded: pairs of client and address, those resolved longest ago go first.

Before: the ring buffer of the eBPF programs; after: the options data of :mod:`flowgauge.agent.messages`. Used by the main
thread only.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from flowgauge.agent import dns_answer
from flowgauge.ebpf.abi import Structured
from flowgauge.runtime.clock import boot_offset_ns
from flowgauge.schema.told import Answer

MAX_PAIRS = 16_384
"""Pairs of client and address that are remembered, about 300 B each."""
MAX_TOLD = 4_096
"""Answers told with one export, about 80 B each on the wire; what is new beyond is left out and counted."""
MAX_TOLD_AGAIN = 256
TELL_AGAIN_S = 300.0
"""An answer that is remembered is told again so often, if ``MAX_TOLD_AGAIN`` has room: within what it is held for there."""
SAME_S = 30.0
"""Clients without a cache ask for every connection: the same answer is not told more often than so."""


@dataclass(slots=True)
class _Pair:
    """``answer.learned_ms`` is by the kernel's monotonic clock until it is told."""

    answer: Answer
    told_s: float


class ResolvedNames:
    """The answers of one agent.

    Attributes:
        unread: answers that were cut off, malformed, or came without their beginning.
        left_out: new names that were not told because there were too many at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pairs: dict[tuple[bytes, bytes], _Pair] = {}
        """By client and address; those resolved last are last."""
        self._new: dict[tuple[bytes, bytes, str], Answer] = {}
        self.unread = 0
        self.left_out = 0

    def add(self, pieces: Structured) -> None:
        """Takes pieces (``abi.ANSWER_PIECE``) that were copied since the last time, in the order in which they were."""
        messages: dict[tuple[bytes, int], bytes] = {}
        for piece in pieces:
            at, length = int(piece["at"]), int(piece["length"])
            key = piece["flow"].tobytes(), int(piece["at_ns"])
            if len(messages.get(key, b"")) == at:
                messages[key] = messages.get(key, b"") + piece["data"][:length].tobytes()
        self.unread += len({(piece["flow"].tobytes(), int(piece["at_ns"])) for piece in pieces} - messages.keys())
        for (flow, at_ns), message in messages.items():
            self._learn(flow[:16], message, at_ns // 1_000_000)

    def due(self) -> list[Answer]:
        """What is to be told now: what is new, then what was told long ago."""
        told, self._new = list(self._new.values()), {}
        now = self._clock()
        again = [pair for pair in self._pairs.values() if now - pair.told_s >= TELL_AGAIN_S][:MAX_TOLD_AGAIN]
        for pair in again:
            pair.told_s = now
        offset_ms = boot_offset_ns() // 1_000_000
        return [replace(one, learned_ms=one.learned_ms + offset_ms) for one in (*told, *(pair.answer for pair in again))]

    def clock_was_set(self) -> None:
        """Everything is told again, as fast as it may be."""
        for pair in self._pairs.values():
            pair.told_s = -TELL_AGAIN_S

    def _learn(self, client: bytes, message: bytes, learned_ms: int) -> None:
        try:
            found = dns_answer.resolved(message)
        except ValueError:
            self.unread += 1
            return
        self.unread += not found.whole
        for address, ttl_s in found.addresses.items():
            if _of_somebody(address):
                self._take(Answer(client, address, found.name, learned_ms, ttl_s))

    def _take(self, answer: Answer) -> None:
        key, now = (answer.client, answer.address), self._clock()
        before = self._pairs.pop(key, None)
        same = before is not None and before.answer.name == answer.name and now - before.told_s < SAME_S
        self._pairs[key] = _Pair(answer, before.told_s if before is not None and same else now)
        if len(self._pairs) > MAX_PAIRS:
            del self._pairs[next(iter(self._pairs))]
        if same:
            return
        if len(self._new) >= MAX_TOLD:
            self.left_out += 1
            return
        self._new[*key, answer.name] = answer

    def carry_over(self, retired: ResolvedNames) -> None:
        """Remembers what ``retired`` did; counters begin anew."""
        self._pairs, self._new = retired._pairs, retired._new


def _of_somebody(address: bytes) -> bool:
    """Whether flows may go there: filters answer with no address, or their own machine's, for what they block."""
    known = ipaddress.IPv6Address(address)
    plain = known.ipv4_mapped or known
    return not (plain.is_unspecified or plain.is_loopback or plain.is_multicast)
