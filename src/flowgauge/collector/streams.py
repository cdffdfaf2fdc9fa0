# SPDX-License-Identifier: Apache-2.0
"""The stream thread: IPFIX over TCP and TLS. One thread serves all connections of one listener.

Back-pressure is TCP's own: when ``MAX_WAITING_BYTES`` wait for the decoder, nothing more is read, the windows fill, and the
exporters wait. A connection costs memory only for one message that is not whole; its time is bounded, too: for the handshake,
for a message once it has begun, and without any message.
"""

from __future__ import annotations

import os
import queue
import selectors
import socket
import ssl
import threading
import time
from collections import Counter

import numpy as np

from flowgauge.collector.listener_state import ListenerState
from flowgauge.collector.senders import AllowList, Refusals
from flowgauge.collector.session import Messages, NotIpfix, Session
from flowgauge.collector.tls import NOT_NAMED, TlsFiles, accepts, dns_names, server_context
from flowgauge.collector.udp_socket import bound, resolve
from flowgauge.config.model import Listener, seconds
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow.addresses import packed
from flowgauge.runtime import logs
from flowgauge.runtime.clock import Clock, now_ns
from flowgauge.runtime.ledger import Ledger

MAX_WAITING_BYTES = 16 << 20
"""Of messages that wait for the decoder, of all connections together."""
HAND_ON_BYTES = 1 << 18
"""A connection's messages are handed on when they are so many …"""
HAND_ON_S = 0.15
"""… or so old."""
HANDSHAKE_S = 10.0
MESSAGE_S = 30.0
"""A message that has begun must be whole by then: nobody keeps a connection by sending a byte now and then."""
PAUSE_S = 0.02
"""After a turn that brought little: fetching each message as it comes costs more than decoding it."""
DRAIN_S = 2.0

_TICK_S = 0.25

_log = logs.get("collector")


