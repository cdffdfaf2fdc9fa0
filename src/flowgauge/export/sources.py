# SPDX-License-Identifier: Apache-2.0
"""Datagrams passed on from the address they came from, so that receivers see the device and not us. One thread.

Not raw sockets: one that is *transparent* (Linux, IP_TRANSPARENT) may be bound to any address, and the kernel then makes
headers, checksums and fragments of IPv4 and IPv6 as for every other datagram. It needs CAP_NET_RAW or CAP_NET_ADMIN. Each
sender gets a socket bound to its address and port; the least recently used is closed when there are too many.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter, OrderedDict

import numpy as np
import numpy.typing as npt

from flowgauge.errors import EnvironmentProblem
from flowgauge.export.outlets import Outlet, Receiver, sending_socket
from flowgauge.flow.addresses import V4_MAPPED_PREFIX

MAX_SOURCES = 512
"""Sockets at once, one a sender; half of the descriptors that a process usually may have."""

_IPV6_TRANSPARENT = 75
_OPTIONS = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TRANSPARENT),
    socket.AF_INET6: (socket.IPPROTO_IPV6, _IPV6_TRANSPARENT),
}

Sender = tuple[bytes, int]
"""16 bytes of address, and the port."""


class KeptSources:
    """Sends to ``receivers`` from whatever address a datagram came.

    Args:
        capacity: datagrams sent at once.
    """

    def __init__(self, receivers: list[Receiver], capacity: int) -> None:
        self._outlets = [(receiver, Outlet(capacity, receiver.sockaddr)) for receiver in receivers]
        self._sockets: OrderedDict[Sender, socket.socket] = OrderedDict()

    def check(self) -> None:
        """EnvironmentProblem when the kernel does not let us."""
        try:
            _transparent(socket.AF_INET).close()
        except PermissionError as error:
            raise EnvironmentProblem("--keep-source needs root, or the capability CAP_NET_RAW") from error

    def send(self, sender: Sender, addresses: npt.NDArray[np.uint64], lengths: npt.NDArray[np.uint64]) -> list[Counter[str]]:
        """Sends the datagrams of one sender, which lie at ``addresses``; for each receiver how many failed, by cause."""
        family = socket.AF_INET if sender[0].startswith(V4_MAPPED_PREFIX) else socket.AF_INET6
        try:
            descriptor = self._socket(sender, family).fileno()
        except OSError as error:
            cause = errno.errorcode.get(error.errno or 0, "socket")
            return [Counter({cause: len(addresses)}) for _ in self._outlets]
        return [
            outlet.send(descriptor, addresses, lengths)
            if receiver.family == family
            else Counter({"other_ip_version": len(addresses)})
            for receiver, outlet in self._outlets
        ]

    def close(self) -> None:
        """Closes the sockets; safe to call twice."""
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()

    def _socket(self, sender: Sender, family: int) -> socket.socket:
        found = self._sockets.get(sender)
        if found is None:
            found = self._sockets[sender] = _bound(sender, family)
            if len(self._sockets) > MAX_SOURCES:
                self._sockets.popitem(last=False)[1].close()
        self._sockets.move_to_end(sender)
        return found


def _bound(sender: Sender, family: int) -> socket.socket:
    """A socket that sends from the sender's address and port.

    A port that a program of this very machine has open, as exporters that run here do, cannot be had a second time: then the
    kernel chooses one, and the address alone is kept.
    """
    address, port = sender
    host = socket.inet_ntop(family, address[12:] if family == socket.AF_INET else address)
    made = _transparent(family)
    try:
        try:
            made.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            made.bind((host, 0))
    except OSError:
        made.close()
        raise
    return made


def _transparent(family: int) -> socket.socket:
    made = sending_socket(family)
    try:
        made.setsockopt(*_OPTIONS[socket.AddressFamily(family)], 1)
    except OSError:
        made.close()
        raise
    return made
