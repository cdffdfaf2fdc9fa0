# SPDX-License-Identifier: Apache-2.0
"""Messages over TCP or TLS (RFC 7011 §10.4): a lost connection is made again, and what was not acknowledged is sent again.

A receiver that takes nothing for ``SEND_S``, with more under way, is as good as gone: it may hang while its machine answers.
The connection is then aborted, which throws away what its machine has not acknowledged: that is sent again.

Each connection is a transport session: sequence numbers begin anew and templates come first. A message counts as sent when the
receiver's machine has acknowledged its bytes: the kernel tells how many are still under way. A receiver may have read some
without their acknowledgement arriving, so that it has them twice after a break; none goes missing on the way.
"""

from __future__ import annotations

import fcntl
import math
import socket
import ssl
import struct
import termios
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flowgauge.errors import EnvironmentProblem
from flowgauge.export.counts import Counts
from flowgauge.export.messages import Message, Numbering
from flowgauge.export.pace import Patience, Sleep
from flowgauge.export.settings import ExportSettings, TlsOptions, Transport
from flowgauge.export.tls import agreed, client_context

CONNECT_S = 5.0
"""How long one try to connect may take."""
SEND_S = 30.0
"""How long a receiver may take nothing before the connection is given up."""
LISTEN_EVERY_S = 0.1
"""A receiver says nothing, but may end the connection or refuse us: that is looked at so often."""
CLOSE_S = 2.0

_AT_ONCE = struct.pack("ii", 1, 0)
"""For SO_LINGER: on, 0 seconds."""
PROVEN_S = 1.0
"""A session that lasts so long was accepted; a refusal may come after the first bytes were taken (TLS 1.3)."""
_WRONG_NAME = frozenset({62, 64})
"""OpenSSL's verify codes of a certificate for another host name or address."""

_BROKEN = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""Of TLS's errors those that mean a lost connection; the others are refusals, which trying again does not change."""


class _UnderWay(NamedTuple):
    """A message that was written: where it ends in the stream, and whether a new session needs it again.

    The greeting does not: the next session has its own.
    """

    end: int
    message: Message
    again: bool


