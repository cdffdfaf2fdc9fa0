# SPDX-License-Identifier: Apache-2.0
"""Messages that come whole, by gRPC or Kafka, on their way to the decoder; acknowledged when they are safe.

``done`` is called when the flows of a message are in the spool, so that they outlive this process: only then is the sender
told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from flowgauge.collector.session import MATRIX_BYTES
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, StreamReport


class Decodes(Protocol):
    """A decoder, as the decode thread uses it."""

    def decode(self, datagrams: Datagrams) -> Decoded:
        """The flows of datagrams or messages."""

    def finish(self) -> Mapping[str, int]:
        """No more will come: what waited for something is given up."""

    def reports(self) -> Sequence[StreamReport]:
        """How its streams stand."""


@dataclass(slots=True, eq=False)
class Road:
    """One way by which messages come, with the decoder of all of them."""

    decoder: Decodes | None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Relayed:
    """One message.

    Attributes:
        sender: 16 bytes.
    """

    payload: bytes
    sender: bytes
    port: int = 0


@dataclass(slots=True, eq=False)
class RelayedMessages:
    """Some, in their order."""

    session: Road
    messages: Sequence[Relayed]
    received_ns: int
    release: Callable[[], None]

    @property
    def count(self) -> int:
        """How many."""
        return len(self.messages)

    def datagrams(self) -> Iterator[Datagrams]:
        """Them, as the decoder takes them: long ones alone, since a row is as long as the longest."""
        start, longest = 0, 0
        for number, message in enumerate(self.messages):
            longest = max(longest, len(message.payload))
            if number > start and longest * (number - start + 1) > MATRIX_BYTES:
                yield self._matrix(self.messages[start:number])
                start, longest = number, len(message.payload)
        if self.messages[start:]:
            yield self._matrix(self.messages[start:])

    def done(self) -> None:
        """They are safe, or counted as lost."""
        self.release()

    def _matrix(self, messages: Sequence[Relayed]) -> Datagrams:
        count, slot = len(messages), max(1, *(len(message.payload) for message in messages))
        payloads = np.zeros((count, slot), np.uint8)
        for row, message in enumerate(messages):
            payloads[row, : len(message.payload)] = np.frombuffer(message.payload, np.uint8)
        return Datagrams(
            payloads=payloads,
            lengths=np.fromiter((len(message.payload) for message in messages), np.int32, count),
            source_addr=np.frombuffer(b"".join(message.sender for message in messages), np.uint8).reshape(count, 16),
            source_port=np.fromiter((message.port for message in messages), np.uint16, count),
            received_ns=np.full(count, self.received_ns, np.int64),
        )
