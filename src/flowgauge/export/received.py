# SPDX-License-Identifier: Apache-2.0
"""What one receive brought: datagrams in their slots, with lengths and senders as columns."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import AddressColumn, from_ipv4
from flowgauge.runtime.linux import RECEIVED_AT, RECEIVED_BYTES, SOCKADDR_BYTES, MessageSlots

SLOTS = 64
"""Datagrams received and sent at once: 4 MiB, since each slot holds the longest datagram there is."""
SLOT_BYTES = 65_536

_HEADER = np.dtype({
    "names": list(RECEIVED_AT), "formats": [np.uint32, np.uint32, np.int32], "offsets": list(RECEIVED_AT.values()),
    "itemsize": RECEIVED_BYTES,
})  # fmt: skip


class Inlet(Protocol):
    """The socket on which datagrams come: ``collector.udp_socket.UdpSocket``."""

    def open(self) -> None:
        """Binds."""

    def descriptor(self) -> int:
        """For recvmmsg."""

    def new_drops(self) -> int:
        """Datagrams that the kernel dropped since the last call."""

    def refuse_more(self) -> None:
        """Takes no further datagram, and keeps those that wait."""

    def close(self) -> None:
        """Gives the port back."""

    @property
    def ipv6(self) -> bool:
        """Whether senders' addresses are struct sockaddr_in6."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in use."""


class Received:
    """Slots that are filled again and again.

    Attributes:
        count: datagrams of the last receive.
        places: where each slot's bytes are in memory, uint64 (SLOTS,).
    """

    def __init__(self) -> None:
        self._slots = MessageSlots(SLOTS, SLOT_BYTES)
        self._headers = _view(self._slots.headers, _HEADER)
        self._senders = _view(self._slots.senders, np.uint8).reshape(SLOTS, SOCKADDR_BYTES)
        first = np.uint64(_view(self._slots.payloads, np.uint8).ctypes.data)
        self.places: npt.NDArray[np.uint64] = np.arange(SLOTS, dtype=np.uint64) * np.uint64(SLOT_BYTES) + first
        self._ipv6 = False
        self.count = 0

    def receive(self, inlet: Inlet, *, wait: bool) -> int:
        """Replaces the datagrams by those that ``inlet`` has now; how many came."""
        # The kernel has overwritten the length of each address, which says how much room there is.
        self._headers["namelen"][: self.count] = SOCKADDR_BYTES
        self.count, self._ipv6 = self._slots.receive(inlet.descriptor(), 0, SLOTS, wait=wait), inlet.ipv6
        return self.count

    @property
    def lengths(self) -> npt.NDArray[np.uint64]:
        """Bytes of each datagram."""
        return self._headers["length"][: self.count].astype(np.uint64)

    @property
    def addresses(self) -> AddressColumn:
        """Senders' addresses. struct sockaddr_in: family, port, 4 bytes; sockaddr_in6: family, port, flow label, 16 bytes."""
        senders = self._senders[: self.count]
        return np.ascontiguousarray(senders[:, 8:24]) if self._ipv6 else from_ipv4(senders[:, 4:8])

    @property
    def ports(self) -> npt.NDArray[np.uint16]:
        """Senders' ports."""
        return np.ascontiguousarray(self._senders[: self.count, 2:4]).view(">u2").reshape(-1).astype(np.uint16)


def _view(memory: Any, dtype: Any) -> npt.NDArray[Any]:
    return np.frombuffer(memory, dtype)
