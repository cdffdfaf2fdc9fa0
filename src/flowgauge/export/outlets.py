# SPDX-License-Identifier: Apache-2.0
"""Where datagrams are passed on to: a receiver each, with one system call for a whole batch. One thread.

A receiver that is away costs the others nothing: a datagram that cannot be sent is counted and gone. When a machine answers
with ICMP port unreachable, the kernel tells so with a later datagram; the earlier one counts as failed, this one is sent.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.errors import EnvironmentProblem
from flowgauge.export.addresses import is_local
from flowgauge.runtime.linux import OutgoingMessages

SEND_BUFFER_BYTES = 4 << 20
SEND_WAIT_S = 0.05
"""How long a send may wait for room in the socket's buffer: meanwhile what arrives waits in the receiving socket's."""

_PLACE = np.dtype([("address", np.uint64), ("length", np.uint64)])


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody who gets the datagrams: what was asked for, and the address it means."""

    host: str
    port: int
    family: int
    address: tuple[Any, ...]

    @classmethod
    def of(cls, host: str, port: int) -> Receiver:
        """Looked up now; EnvironmentProblem when the name has no address."""
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise EnvironmentProblem(f"--to {host}: {error.strerror or error}") from error
        return cls(host, port, family, address)

    def connect(self, sender: socket.socket) -> None:
        """Sends go here from now on; EnvironmentProblem for a broadcast address, or when no way leads there."""
        try:
            sender.connect(self.address)
        except OSError as error:
            raise EnvironmentProblem(f"--to {self.text}: {error.strerror or error}") from error

    @property
    def text(self) -> str:
        """For people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return is_local(str(self.address[0]))

    @property
    def sockaddr(self) -> bytes:
        """As the kernel takes it: struct sockaddr_in or sockaddr_in6."""
        host = socket.inet_pton(self.family, str(self.address[0]).partition("%")[0])
        head = struct.pack("=H", self.family) + struct.pack("!H", self.port)
        if self.family == socket.AF_INET:
            return head + host + bytes(8)
        flow, scope = self.address[2:4]
        return head + struct.pack("!I", flow) + host + struct.pack("=I", scope)


@dataclass(slots=True)
class Passed:
    """What became of the datagrams for one receiver, by cause where they failed."""

    sent: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, offered: int, failed: Counter[str]) -> None:
        """Counts one batch."""
        self.sent += offered - failed.total()
        self.failed.update(failed)


class Outlet:
    """Sends from one socket to one receiver.

    Args:
        peer: of an unconnected socket; empty for a connected one.
    """

    def __init__(self, capacity: int, peer: bytes = b"") -> None:
        self._outgoing = OutgoingMessages(capacity, peer)
        memory: Any = self._outgoing.places
        self._places = np.frombuffer(memory, _PLACE)

    def send(self, descriptor: int, addresses: npt.NDArray[np.uint64], lengths: npt.NDArray[np.uint64]) -> Counter[str]:
        """Sends datagrams that lie at ``addresses`` in memory; how many failed, by cause."""
        count = len(addresses)
        self._places["address"][:count], self._places["length"][:count] = addresses, lengths
        failed: Counter[str] = Counter()
        at, stopped = 0, False
        while at < count:
            try:
                at += self._outgoing.send(descriptor, at, count)
            except OSError as error:
                number = error.errno or errno.EIO
                failed[errno.errorcode.get(number, str(number))] += 1
                # Of an earlier datagram: this one is tried again.
                at += number != errno.ECONNREFUSED
                stopped = False
            else:
                # After a part of them only, the kernel has kept the cause to itself: most often what it says of an earlier one.
                failed["ECONNREFUSED"] += stopped
                stopped = at < count
        return +failed


def sending_socket(family: int) -> socket.socket:
    """A UDP socket with room for bursts."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, int(SEND_WAIT_S * 1e6)))
    return made
