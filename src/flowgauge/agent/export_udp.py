# SPDX-License-Identifier: Apache-2.0
"""Hands messages to the network over UDP, paced, and holds them back while nobody listens.

Before it: the encoder, whose messages carry their number of data records. Messages get their sequence number here, at the
moment they are sent, so that one that could not be sent leaves no gap. Called by the agent's main thread only; the socket
stays in the network namespace in which ``start`` was called.

Pace: a burst of thousands of datagrams overruns the receiver's socket buffer (the kernel's default of 208 KiB holds about
90), so messages go out in chunks of ``CHUNK`` with a short sleep between, at ``PACE_PER_S`` or as fast as half of the export
interval demands.

Nobody listens: a machine that answers with ICMP port unreachable (always so on loopback) makes the next send fail. Messages
are then kept, within the backlog's bound, and offered again by ``send`` until somebody is there: a collector that restarts
loses nothing on loopback, elsewhere what was sent before its machine's first answer came.
"""

from __future__ import annotations

import errno
import ipaddress
import select
import socket
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from flowgauge.agent.backlog import Backlog
from flowgauge.agent.not_sent import NotSent
from flowgauge.export.messages import Message, Numbering
from flowgauge.export.settings import FlowProtocol
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger

CHUNK = 32
"""Datagrams sent without a pause: about a third of what a default receive buffer holds."""
PACE_PER_S = 8_000
"""Datagrams a second, about 100 000 flows: what one collector thread decodes without effort."""
SEND_BUFFER_BYTES = 1 << 20
RESOLVE_S = 30.0
"""A name is looked up again this often: a collector's Service or pod may move."""
RESOLVE_AGAIN_S = 5.0
"""And this often while it has no address: a lookup that fails may take seconds."""
ANSWER_S = 0.2
"""How long the machine of a collector that was away has to say that nobody listens yet, before all that is kept is sent."""
GREET_EVERY_S = 1.5
"""Between two greetings of one that is away: Linux tells each peer of closed ports once a second (icmp(7), icmp_ratelimit)."""

_AWAY = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
"""Nobody is there at the moment: keep the message."""
_BUSY = frozenset({errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM})
"""The local queue is full: a short wait helps."""

_log = logs.get("agent")


