# SPDX-License-Identifier: Apache-2.0
"""Linux calls that Python does not have: network namespaces, recvmmsg, sendmmsg, socket programs.

``ctypes`` stays here and in ``ebpf``.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2
NETNS_DIR = Path("/run/netns")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BYTES = 1 << 20
_KEPT_BYTES, _LARGEST_KEPT_BYTES = 16 << 20, 32 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def netns_path(name_or_path: str) -> Path:
    """The file of a network namespace: a name below /run/netns or a path; empty is the calling thread's own."""
    if not name_or_path:
        return Path("/proc/thread-self/ns/net")
    return Path(name_or_path) if "/" in name_or_path else NETNS_DIR / name_or_path


def only_one_user() -> bool:
    """Whether this process is in a user namespace with a single user: it can become no other (user_namespaces(7))."""
    try:
        mapped = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    except OSError:
        return False
    return len(mapped) == 3 and mapped[2] == "1"


def give_back_large_memory() -> None:
    """From now on arrays of 1 MiB and more go back to the kernel when they are let go of, where the C library is glibc.

    Left alone, it learns from the first large arrays to keep such memory for itself (mallopt(3), M_MMAP_THRESHOLD).
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def allow_all_descriptors() -> None:
    """From now on this process may hold as many descriptors as it may ask for (getrlimit(2), RLIMIT_NOFILE).

    The usual 1,024 are for programs that use select(2).
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def keep_freed_memory() -> None:
    """From now on each thread's heap keeps up to 16 MiB that were let go of, where the C library is glibc.

    Left alone, what a thread needs for one batch is given back after it and asked for again with the next, at a page fault
    every 4 KiB: a tenth of what decoding costs where batches are small (mallopt(3), M_TRIM_THRESHOLD).
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        _libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)


@contextmanager
def in_netns(name_or_path: str) -> Iterator[None]:
    """Runs the block in a network namespace, for the calling thread only.

    A socket belongs for good to the namespace in which it is created.

    Args:
        name_or_path: a name below /run/netns, or a path such as ``/proc/PID/ns/net``.
    """
    path = netns_path(name_or_path)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(target, CLONE_NEWNET), f"enter network namespace {name_or_path}")
        finally:
            os.close(target)
        try:
            yield
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "return to the network namespace")
    finally:
        os.close(home)


def enter_netns(name_or_path: str) -> None:
    """Moves the calling thread into a network namespace for good (before exec)."""
    path = netns_path(name_or_path)
    target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(target, CLONE_NEWNET), f"enter network namespace {name_or_path}")
    finally:
        os.close(target)


def new_netns() -> None:
    """Moves the calling thread into a fresh network namespace, which ends with the thread."""
    _check(_libc.unshare(CLONE_NEWNET), "create network namespace")


def create_netns(name: str) -> None:
    """Makes a named network namespace, as ``ip netns add`` does, without a process."""
    NETNS_DIR.mkdir(parents=True, exist_ok=True)
    path = NETNS_DIR / name
    path.touch(exist_ok=False)
    failure: list[OSError] = []

    def make() -> None:
        try:
            new_netns()
            source = b"/proc/thread-self/ns/net"
            _check(_libc.mount(source, str(path).encode(), b"none", MS_BIND, None), f"keep network namespace {name}")
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=make, name=f"netns-{name}")
    thread.start()
    thread.join()
    if failure:
        path.unlink(missing_ok=True)
        raise failure[0]


def delete_netns(name: str) -> None:
    """Removes a named network namespace; one that is gone is no error."""
    path = NETNS_DIR / name
    _libc.umount2(str(path).encode(), MNT_DETACH)
    path.unlink(missing_ok=True)


# Receiving many datagrams with one call (recvmmsg(2)).

MSG_TRUNC = 0x20
"""In: tell a datagram's real length. Out (``msg_flags``): it was longer than its slot."""
_MSG_DONTWAIT = 0x40
_MSG_WAITFORONE = 0x10000
_NOTHING_NOW = frozenset({errno.EAGAIN, errno.EINTR})
SOCKADDR_BYTES = 28
"""Size of sockaddr_in6, the longer of the two that a UDP socket gives."""


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Mmsghdr(ctypes.Structure):
    """struct mmsghdr: a message header, and the length of what was received with it."""

    _fields_ = (("header", _Msghdr), ("length", ctypes.c_uint32))


