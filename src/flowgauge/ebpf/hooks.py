# SPDX-License-Identifier: Apache-2.0
"""Hooks of one device: TCX links, else (before Linux 6.6) clsact filters.

A TCX link lives as long as its file descriptor, so it is gone with the process however that ends; but the kernel makes each
wait for an RCU grace period, one after the other: 10 to 30 ms a device. Filters take 1 ms, so many devices at once get
filters first and links in their places later. Everything acts on the calling thread's network namespace.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from flowgauge.ebpf import clsact
from flowgauge.ebpf.bpf_syscall import Direction, link_update, tcx_link, wait_for_programs

_made_qdiscs: set[int] = set()
"""ifIndexes of the devices that got their clsact qdisc from this process, whichever of its hooks came first."""

_SIOCGIFNAME, _SIOCGIFHWADDR = 0x8910, 0x8927
_ETHERNET_HEADER = frozenset({1, 772})
"""ARPHRD_ETHER and ARPHRD_LOOPBACK: types of device whose packets begin with an Ethernet header."""


class Attachment(Protocol):
    """One device's hooks, both directions."""

    @property
    def kind(self) -> str:
        """``tcx`` or ``clsact``."""

    @property
    def lasting(self) -> bool:
        """False for filters in whose place links are to come."""

    def update(self, programs: Mapping[Direction, int]) -> None:
        """Puts other programs in the places of the present ones: each packet meets one of both.

        OSError when the kernel refuses; some hooks may have the other program then. The present ones may still be running.
        """

    def detach(self) -> None:
        """Takes the hooks away, as far as they are there, and returns when none runs any more; safe to call twice."""


class TcxHooks:
    """Hooks by two links, which this object owns."""

    kind, lasting = "tcx", True

    def __init__(self, ifindex: int, programs: Mapping[Direction, int]) -> None:
        self._links: dict[Direction, int] = {}
        try:
            for direction, program_fd in programs.items():
                self._links[direction] = tcx_link(program_fd, ifindex, direction)
        except OSError:
            self.detach()
            raise

    def update(self, programs: Mapping[Direction, int]) -> None:
        """Updates the links, which keep their places among others."""
        for direction, link in self._links.items():
            link_update(link, programs[direction])

    def detach(self) -> None:
        """Closes the links."""
        while self._links:
            os.close(self._links.popitem()[1])


class ClsactHooks:
    """Hooks by two filters, and a qdisc for them when the device had none."""

    kind = "clsact"

    def __init__(self, ifindex: int, programs: Mapping[Direction, int], *, lasting: bool = True) -> None:
        self.lasting = lasting
        self._ifindex, self._name = ifindex, f"{clsact.NAME_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        self._filters: list[clsact.Filter] = []
        self._alive: socket.socket | None = None
        with clsact.Traffic() as traffic:
            if traffic.add_qdisc(ifindex):
                _made_qdiscs.add(ifindex)
            with suppress(OSError):  # without it another agent's start may take the filters for left over
                self._alive = clsact.sign_of_life(self._name)
            try:
                for direction, program_fd in programs.items():
                    self._filters.append(traffic.add_filter(ifindex, direction, program_fd, self._name))
            except OSError:
                with suppress(OSError):
                    self.detach()
                raise

    def update(self, programs: Mapping[Direction, int]) -> None:
        """Changes the filters, which keep their places among others."""
        with clsact.Traffic() as traffic:
            for one in self._filters:
                traffic.change_filter(one, programs[one.direction])

    def detach(self) -> None:
        """Removes the filters, and the qdisc when this process made it and nobody uses it now."""
        if self.remove():
            wait_for_programs()

    def remove(self) -> bool:
        """As ``detach``; whether there were filters, whose programs may still be running."""
        removed = False
        with clsact.Traffic() as traffic:
            while self._filters:
                with suppress(OSError):  # gone already; what could not be removed is swept at the next start
                    traffic.remove_filter(self._filters.pop())
                    removed = True
            with suppress(OSError):  # a qdisc without filters may stay
                if self._ifindex in _made_qdiscs and traffic.empty(self._ifindex):
                    _made_qdiscs.discard(self._ifindex)
                    traffic.remove_qdisc(self._ifindex)
        if self._alive is not None:
            self._alive.close()
        return removed


def attach(ifindex: int, programs: Mapping[Direction, int], *, tcx: bool = True, quick: bool = False) -> Attachment:
    """Hooks a device; OSError when the kernel refuses both ways.

    Args:
        ifindex: of the device.
        programs: file descriptor of the program of each direction.
        tcx: False goes straight to clsact.
        quick: clsact for now, ``settle`` is to follow; links at once where the kernel has no clsact, or lost its module.
    """
    if quick:
        with suppress(OSError):
            return ClsactHooks(ifindex, programs, lasting=False)
    if tcx:
        try:
            return TcxHooks(ifindex, programs)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    return ClsactHooks(ifindex, programs)


def settle(ifindex: int, attachment: object, programs: Mapping[Direction, int], *, tcx: bool = True) -> Attachment:
    """The lasting hooks of a device that has quick ones: links, or the filters it has where the kernel has no links.

    For a moment a packet meets both: the stamp of the first tells the second that it was counted. Frames that are not IP have
    no stamp, and are counted twice in that moment. OSError when the kernel refuses: then all is as before.
    """
    if not isinstance(attachment, ClsactHooks):
        raise OSError(errno.EOPNOTSUPP, "no filters of eBPF programs")
    try:
        links = TcxHooks(ifindex, programs) if tcx else None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        links = None
    if links is None:
        attachment.lasting = True
        return attachment
    try:
        attachment.remove()
    except OSError:  # then no filter was removed yet
        links.detach()
        raise
    return links


def update(attachment: object, programs: Mapping[Direction, int]) -> None:
    """``Attachment.update`` of what ``attach`` gave; OSError for something else."""
    if not isinstance(attachment, TcxHooks | ClsactHooks):
        raise OSError(errno.EOPNOTSUPP, "no hooks of eBPF programs")
    attachment.update(programs)


@dataclass(frozen=True, slots=True)
class Device:
    """What of a device decides how its packets are read."""

    name: str
    ethernet: bool


def device(ifindex: int) -> Device:
    """Reads a device of the calling thread's namespace; OSError (ENODEV) when there is none of this index."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        by_index = fcntl.ioctl(control, _SIOCGIFNAME, struct.pack("=16si20x", b"", ifindex))
        by_name = fcntl.ioctl(control, _SIOCGIFHWADDR, by_index[:16].ljust(40, b"\0"))
    name = by_index[:16].partition(b"\0")[0].decode(errors="replace")
    return Device(name, struct.unpack_from("=H", by_name, 16)[0] in _ETHERNET_HEADER)
