# SPDX-License-Identifier: Apache-2.0
"""Attaches programs the way kernels before 6.6 do: as direct-action filters of a device's clsact qdisc, over rtnetlink.

Unlike a TCX link such a filter outlives its process, so ours carry a name by which a later start finds and removes them. It
must not take those of an agent that runs, so that one holds a sign of life of the same name (``sign_of_life``).
Everything acts on the calling thread's network namespace. Messages are those of ``linux/rtnetlink.h`` and
``linux/pkt_cls.h``.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from flowgauge.ebpf.bpf_syscall import Direction

NAME_PREFIX = "flowgauge "
"""Begins the name of each of our filters; the rest tells which process made it."""

_RTM_NEWQDISC, _RTM_DELQDISC, _RTM_GETQDISC = 36, 37, 38
_RTM_NEWTFILTER, _RTM_DELTFILTER, _RTM_GETTFILTER = 44, 45, 46
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_ACK, _DUMP, _CREATE_EXCLUSIVE = 0x5, 0x300, 0x600
_CLSACT, _CLSACT_HANDLE = 0xFFFF_FFF1, 0xFFFF_0000
_PARENT = {Direction.INGRESS: 0xFFFF_FFF2, Direction.EGRESS: 0xFFFF_FFF3}
_TCA_KIND, _TCA_OPTIONS = 1, 2
_BPF_FD, _BPF_NAME, _BPF_FLAGS = 6, 7, 8
_DIRECT_ACTION = 1
_ALL_PROTOCOLS = socket.htons(0x0003)
_FIRST = 1
"""Priority that runs before all others; within it the kernel runs the newest filter first."""

_HEADER = struct.Struct("=IHHII")
_TC = struct.Struct("=BxxxiIII")
_ATTRIBUTE = struct.Struct("=HH")
_BUFFER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Filter:
    """One of our filters on a device; ``priority`` and ``handle`` are the kernel's."""

    ifindex: int
    direction: Direction
    priority: int
    handle: int
    name: str


class Traffic:
    """A socket for traffic control messages; use it as a context manager, from one thread."""

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(5.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def add_qdisc(self, ifindex: int) -> bool:
        """Gives a device its clsact qdisc; False when it had one."""
        body = _TC.pack(0, ifindex, _CLSACT_HANDLE, _CLSACT, 0) + _attribute(_TCA_KIND, b"clsact\0")
        try:
            self._ask(_RTM_NEWQDISC, _CREATE_EXCLUSIVE, body)
        except OSError as error:
            if error.errno == errno.EEXIST:
                return False
            raise
        return True

    def remove_qdisc(self, ifindex: int) -> None:
        """Takes the clsact qdisc of a device away, with all its filters."""
        self._ask(_RTM_DELQDISC, 0, _TC.pack(0, ifindex, _CLSACT_HANDLE, _CLSACT, 0) + _attribute(_TCA_KIND, b"clsact\0"))

    def add_filter(self, ifindex: int, direction: Direction, program_fd: int, name: str) -> Filter:
        """Attaches a program in front of the device's other filters.

        Where filters of another kind hold the first priority, it comes behind them.
        """
        kind = _program(program_fd, name)
        try:
            self._ask(_RTM_NEWTFILTER, _CREATE_EXCLUSIVE, _filter(ifindex, direction, _FIRST) + kind)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._ask(_RTM_NEWTFILTER, _CREATE_EXCLUSIVE, _filter(ifindex, direction, 0) + kind)
        for found in self._filters(ifindex):
            if found.direction is direction and found.name == name:
                return found
        raise OSError(errno.ENOENT, "the filter is gone at once")

    def change_filter(self, there: Filter, program_fd: int) -> None:
        """Puts another program in the place of a filter's; OSError when the filter is gone."""
        place = _filter(there.ifindex, there.direction, there.priority, there.handle)
        self._ask(_RTM_NEWTFILTER, 0, place + _program(program_fd, there.name))

    def remove_filter(self, old: Filter) -> None:
        """Detaches a program; OSError when it is gone already."""
        self._ask(_RTM_DELTFILTER, 0, _filter(old.ifindex, old.direction, old.priority, old.handle) + _attribute(1, b"bpf\0"))

    def filters(self, ifindex: int) -> list[Filter]:
        """The filters of a device that have our name."""
        return [found for found in self._filters(ifindex) if found.name.startswith(NAME_PREFIX)]

    def empty(self, ifindex: int) -> bool:
        """Whether a device's clsact qdisc has no filter of anybody."""
        return not any(found.handle for found in self._filters(ifindex))

    def devices(self) -> list[int]:
        """The ifIndexes of the devices that have a clsact qdisc."""
        found: list[int] = []
        for body in self._dump(_RTM_GETQDISC, _TC.pack(0, 0, 0, 0, 0)):
            ifindex, kind = _TC.unpack_from(body)[1], dict(_attributes(body[_TC.size :])).get(_TCA_KIND, b"")
            if kind.rstrip(b"\0") == b"clsact" and ifindex not in found:
                found.append(ifindex)
        return found

    def _filters(self, ifindex: int) -> Iterator[Filter]:
        for direction, parent in _PARENT.items():
            for body in self._dump(_RTM_GETTFILTER, _TC.pack(0, ifindex, 0, parent, 0)):
                _, _, handle, _, info = _TC.unpack_from(body)
                options = dict(_attributes(dict(_attributes(body[_TC.size :])).get(_TCA_OPTIONS, b"")))
                name = options.get(_BPF_NAME, b"").rstrip(b"\0").decode(errors="replace")
                yield Filter(ifindex, direction, info >> 16, handle, name)

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._send(kind, _REQUEST_ACK | flags, body)
        for answer, content in _messages(self._socket.recv(_BUFFER_BYTES)):
            if answer == _NLMSG_ERROR:
                _raise(content)

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        self._send(kind, _REQUEST_ACK | _DUMP, body)
        bodies: list[bytes] = []
        while True:
            for answer, content in _messages(self._socket.recv(_BUFFER_BYTES)):
                if answer == _NLMSG_DONE:
                    return bodies
                if answer == _NLMSG_ERROR:
                    _raise(content)
                bodies.append(content)

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)