class MessageSlots:
    """``count`` slots of ``slot_bytes`` for datagrams and their senders' addresses, allocated once, filled again and again.

    Attributes:
        payloads: bytes (count × slot_bytes); senders: bytes (count × ``SOCKADDR_BYTES``), struct sockaddr_in or sockaddr_in6.
        headers: count × struct ``Mmsghdr``: after ``receive`` its ``length`` is that of the datagram (above slot_bytes when
            it was cut) and ``header.flags`` may have ``MSG_TRUNC``. All three have the buffer interface.
    """

    def __init__(self, count: int, slot_bytes: int) -> None:
        self.count, self.slot_bytes = count, slot_bytes
        self.payloads = mmap.mmap(-1, count * slot_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without huge pages; with them a fault for each 2 MiB, ten times cheaper in all
            self.payloads.madvise(mmap.MADV_HUGEPAGE)
        self.senders = (ctypes.c_uint8 * (count * SOCKADDR_BYTES))()
        self.headers = (Mmsghdr * count)()
        self._vectors = (_Iovec * count)()
        payload_at, sender_at = ctypes.addressof(ctypes.c_uint8.from_buffer(self.payloads)), ctypes.addressof(self.senders)
        vector_at = ctypes.addressof(self._vectors)
        for slot in range(count):
            vector, header = self._vectors[slot], self.headers[slot].header
            vector.base, vector.length = payload_at + slot * slot_bytes, slot_bytes
            header.name, header.namelen = sender_at + slot * SOCKADDR_BYTES, SOCKADDR_BYTES
            header.iov, header.iovlen = vector_at + slot * ctypes.sizeof(_Iovec), 1

    def receive(self, descriptor: int, first: int, stop: int, *, wait: bool) -> int:
        """Receives into the slots from ``first`` to ``stop`` and returns how many were filled; 0 when nothing came.

        Args:
            descriptor: a blocking UDP socket.
            first: number of the first free slot.
            stop: number of the first that is not to be filled.
            wait: for the first datagram, as long as the socket's SO_RCVTIMEO; False takes only what is there.
        """
        flags = MSG_TRUNC | (_MSG_WAITFORONE if wait else _MSG_DONTWAIT)
        at = ctypes.byref(self.headers, first * ctypes.sizeof(Mmsghdr))
        received: int = _libc.recvmmsg(descriptor, at, stop - first, flags, None)
        if received >= 0:
            return received
        number = ctypes.get_errno()
        if number in _NOTHING_NOW:
            return 0
        raise OSError(number, f"receive datagrams: {os.strerror(number)}")


# Sending many datagrams with one call (sendmmsg(2)).

RECEIVED_AT = {"length": Mmsghdr.length.offset, "namelen": _Msghdr.namelen.offset, "flags": _Msghdr.flags.offset}
"""Where in a struct ``Mmsghdr`` of ``RECEIVED_BYTES`` the figures of a received datagram are."""
RECEIVED_BYTES = ctypes.sizeof(Mmsghdr)


class OutgoingMessages:
    """Up to ``count`` datagrams whose bytes lie anywhere in memory, to one receiver.

    Args:
        peer: struct sockaddr_in or sockaddr_in6 of the receiver; empty for a connected socket.

    Attributes:
        places: count × (address, length) of the bytes, two 64-bit numbers each; has the buffer interface.
    """

    def __init__(self, count: int, peer: bytes = b"") -> None:
        self.places = (_Iovec * count)()
        self._headers = (Mmsghdr * count)()
        self._peer = (ctypes.c_uint8 * max(1, len(peer))).from_buffer_copy(peer or b"\0")
        places_at = ctypes.addressof(self.places)
        for number in range(count):
            header = self._headers[number].header
            header.iov, header.iovlen = places_at + number * ctypes.sizeof(_Iovec), 1
            if peer:
                header.name, header.namelen = ctypes.addressof(self._peer), len(peer)

    def send(self, descriptor: int, first: int, stop: int) -> int:
        """Sends those from ``first`` up to ``stop`` in order and returns how many were; OSError when the first could not be."""
        at = ctypes.byref(self._headers, first * ctypes.sizeof(Mmsghdr))
        sent: int = _libc.sendmmsg(descriptor, at, stop - first, 0)
        if sent >= 0:
            return sent
        number = ctypes.get_errno()
        raise OSError(number, f"send datagrams: {os.strerror(number)}")


# Choosing among the sockets of one port (SO_REUSEPORT, socket(7)).

_SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF = 1, 51
_INSTRUCTION_BYTES = 8


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def attach_reuseport_program(descriptor: int, instructions: bytes) -> None:
    """Lets a classic BPF program choose the socket of each datagram; its answer is the socket's number in the order of bind.

    Args:
        descriptor: any socket of the port; it counts for all of them.
        instructions: struct sock_filter, one after the other (linux/filter.h).

    OSError when the kernel does not take it.
    """
    memory = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // _INSTRUCTION_BYTES, ctypes.addressof(memory))
    size = ctypes.sizeof(program)
    result = _libc.setsockopt(descriptor, _SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, ctypes.byref(program), size)
    _check(result, "choose sockets by a program")
