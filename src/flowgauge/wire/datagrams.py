# SPDX-License-Identifier: Apache-2.0
"""Received datagrams as columns: what a listener (or a capture file) hands to :class:`flowgauge.wire.decoder.Decoder`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import packed

MIN_SLOT_BYTES = 32
"""Slots of :meth:`Datagrams.laid_out` are at least so long, so that tiny payloads need no special case."""
MATRIX_BYTES = 4 << 20
"""Messages are laid out in slots of one length; a few long ones among many short ones are parted at this size."""


@dataclass(frozen=True, slots=True)
class Datagrams:
    """A batch of n datagrams in fixed slots, so that headers of all of them are read at once.

    Attributes:
        payloads: uint8 (n, slot), C-contiguous; row i is valid up to ``lengths[i]``. The decoder keeps no reference to it:
            the receiver may fill the same buffer again as soon as ``decode`` has returned.
        lengths: int32 (n,), each at most slot.
        source_addr: uint8 (n, 16), the sender's address, IPv4 as v4-mapped.
        source_port: uint16 (n,).
        received_ns: int64 (n,), wall time of arrival, ns since 1970 UTC.
        missing: int32 (n,), bytes at the end of each that were sent and are not here: beyond a capture's snapshot length, or
            a buffer that was too short. None: there are none.
    """

    payloads: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.int32]
    source_addr: npt.NDArray[np.uint8]
    source_port: npt.NDArray[np.uint16]
    received_ns: npt.NDArray[np.int64]
    missing: npt.NDArray[np.int32] | None = None

    @classmethod
    def from_payloads(
        cls, payloads: Sequence[bytes], source: str = "127.0.0.1", port: int = 0, received_ns: int = 0
    ) -> Datagrams:
        """Lays out ``payloads`` as a receiver would; all from one ``source`` and at one time. For files and tests."""
        return cls.laid_out(payloads, packed(source) * len(payloads), [port] * len(payloads), received_ns)

    @classmethod
    def laid_out(cls, payloads: Sequence[bytes], senders: bytes, ports: Sequence[int], received_ns: int) -> Datagrams:
        """Payloads that came one by one, at one time.

        Args:
            payloads: n of them.
            senders: their addresses, 16 bytes each.
            ports: their source ports.
            received_ns: when they came.
        """
        lengths = np.fromiter(map(len, payloads), np.int32, len(payloads))
        slots = np.zeros((len(payloads), max(int(lengths.max(initial=0)), MIN_SLOT_BYTES)), np.uint8)
        for row, payload in enumerate(payloads):
            slots[row, : len(payload)] = np.frombuffer(payload, np.uint8)
        return cls(
            payloads=slots,
            lengths=lengths,
            source_addr=np.frombuffer(bytearray(senders), np.uint8).reshape(-1, 16),
            source_port=np.array(ports, np.uint16),
            received_ns=np.full(len(payloads), received_ns, np.int64),
        )

    def part(self, first: int, stop: int) -> Datagrams:
        """Neighbours, without copying."""
        return self._rows(slice(first, stop))

    def take(self, rows: npt.NDArray[np.bool_]) -> Datagrams:
        """The chosen ones."""
        return self._rows(rows)

    def _rows(self, rows: slice | npt.NDArray[np.bool_]) -> Datagrams:
        return Datagrams(
            self.payloads[rows],
            self.lengths[rows],
            self.source_addr[rows],
            self.source_port[rows],
            self.received_ns[rows],
            None if self.missing is None else self.missing[rows],
        )

    def __len__(self) -> int:
        return len(self.lengths)


def neighbours(payloads: Sequence[bytes]) -> Iterator[slice]:
    """Which payloads to lay out together, in their order: long ones alone, since a slot is as long as the longest."""
    start, longest = 0, 0
    for number, payload in enumerate(payloads):
        longest = max(longest, len(payload))
        if number > start and longest * (number - start + 1) > MATRIX_BYTES:
            yield slice(start, number)
            start, longest = number, len(payload)
    if start < len(payloads):
        yield slice(start, len(payloads))
