# SPDX-License-Identifier: Apache-2.0
"""Holds packets back for a while: takes them from a netfilter queue (NFQUEUE) and lets each go on when it is due.

The packet itself stays in the kernel; only its number and the verdict cross (linux/netfilter/nfnetlink_queue.h). This is how a
scene gets a known delay on kernels without ``netem``.
"""

from __future__ import annotations

import heapq
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 3 << 8
_PACKET, _VERDICT, _CONFIG = 0, 1, 2
_NLM_REQUEST, _NLM_ACK = 1, 4
_HEADER, _GENERIC = struct.Struct("=IHHII"), struct.Struct("!BBH")
_ATTRIBUTE = struct.Struct("=HH")
_BIND = 1
_COPY_META = 1
_TAKES_SUPER_PACKETS = 4
"""NFQA_CFG_F_GSO: without it the kernel would cut super-packets before the queue."""
_QUEUE_LENGTH = 65_535
_ACCEPT = 1
_PACKET_ID_AT = _HEADER.size + _GENERIC.size + _ATTRIBUTE.size
"""NFQA_PACKET_HDR is the first attribute of each packet, its id the first member of it."""


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _message(kind: int, queue: int, attributes: bytes, *, ack: bool = False) -> bytes:
    flags = _NLM_REQUEST | (_NLM_ACK if ack else 0)
    length = _HEADER.size + _GENERIC.size + len(attributes)
    return _HEADER.pack(length, _SUBSYSTEM | kind, flags, 0, 0) + _GENERIC.pack(0, 0, queue) + attributes


@contextmanager
def delayed(netns: str, match: str, delay_s: float, chain: str = "FORWARD") -> Iterator[Delayer]:
    """Holds back what ``netns`` forwards and ``match`` (of iptables) finds: ``-p tcp --dport 5432``; in INPUT what it receives.

    Should this process be killed, the rule that it leaves behind lets everything pass at once.
    """
    rule = (chain, *match.split(), "-j", "NFQUEUE", "--queue-num", "0", "--queue-bypass")
    delayer = Delayer(netns, delay_s)
    delayer.start()
    try:
        with linux.in_netns(netns):
            kernel.run_tool("iptables", "-A", *rule)
        try:
            yield delayer
        finally:
            with linux.in_netns(netns):
                kernel.run_tool("iptables", "-D", *rule)
    finally:
        delayer.stop()


class Delayer:
    """Delays what a rule sends to ``queue`` of a network namespace; ``start``, then ``stop``.

    Args:
        netns: where the rule is.
        delay_s: how long each packet is held back.
        queue: its number.

    Attributes:
        held_s: how long each packet was really held back: on a busy machine longer than asked for.
    """

    def __init__(self, netns: str, delay_s: float, queue: int = 0) -> None:
        self._netns, self._delay_s, self._queue = netns, delay_s, queue
        self._thread = threading.Thread(target=self._run, name="delayer", daemon=True)
        self._ended = threading.Event()
        self._due: list[tuple[float, int]] = []
        self.held_s: list[float] = []

    def start(self) -> None:
        """Binds the queue; OSError when the kernel has none, or somebody else has this one."""
        with linux.in_netns(self._netns):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((0, 0))
        self._ask(_attribute(1, struct.pack("!BxH", _BIND, 0)))
        self._ask(_attribute(2, struct.pack("!IB", 0, _COPY_META)))
        self._ask(_attribute(3, struct.pack("!I", _QUEUE_LENGTH)))
        self._ask(
            _attribute(4, struct.pack("!I", _TAKES_SUPER_PACKETS)) + _attribute(5, struct.pack("!I", _TAKES_SUPER_PACKETS))
        )
        self._socket.setblocking(False)
        self._thread.start()

    def stop(self) -> None:
        """Lets all packets go on and gives the queue up."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _ask(self, attributes: bytes) -> None:
        self._socket.send(_message(_CONFIG, self._queue, attributes, ack=True))
        code = -struct.unpack_from("=i", self._socket.recv(65_536), _HEADER.size)[0]
        if code:
            raise OSError(code, "bind a netfilter queue")

    def _run(self) -> None:
        while not self._ended.is_set():
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else 0.05
            if select.select([self._socket], [], [], min(wait_s, 0.05))[0]:
                self._take()
            self._release(time.monotonic())
        self._release(float("inf"))

    def _take(self) -> None:
        due = time.monotonic() + self._delay_s
        while True:
            try:
                data = self._socket.recv(65_536)
            except BlockingIOError:
                return
            at = 0
            while at + _PACKET_ID_AT + 4 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == _SUBSYSTEM | _PACKET:
                    heapq.heappush(self._due, (due, struct.unpack_from("!I", data, at + _PACKET_ID_AT)[0]))
                at += length + -length % 4

    def _release(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            due, packet = heapq.heappop(self._due)
            self.held_s.append(time.monotonic() - due + self._delay_s)
            self._socket.send(_message(_VERDICT, self._queue, _attribute(2, struct.pack("!II", _ACCEPT, packet))))