class UdpExport:
    """Sends to ``address``:``port`` and counts in ``ledger``.

    Args:
        greeting: makes the messages (templates) that somebody who has just begun to listen needs first.
        sleep: waits the given seconds; tests replace it.
    """

    def __init__(
        self,
        address: str,
        port: int,
        ledger: Ledger,
        *,
        greeting: Callable[[], Sequence[Message]] = tuple,
        sleep: Callable[[float], None] = time.sleep,
        protocol: FlowProtocol = FlowProtocol.IPFIX,
    ) -> None:
        self._address, self._port, self._ledger = address, port, ledger
        self._greeting, self._sleep = greeting, sleep
        self._socket: socket.socket | None = None
        self._peer: Any = None
        self._loopback = False
        self._resolved_at = -RESOLVE_S
        self._greeted_at = -GREET_EVERY_S
        self._not_sent = NotSent(ledger)
        self._backlog = Backlog(self._not_sent)
        self._numbering = Numbering(protocol)
        self._limit = logs.RateLimit()
        self.held = False
        self.sent_records = 0
        self.refused = ""
        self.sent_anything = False

    @property
    def where(self) -> str:
        """The collector, for people."""
        return f"{self._address}:{self._port}"

    def start(self) -> None:
        """Opens the socket; a name that cannot be resolved yet is tried again later."""
        self._open()

    def stop(self) -> None:
        """Closes the socket; what is still kept is counted as failed. Safe to call twice."""
        for message in self._backlog.give_up():
            self._not_sent.count(message, "stopped")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def release(self) -> list[Message]:
        """What is kept, for another collector to be sent."""
        return self._backlog.give_up()

    def send(self, messages: Sequence[Message], budget_s: float = 2.0) -> None:
        """Sends what was kept, then ``messages``, spread over at most ``budget_s`` seconds; keeps what nobody takes."""
        for message in messages:
            self._backlog.keep(message)
        since_s = time.monotonic() - self._resolved_at
        if since_s > (RESOLVE_S if self._socket else RESOLVE_AGAIN_S):
            self._open()
        if self._socket is None:
            self._hold("no_address")
            return
        if self.held and not self._greet():
            return
        pause_s = CHUNK * min(1 / PACE_PER_S, budget_s / max(len(self._backlog), 1))
        in_chunk = 0
        while (message_or_none := self._backlog.first()) is not None:
            if in_chunk == CHUNK:
                self._sleep(pause_s)
                in_chunk = 0
            if not self._send_next(message_or_none):
                return
            in_chunk += 1

    def _greet(self) -> bool:
        """Sends the greeting; whether somebody is there again. One that nobody took counts nowhere."""
        assert self._socket is not None  # noqa: S101 - `send` opened it
        if not self._loopback and time.monotonic() - self._greeted_at < GREET_EVERY_S:
            return False
        self._pending_error()  # about what was sent before
        numbering, outcomes = copy(self._numbering), list[tuple[Message, int]]()
        for message in self._greeting():
            outcomes.append((message, self._hand_over(message, numbering)))
            if outcomes[-1][1] in _AWAY:
                break
        refused = any(number in _AWAY for _, number in outcomes) or self._refused()
        self._greeted_at = time.monotonic()
        if refused:
            return False
        self._numbering = numbering
        for message, number in outcomes:
            if number:
                self._count_failed(message, number)
            else:
                self._count(message)
        self.held = False
        _log.info("export_resumed", collector=self.where, kept_bytes=self._backlog.size_bytes)
        return True

    def _refused(self) -> bool:
        """Whether the collector's machine says in time that nobody listens; on loopback it has said so already."""
        assert self._socket is not None  # noqa: S101 - `send` opened it
        if self._loopback:
            return False
        poll = select.poll()
        poll.register(self._socket, 0)  # an error is told unasked
        return bool(poll.poll(ANSWER_S * 1000)) and self._pending_error() in _AWAY

    def _send_next(self, message: Message) -> bool:
        """Sends the oldest kept message; False when nobody is there, with the message kept."""
        number = self._try(message)
        if number in _BUSY:
            self._sleep(0.001)
            number = self._try(message)
        if number in _AWAY:
            self._hold(errno.errorcode[number])
            return False
        self._backlog.take(message)
        if number:
            self._count_failed(message, number)
        return True

    def _try(self, message: Message) -> int:
        """Sends one message with the present sequence number, and counts it; 0 or an errno."""
        number = self._hand_over(message, self._numbering)
        if number == 0:
            self._count(message)
        return number

    def _hand_over(self, message: Message, numbering: Numbering) -> int:
        """Sends one message; 0 or an errno.

        On loopback the answer of a closed port is there when ``send`` returns, so the message itself is known to be lost;
        elsewhere it comes later and makes the next send fail.
        """
        assert self._socket is not None  # noqa: S101 - `send` opened it
        try:
            self._socket.send(numbering.stamped(message))
        except OSError as error:
            return error.errno or errno.EIO
        if self._loopback and (number := self._pending_error()):
            return number
        numbering.sent(message)
        return 0

    def _pending_error(self) -> int:
        assert self._socket is not None  # noqa: S101 - `send` opened it
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _count(self, message: Message) -> None:
        self._ledger.add("export_records_sent", message.records)
        self.sent_records += message.records
        self.sent_anything = True

    def _count_failed(self, message: Message, number: int) -> None:
        self._not_sent.count(message, errno.errorcode.get(number, str(number)))

    def _hold(self, cause: str) -> None:
        if not self.held:
            _log.warning("export_held_back", collector=self.where, cause=cause, kept_bytes=self._backlog.size_bytes)
        self.held = True

    def _open(self) -> None:
        """(Re)opens the socket when the collector's address is new."""
        self._resolved_at = time.monotonic()
        try:
            found = socket.getaddrinfo(self._address, self._port, type=socket.SOCK_DGRAM)
            family, kind, proto, _, peer = found[0]
            if self._socket is not None and peer == self._peer:
                return
            opened = socket.socket(family, kind, proto)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            opened.connect(peer)
        except OSError as error:
            allowed, held_back = self._limit.allow("open")
            if allowed:
                _log.warning("export_no_address", collector=self._address, error=str(error), held_back=held_back)
            return
        if self._socket is not None:
            self._socket.close()
        self._socket, self._peer = opened, peer
        self._loopback = ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_loopback