class StreamTransport:
    """Sends between ``start`` and ``close``.

    Args:
        settings: the receiver, whether and how TLS is used, and how long an absence is waited out.
        greeting: makes what a new session begins with.
        counts: is told what became of the flows.

    Attributes:
        problem: why the last connection ended, in words.
        stalled: whether that was since the receiver took nothing any more; until there is another connection.
        ended_at_once: sessions in a row that the receiver ended as soon as they had begun.
    """

    def __init__(
        self, settings: ExportSettings, greeting: Callable[[], Sequence[Message]], counts: Counts, sleep: Sleep = time.sleep
    ) -> None:
        self._host, self._port, self._greeting = settings.host, settings.port, greeting
        self._counts, self._sleep = counts, sleep
        self._tls = client_context(settings.tls) if settings.transport is Transport.TLS else None
        self._server_name = settings.tls.server_name or settings.host
        self._numbering = Numbering(settings.protocol)
        self._patience_s, self._patience = settings.patience_s, Patience(settings.patience_s, sleep)
        self._socket: socket.socket | None = None
        self._written = 0
        self._unconfirmed: deque[_UnderWay] = deque()
        self._again: deque[Message] = deque()
        self._listen_at = 0.0
        self._taken, self._taken_at = 0, 0.0
        self._connected_before = False
        self._options = settings.tls.options
        self._since = math.inf
        self.problem = ""
        self.stalled = False
        self.ended_at_once = 0

    def start(self) -> None:
        """Connects; EnvironmentProblem when nobody is there within the patience, or refuses us."""
        while True:
            try:
                self._connect()
            except OSError as error:
                self._lost(error)
                if not self._patience.wait():
                    raise EnvironmentProblem(f"{self._host}:{self._port} does not answer: {self.problem}") from error
            else:
                return

    def deliver(self, message: Message) -> bool:
        """Hands one message over; False when nobody took it, for the reason in ``problem``."""
        while True:
            try:
                self._write_or_raise(message)
            except OSError as error:
                self._lost(error)
                if not self._patience.wait():
                    return False
            else:
                self._patience.there()
                return True

    def finish(self) -> None:
        """Waits until everything is acknowledged, as long as the patience lasts."""
        self.settle(max(self._patience_s, CLOSE_S))

    def settle(self, seconds: float) -> None:
        """Counts what has been acknowledged, and waits at most ``seconds`` for the rest."""
        deadline = time.monotonic() + seconds
        self._look()
        while self._unconfirmed or self._again:
            self._listen_at = 0.0
            try:
                self._ready()
            except OSError as error:
                self._lost(error)
            if time.monotonic() >= deadline:
                return
            self._sleep(0.01)

    @property
    def is_proven(self) -> bool:
        """Whether there is a session that the receiver has accepted, as far as one can know."""
        return time.monotonic() - self._since >= PROVEN_S

    @property
    def under_way(self) -> int:
        """Flows that were written and are not acknowledged yet."""
        return sum(one.message.flows for one in self._unconfirmed)

    def unsent(self) -> list[Message]:
        """What was handed over and is not known to have arrived, oldest first."""
        return [*(one.message for one in self._unconfirmed if one.again), *self._again]

    def give_back(self) -> list[Message]:
        """What the last connection did not get across, oldest first, for its caller to keep: it is not sent again from here."""
        kept = list(self._again)
        self._again.clear()
        return kept

    def close(self) -> None:
        """Ends the session; safe to call twice."""
        self._unconfirmed.clear()
        self._again.clear()
        if self._socket is None:
            return
        try:
            self._socket.settimeout(CLOSE_S)
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()
            self._socket.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            pass  # the other side was quicker
        self._socket.close()
        self._socket = None

    def _look(self) -> None:
        """Notices that the receiver has ended the session, or refused us, when there is nothing to send."""
        if self._socket is None:
            return
        try:
            self._listen()
        except OSError as error:
            self._lost(error)

    def _write_or_raise(self, message: Message) -> None:
        self._ready()
        self._write(message)

    def _ready(self) -> None:
        """A connection on which everything from before has been sent again."""
        if self._socket is None:
            self._connect()
        self._listen()
        self._confirm()
        while self._again:
            self._write(self._again[0])
            self._counts.repeated += self._again.popleft().flows

    def _connect(self) -> None:
        """A new session, with its greeting."""
        opened = socket.create_connection((self._host, self._port), timeout=CONNECT_S)
        self._since = time.monotonic()
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = agreed(self._tls, opened, self._server_name) if self._tls else opened
        except BaseException:
            opened.close()
            raise
        self._socket.settimeout(SEND_S)
        self._written = self._taken = 0
        self._taken_at, self.stalled = time.monotonic(), False
        self._numbering.restart()
        self._counts.reconnects += self._connected_before
        self._connected_before = True
        for message in self._greeting():
            self._write(message, again=False)

    def _write(self, message: Message, *, again: bool = True) -> None:
        """Writes the whole message; when that fails, it does not count as under way."""
        assert self._socket is not None  # noqa: S101 - `_ready` connected
        stamped = self._numbering.stamped(message)
        self._socket.sendall(stamped)
        self._numbering.sent(message)
        self._written += len(stamped)
        self._unconfirmed.append(_UnderWay(self._written, message, again and message.flows > 0))

    def _confirm(self) -> None:
        """Counts what has been acknowledged.

        Of TLS the kernel counts the encrypted bytes, which are more: so the estimate errs towards "still under way".
        """
        assert self._socket is not None  # noqa: S101 - `_ready` connected
        (under_way,) = struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4)))
        self._require_progress(under_way)
        while self._unconfirmed and self._unconfirmed[0].end <= self._written - under_way:
            self._counts.sent += self._unconfirmed.popleft().message.flows

    def _require_progress(self, under_way: int) -> None:
        """TimeoutError when the receiver has taken nothing for ``SEND_S``, and there is something to take."""
        now, taken = time.monotonic(), self._written - under_way
        if not under_way or taken > self._taken:
            self._taken, self._taken_at = taken, now
        elif now - self._taken_at > SEND_S:
            raise TimeoutError(f"it has taken nothing for {SEND_S:.0f} s")

    def _listen(self) -> None:
        """Raises when the receiver has ended the connection or refused us; whatever it says is passed over."""
        now = time.monotonic()
        if now < self._listen_at:
            return
        self._listen_at = now + LISTEN_EVERY_S
        assert self._socket is not None  # noqa: S101 - `_ready` connected
        self._socket.setblocking(False)
        try:
            if not self._socket.recv(4096):
                raise ConnectionResetError("the receiver ended the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        finally:
            self._socket.settimeout(SEND_S)

    @staticmethod
    def _abort(connection: socket.socket) -> None:
        """Closes at once: a plain close would go on sending what is sent again elsewhere, and the receiver had it twice."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        connection.close()

    def _lost(self, error: OSError) -> None:
        """Closes the connection and keeps what was under way; a refusal is raised as EnvironmentProblem."""
        self.problem = _words(error, self._options)
        self.ended_at_once = 0 if self.is_proven or self._since == math.inf else self.ended_at_once + 1
        self._since = math.inf
        if self._socket is not None:
            self.stalled = isinstance(error, TimeoutError)
            self._abort(self._socket)
            self._socket = None
        self._again.extendleft(one.message for one in reversed(self._unconfirmed) if one.again)
        self._unconfirmed.clear()
        if isinstance(error, ssl.SSLError) and not isinstance(error, _BROKEN):
            raise EnvironmentProblem(f"{self._host}:{self._port} and we do not agree on TLS: {self.problem}") from error


def _words(error: OSError, options: TlsOptions) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        wrong_name = error.verify_code in _WRONG_NAME
        hint = f"{options.server_name} says whose it must be" if wrong_name else f"{options.ca_file} names whom to trust"
        return f"its certificate is not accepted ({error.verify_message}); {hint}"
    if isinstance(error, ssl.SSLError):
        words = (error.reason or str(error)).replace("_", " ").lower()
        return f"{words}; {options.certificate} is what we show it" if _is_about_ours(words) else words
    return error.strerror or str(error) or type(error).__name__


def _is_about_ours(words: str) -> bool:
    """Whether an alert of TLS is about the certificate that we showed, or did not show (RFC 8446 §6.2)."""
    return "alert" in words and any(cause in words for cause in ("certificate", "unknown ca", "handshake failure", "access"))
