# SPDX-License-Identifier: Apache-2.0
"""Messages that come whole, by gRPC or Kafka, on their way to the decoder; acknowledged when they are safe.

``done`` is called when the flows of a message are in the spool, so that they outlive this process: only then is the sender
told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flowgauge.wire.datagrams import Datagrams, neighbours
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
        """Them, as the decoder takes them."""
        payloads = [message.payload for message in self.messages]
        for rows in neighbours(payloads):
            part = self.messages[rows]
            senders, ports = b"".join(message.sender for message in part), [message.port for message in part]
            yield Datagrams.laid_out(payloads[rows], senders, ports, self.received_ns)

    def done(self, flows: int) -> None:  # noqa: ARG002 - as a block's
        """They are safe, or counted as lost."""
        self.release()
