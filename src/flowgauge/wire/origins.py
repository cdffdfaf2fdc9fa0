# SPDX-License-Identifier: Apache-2.0
"""Where the datagrams of a batch came from, and which they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.views import Offsets

OFFSET_BITS = 16
"""Bits of a position that hold the byte within a datagram."""


@dataclass(frozen=True, slots=True)
class Origins:
    """One row a datagram.

    Attributes:
        source_addr: uint8 (n, 16), the sender's address.
        received_ns: int64 (n,), wall time of arrival.
        number: int64 (n,), counts the datagrams that the decoder was given, from 0.
        source_port: uint16 (n,), the sender's.
        base: int64 (n,), where the datagram's first byte is (or would be) in the buffer, so that offsets count from it.
    """

    source_addr: npt.NDArray[np.uint8]
    received_ns: npt.NDArray[np.int64]
    number: Offsets
    base: Offsets
    source_port: npt.NDArray[np.uint16]

    def positions(self, datagram: Offsets, at: Offsets) -> Offsets:
        """What increases with the place in everything that was received: number of the datagram and byte within it."""
        return (self.number[datagram] << OFFSET_BITS) + (at - self.base[datagram])

    def position(self, datagram: int, at: int) -> int:
        """The same of one place."""
        return (int(self.number[datagram]) << OFFSET_BITS) + at - int(self.base[datagram])