def sign_of_life(name: str) -> socket.socket:
    """While it is open, filters of this name are somebody's; the kernel closes it however its process ends.

    An abstract socket address (unix(7)) is seen in all of this network namespace and nowhere else, as the filters are, whatever
    namespace of processes an agent is in. OSError (EADDRINUSE): somebody has it.
    """
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind("\0" + name)
    except OSError:
        held.close()
        raise
    return held


def _is_somebodys(name: str) -> bool:
    try:
        sign_of_life(name).close()
    except OSError:
        return True
    return False


def sweep() -> int:
    """Removes the filters that agents which were killed left in this namespace; how many there were.

    Those of agents that run stay. A qdisc that this leaves empty goes too.
    """
    removed = 0
    with Traffic() as traffic:
        for ifindex in traffic.devices():
            left = [found for found in traffic.filters(ifindex) if not _is_somebodys(found.name)]
            for old in left:
                with suppress(OSError):
                    traffic.remove_filter(old)
                    removed += 1
            if left and traffic.empty(ifindex):
                with suppress(OSError):
                    traffic.remove_qdisc(ifindex)
    return removed


def _filter(ifindex: int, direction: Direction, priority: int, handle: int = 0) -> bytes:
    return _TC.pack(0, ifindex, handle, _PARENT[direction], priority << 16 | _ALL_PROTOCOLS)


def _program(program_fd: int, name: str) -> bytes:
    options = _attribute(_BPF_FD, struct.pack("=I", program_fd)) + _attribute(_BPF_NAME, name.encode() + b"\0")
    options += _attribute(_BPF_FLAGS, struct.pack("=I", _DIRECT_ACTION))
    return _attribute(_TCA_KIND, b"bpf\0") + _attribute(_TCA_OPTIONS, options)


def _attribute(kind: int, value: bytes) -> bytes:
    return (_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value).ljust((len(value) + 7) & ~3, b"\0")


def _attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, body[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _raise(content: bytes) -> None:
    number = -struct.unpack_from("=i", content)[0]
    if number:
        raise OSError(number, os.strerror(number))
