# SPDX-License-Identifier: Apache-2.0
"""The socket on which flow exports arrive: one for IPv6 and IPv4, with a large receive buffer and the kernel's drop count."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from flowgauge.collector import steering
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.linux import attach_reuseport_program
from flowgauge.runtime.loopback import is_loopback

WAIT_S = 0.05
"""How long a blocking receive waits: by so much a stop, or the flush of a block that is not full, may be late."""

_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO_DROPS = 8
_MEMINFO_BYTES = 36
"""SO_MEMINFO gives nine 32-bit values (linux/sock_diag.h): the bytes that are held, the buffer's size, …; the ninth is the
drop count that SO_RXQ_OVFL also tells, but without a control message on each datagram, and also when no datagram follows
those that were dropped."""

_LOOPBACK_OF = {"::": "::1", "::ffff:0.0.0.0": "::ffff:127.0.0.1", "0.0.0.0": "127.0.0.1"}
"""An address that a socket bound to every address can have as its own peer."""

_log = logs.get("collector")


class UdpSocket:
    """A bound UDP socket between ``open`` and ``close``.

    Args:
        host: address or name to listen on; ``::`` is every address, IPv4 included.
        port: UDP port; 0 takes a free one.
        buffer_bytes: receive buffer to ask for; the kernel may give less.
        shared: whether further sockets of ours may have the same port.
    """

    def __init__(self, host: str, port: int, buffer_bytes: int, *, shared: bool = False) -> None:
        self._host, self._port, self._wanted_bytes, self._shared = host, port, buffer_bytes, shared
        self._inherited = False
        self._socket: socket.socket | None = None
        self.address = (host, port)
        """Host and port in use, once it is open."""
        self.buffer_bytes = 0
        """Receive buffer that the kernel gave (it accounts about 2.3 kB for each datagram of Ethernet size)."""
        self._drops_before = 0

    def open(self) -> None:
        """Binds; UsageError for an address that is none, EnvironmentProblem when the port cannot be had."""
        if self._inherited:
            return
        family, target = resolve(self._host, self._port, socket.SOCK_DGRAM)
        try:
            self._socket = sock = socket.socket(family, socket.SOCK_DGRAM)
            if self.ipv6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.buffer_bytes = _receive_buffer(sock, self._wanted_bytes)
            seconds, fraction = divmod(WAIT_S, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(fraction * 1e6)))
            if self._shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(target)
            self.address = bound(sock)
        except OSError as error:
            self.close()
            where = f"{self._host}:{self._port}"
            raise EnvironmentProblem(f"cannot listen on UDP {where}: {error.strerror}; choose another with --listen") from error
        if not self._shared:
            self._tell()

    @classmethod
    def inherited(cls, descriptor: int) -> UdpSocket:
        """A socket that another process has opened, and goes on to hold: it is open, and what it drops is counted there."""
        sock = socket.socket(fileno=descriptor)
        found = cls(*bound(sock), sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2)
        found._socket, found._inherited = sock, True
        found.buffer_bytes = found._wanted_bytes
        return found

    def descriptor(self) -> int:
        """For recvmmsg."""
        assert self._socket is not None  # noqa: S101 - `open` comes first
        return self._socket.fileno()

    @property
    def ipv6(self) -> bool:
        """Whether senders' addresses are struct sockaddr_in6 (IPv4 senders v4-mapped); False where the kernel has no IPv6."""
        return self._socket is not None and self._socket.family == socket.AF_INET6

    def new_drops(self) -> int:
        """Datagrams that the kernel dropped since the last call, the buffer being full."""
        if self._socket is None or self._inherited:
            return 0
        drops = self._memory()[_MEMINFO_DROPS]
        new, self._drops_before = (drops - self._drops_before) & 0xFFFFFFFF, drops
        return new

    def filled(self) -> float:
        """Which part of the receive buffer is taken by datagrams that nobody has fetched yet."""
        held, size, *_ = self._memory()
        return held / size

    def _memory(self) -> tuple[int, ...]:
        assert self._socket is not None  # noqa: S101 - `open` comes first
        return struct.unpack("9I", self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_BYTES))

    def refuse_more(self) -> None:
        """Takes no further datagram, and keeps those that wait.

        A connected UDP socket belongs to its peer alone: senders get ICMP port unreachable, which makes our agents hold
        their messages back, so that between the last receive and the close nothing is lost unseen.
        """
        if self._socket is not None:
            name: tuple[Any, ...] = self._socket.getsockname()
            try:
                self._socket.connect((_LOOPBACK_OF.get(name[0], name[0]), *name[1:]))
            except OSError as error:
                _log.debug("socket_stays_open_for_all", error=str(error))

    def close(self) -> None:
        """Gives the port back; safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self) -> None:
        if self.buffer_bytes < self._wanted_bytes:
            _log.warning("receive_buffer_smaller_than_asked", asked_bytes=self._wanted_bytes, got_bytes=self.buffer_bytes,
                         hint=f"sysctl -w net.core.rmem_max={self._wanted_bytes}, or CAP_NET_ADMIN")  # fmt: skip
        host, port = self.address
        if not is_loopback(host):
            _log.warning("listening_without_authentication", host=host, port=port,
                         detail="flow exports over UDP carry no proof of their sender: whoever reaches this port can add flows "
                         "and names; let only your exporters' networks through")  # fmt: skip


class Drops:
    """Counts what the kernel dropped at a socket, and says so now and then."""

    def __init__(self, sock: UdpSocket, ledger: Ledger) -> None:
        self._socket, self._ledger = sock, ledger
        self._limit = logs.RateLimit()

    def count(self) -> None:
        """Counts what is new."""
        drops = self._socket.new_drops()
        if not drops:
            return
        self._ledger.add("receive_socket_drops", drops)
        allowed, held_back = self._limit.allow("drops")
        if allowed:
            _log.warning("receive_socket_drops", datagrams=drops, buffer_bytes=self._socket.buffer_bytes, held_back=held_back,
                         hint="raise collector.receiveBufferBytes and net.core.rmem_max")  # fmt: skip


def open_group(host: str, port: int, buffer_bytes: int, count: int) -> list[UdpSocket]:
    """``count`` open sockets of one port, of which the sender's address chooses; raises what ``UdpSocket.open`` raises."""
    first = UdpSocket(host, port, buffer_bytes)
    first.open()  # alone: sockets that share a port would not notice that it is somebody else's
    if count == 1:
        return [first]
    port = first.address[1]
    first.close()
    sockets = [UdpSocket(host, port, buffer_bytes, shared=True) for _ in range(count)]
    try:
        for sock in sockets:
            sock.open()
        attach_reuseport_program(sockets[0].descriptor(), steering.program(count))
    except (OSError, EnvironmentProblem) as error:
        for sock in sockets:
            sock.close()
        if isinstance(error, EnvironmentProblem):
            raise
        raise EnvironmentProblem(f"{count} processes cannot share UDP {host}:{port}: {error.strerror}") from error
    return sockets


def resolve(host: str, port: int, kind: socket.SocketKind) -> tuple[int, Any]:
    """Family and address to bind: IPv4 addresses in their v4-mapped form, so that there is one form of sender.

    UsageError for a host that is no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise UsageError(f"{host!r} is not an address to listen on: {error.strerror}") from error
    family, _, _, _, address = found[0]
    if not _has_ipv6():
        return socket.AF_INET, ("0.0.0.0" if host == "::" else address[0], port)
    if family == socket.AF_INET:
        return socket.AF_INET6, (f"::ffff:{address[0]}", port)
    return socket.AF_INET6, address


def bound(sock: socket.socket) -> tuple[str, int]:
    """Host and port of a bound socket."""
    name: tuple[Any, ...] = sock.getsockname()
    return str(name[0]).removeprefix("::ffff:"), int(name[1])


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind(("::", 0))
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return False
        raise
    return True


def _receive_buffer(sock: socket.socket, wanted_bytes: int) -> int:
    """Asks for a buffer beyond the system's limit, else within it; returns what there is.

    The kernel doubles what it is asked, for its own bookkeeping (socket(7)); halved here to compare like with like.
    """
    wanted_bytes = min(wanted_bytes, (1 << 30) - 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