class StreamListener:
    """Receives between ``start`` and ``stop``; its sessions' messages go to ``filled``.

    Args:
        host: where to listen.
        settings: port, transport and bounds.
    """

    def __init__(
        self,
        host: str,
        settings: Listener,
        filled: queue.SimpleQueue[Messages],
        ledger: Ledger,
        refusals: Refusals,
        *,
        clock: Clock = now_ns,
    ) -> None:
        self._host, self._settings, self._filled, self._ledger = host, settings, filled, ledger
        self._refusals, self._clock = refusals, clock
        self._allow = AllowList(settings.allow)
        self._tls = TlsFiles(settings.tls, server_context) if settings.tls is not None else None
        self._idle_s = seconds(settings.idle_timeout)
        self._selector = selectors.DefaultSelector()
        self._sessions: dict[int, Session] = {}
        self._by_address: Counter[bytes] = Counter()
        self._waiting = 0
        self._resumed_at = 0.0
        """When was last waited for the decoder: until then connections could not be heard."""
        self._lock = threading.Lock()
        self._wake = -1
        self._socket: socket.socket | None = None
        self.address = (host, settings.port)
        """Host and port in use, once it listens."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"receive-{settings.transport}", daemon=True)
        self._limit = logs.RateLimit()

    def start(self) -> None:
        """Listens.

        Raises:
            UsageError, EnvironmentProblem: the address is none, the port is taken, the certificate cannot be used.
        """
        if self._tls is not None:
            self._tls.load()
        family, target = resolve(self._host, self._settings.port, socket.SOCK_STREAM)
        try:
            self._socket = sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(target)
            sock.listen(128)
            sock.setblocking(False)
            self.address = bound(sock)
        except OSError as error:
            self._close()
            where = f"{self._settings.transport} {self._host}:{self._settings.port}"
            raise EnvironmentProblem(f"cannot listen on {where}: {error.strerror}; see spec.collector.listeners") from error
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(sock, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Accepts nothing more, reads what has arrived, hands it on, and closes; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        self._close()

    def ready(self) -> bool:
        """True while it receives."""
        return self._thread.is_alive()

    @property
    def name(self) -> str:
        """Transport and port, for people."""
        return f"{self._settings.transport} {self.address[1]}"

    def state(self) -> ListenerState:
        """How it stands."""
        return ListenerState(self.name, self.address, connections=len(self._sessions))

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
            self._drain()
        except Exception:  # noqa: BLE001 - the collector's own check sees that the thread has ended
            _log.exception("stream_listener_failed", listener=self.name)
        finally:
            for session in list(self._sessions.values()):
                self._end(session)

    def _turn(self) -> None:
        """Waits for something to happen, and does what it asks for."""
        full = self._waiting >= MAX_WAITING_BYTES
        got = 0
        for key, _ in self._wait(full=full):
            if key.fileobj is self._socket:
                self._accept()
            elif key.fd == self._wake:
                os.eventfd_read(self._wake)
            elif not full and (session := self._sessions.get(key.fd)) is not None:
                got += self._serve(session)
        self._look_after()
        if 0 < got < HAND_ON_BYTES:
            time.sleep(PAUSE_S)

    def _wait(self, *, full: bool) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; while the decoder has enough to do, only its sign that there is room."""
        if not full:
            return self._selector.select(_TICK_S if self._sessions else 1.0)
        with selectors.SelectSelector() as room:
            room.register(self._wake, selectors.EVENT_READ)
            found = room.select(_TICK_S)
        self._resumed_at = time.monotonic()
        return found

    def _accept(self) -> None:
        assert self._socket is not None  # noqa: S101 - it became readable
        try:
            sock, peer = self._socket.accept()
        except OSError as error:
            self._warn("connection_not_accepted", error=str(error))
            time.sleep(PAUSE_S)  # out of descriptors: the connection stays in the queue
            return
        sender = packed(str(peer[0]).partition("%")[0])
        column = np.frombuffer(sender, np.uint8).reshape(1, 16)
        if not self._allow.lets_in(column)[0]:
            self._turn_away(sock, sender, "receive_refused", "not in the allow-list")
        elif len(self._sessions) >= self._settings.max_connections:
            self._turn_away(sock, sender, "receive_connections_refused", "too many connections")
        elif self._by_address[sender] >= max(1, self._settings.max_connections // 2):
            self._turn_away(sock, sender, "receive_connections_refused", "too many connections of one address")
        else:
            self._open(sock, (str(peer[0]), int(peer[1])))

    def _open(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._tls is not None:
            try:
                sock = self._tls.current().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            except OSError as error:  # gone already
                _log.debug("connection_ended", listener=self.name, peer=peer[0], error=str(error))
                sock.close()
                return
        session = Session(sock, peer, time.monotonic())
        self._sessions[sock.fileno()] = session
        self._by_address[session.sender] += 1
        self._selector.register(sock, selectors.EVENT_READ)
        self._ledger.add("receive_connections")

    def _turn_away(self, sock: socket.socket, sender: bytes, counter: str, why: str) -> None:
        self._ledger.add(counter)
        self._refusals.add(np.frombuffer(sender, np.uint8).reshape(1, 16), f"{self.name}: {why}", self._clock())
        sock.close()

    def _serve(self, session: Session) -> int:
        """Reads from a connection; how many bytes came."""
        now = time.monotonic()
        try:
            if not session.established and not self._greet(session):
                return 0
            got, ended = session.read(now)
        except NotIpfix as error:
            self._fail(session, str(error))
            return 0
        except ssl.SSLError as error:
            self._fail(session, f"TLS: {error.reason or error}")
            return 0
        except OSError as error:
            self._end(session, error.strerror or str(error))
            return 0
        if session.bytes >= HAND_ON_BYTES:
            self._hand_on(session)
        if ended:
            self._end(session)
        return got

    def _greet(self, session: Session) -> bool:
        """Goes on with the handshake; whether messages may come."""
        done, writing = session.shake_hands()
        self._selector.modify(session.sock, selectors.EVENT_WRITE if writing else selectors.EVENT_READ)
        if not done:
            return False
        assert isinstance(session.sock, ssl.SSLSocket)  # noqa: S101 - it shook hands
        assert self._settings.tls is not None  # noqa: S101 - the same
        if not accepts(self._settings.tls, dns_names(session.sock.getpeercert())):
            self._fail(session, f"TLS: {NOT_NAMED}")
            return False
        return True

    def _look_after(self) -> None:
        """Hands on what is old enough, and ends what has no time left."""
        now = time.monotonic()
        for session in list(self._sessions.values()):
            if session.messages and now - session.first_at >= HAND_ON_S:
                self._hand_on(session)
            why = self._out_of_time(session, now)
            if why:
                self._fail(session, why)

    def _out_of_time(self, session: Session, now: float) -> str:
        """Why a connection must end now, or empty."""
        if not session.established and now - session.opened_at > HANDSHAKE_S:
            return f"TLS: no handshake within {HANDSHAKE_S:.0f} s"
        if session.begun_at and now - max(session.begun_at, self._resumed_at) > MESSAGE_S:
            return f"a message was not whole within {MESSAGE_S:.0f} s"
        if now - max(session.heard_at, self._resumed_at) > self._idle_s:
            return f"no message for {self._settings.idle_timeout}"
        return ""

    def _hand_on(self, session: Session) -> None:
        size, messages = session.bytes, session.take()
        with self._lock:
            self._waiting += size
        self._ledger.add("receive_datagrams", len(messages))
        self._ledger.add("receive_bytes", size)
        self._filled.put(Messages(session, messages, self._clock(), self._release))

    def _release(self, size: int) -> None:
        """Called by the decode thread when it is done with messages."""
        with self._lock:
            was_full = self._waiting >= MAX_WAITING_BYTES
            self._waiting -= size
        if was_full and self._waiting < MAX_WAITING_BYTES and not self._stopping.is_set():
            os.eventfd_write(self._wake, 1)

    def _fail(self, session: Session, why: str) -> None:
        self._ledger.add("receive_connections_failed")
        sender = np.frombuffer(session.sender, np.uint8).reshape(1, 16)
        self._refusals.add(sender, f"{self.name}: {why}", self._clock())
        self._warn("connection_failed", listener=self.name, peer=session.peer[0], error=why)
        self._end(session)

    def _end(self, session: Session, why: str = "") -> None:
        """Hands on what came, and closes."""
        number = session.sock.fileno()
        if self._sessions.pop(number, None) is None:
            return
        self._selector.unregister(session.sock)
        self._by_address[session.sender] -= 1
        if not self._by_address[session.sender]:
            del self._by_address[session.sender]
        session.sock.close()
        session.ended = True
        self._hand_on(session)
        _log.debug("connection_ended", listener=self.name, peer=session.peer[0], error=why)

    def _drain(self) -> None:
        """Reads what has arrived already."""
        deadline = time.monotonic() + DRAIN_S
        busy = True
        while busy and time.monotonic() < deadline:
            established = [session for session in self._sessions.values() if session.established]
            busy = sum(map(self._serve, established)) > 0

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._wake >= 0:
            self._selector.close()
            os.close(self._wake)
            self._wake = -1

    def _warn(self, event: str, **facts: object) -> None:
        allowed, held_back = self._limit.allow(event)
        if allowed:
            _log.warning(event, held_back=held_back, **facts)
