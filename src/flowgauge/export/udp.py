# SPDX-License-Identifier: Apache-2.0
"""Messages as datagrams. A machine that answers with ICMP port unreachable is waited for: nobody listens there yet."""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence

from flowgauge.errors import EnvironmentProblem
from flowgauge.export.counts import Counts
from flowgauge.export.messages import Message, Numbering
from flowgauge.export.pace import RETRY_S, Patience, Sleep
from flowgauge.export.settings import ExportSettings

SEND_BUFFER_BYTES = 1 << 20

_AWAY = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_BUSY = frozenset({errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM})
"""The local queue is full: a short wait helps."""
_BUSY_TRIES = 100
_BUSY_S = 0.001


class UdpTransport:
    """Sends between ``start`` and ``close``.

    Args:
        settings: the receiver, the protocol, and how long nobody's listening is waited out.
        greeting: makes what somebody who has just begun to listen needs first.
        counts: is told what became of the flows; one that was sent may still get lost on its way.
    """

    def __init__(
        self, settings: ExportSettings, greeting: Callable[[], Sequence[Message]], counts: Counts, sleep: Sleep = time.sleep
    ) -> None:
        self._host, self._port, self._greeting = settings.host, settings.port, greeting
        self._counts, self._sleep = counts, sleep
        self._numbering = Numbering(settings.protocol)
        self._patience = Patience(settings.patience_s, sleep)
        self._socket: socket.socket | None = None
        self._loopback = False
        self._away = False
        self.problem = ""

    def start(self) -> None:
        """Opens the socket; EnvironmentProblem when the host has no address."""
        try:
            family, kind, proto, _, peer = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            opened = socket.socket(family, kind, proto)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            opened.connect(peer)
        except OSError as error:
            raise EnvironmentProblem(f"cannot send to {self._host}: {error.strerror or error}") from error
        self._socket = opened
        self._loopback = ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_loopback

    def deliver(self, message: Message) -> bool:
        """Hands one message to the network; False when nobody took it, for the reason in ``problem``."""
        while True:
            number = self._greet() or self._try(message)
            if number == 0:
                self._patience.there()
                self._counts.sent += message.flows
                return True
            self.problem = errno.errorcode.get(number, str(number))
            self._away = number in _AWAY
            if not (self._away and self._patience.wait()):
                return False

    def finish(self) -> None:
        """Nothing is under way that could be waited for."""

    def close(self) -> None:
        """Closes the socket; safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _greet(self) -> int:
        """After an absence: templates first, and elsewhere than on loopback the time for an answer. 0 or an errno."""
        if self._away:
            for message in self._greeting():
                if number := self._try(message):
                    return number
            if not self._loopback:
                self._sleep(RETRY_S)
                if number := self._pending_error():
                    return number
            self._away = False
            self._counts.reconnects += 1
        return 0

    def _try(self, message: Message) -> int:
        """Sends one message with the present sequence number; 0 or an errno.

        On loopback the answer of a closed port is there when ``send`` returns, so the message itself is known to be lost;
        elsewhere it comes later and makes the next send fail.
        """
        assert self._socket is not None  # noqa: S101 - `start` opened it
        stamped = self._numbering.stamped(message)
        for _ in range(_BUSY_TRIES):
            try:
                self._socket.send(stamped)
            except OSError as error:
                number = error.errno or errno.EIO
                if number in _BUSY:
                    self._sleep(_BUSY_S)
                    continue
                return number
            if self._loopback and (number := self._pending_error()):
                return number
            self._numbering.sent(message)
            return 0
        return errno.ENOBUFS

    def _pending_error(self) -> int:
        assert self._socket is not None  # noqa: S101 - `start` opened it
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
