# SPDX-License-Identifier: Apache-2.0
"""A process that sends an input's datagrams over UDP from eight addresses of loopback: paced, or as fast as they are taken."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from flowgauge.runtime.linux import OutgoingMessages
from rivals_kit.inputs import EXPORTERS, RUN, Input
from rivals_kit.processes import queued_bytes

ACCOUNTED_BYTES = 2_304
"""What the kernel charges a receive buffer for one of our datagrams."""
_LATE_S = 0.005
"""A paced sender that is later than this does not catch up with a burst."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to send.

    Attributes:
        first, stop: datagrams of the input.
        per_s: datagrams a second; 0: as fast as they are taken.
        room_bytes: without a rate, wait while half of this is in the receiver's buffer: nothing is lost then.
        together: so many datagrams of an exporter in one go.
    """

    port: int
    first: int
    stop: int
    per_s: float = 0
    room_bytes: int = 0
    together: int = RUN


class Sender:
    """Sends what ``send`` says, from a process of its own."""

    def __init__(self, given: Input) -> None:
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, given), daemon=True)
        self._process.start()

    def send(self, order: Order) -> float:
        """Seconds that it took."""
        self._ours.send(order)
        seconds: float = self._ours.recv()
        return seconds

    def close(self) -> None:
        """Ends the process."""
        self._ours.send(None)
        self._process.join()


def _serve(orders: Connection, given: Input) -> None:
    messages = OutgoingMessages(len(given))
    places = np.frombuffer(memoryview(messages.places).cast("B"), np.uint64).reshape(-1, 2)
    places[:, 0] = given.payloads.ctypes.data + given.start
    places[:, 1] = given.length
    port, sockets = 0, list[socket.socket]()
    while (order := orders.recv()) is not None:
        if order.port != port:  # exporters keep their ports while they send to one collector
            port, sockets = order.port, [_connected(number, order.port) for number in range(EXPORTERS)]
        orders.send(_send(messages, sockets, order))


def _send(messages: OutgoingMessages, sockets: list[socket.socket], order: Order) -> float:
    wait = _paced(order.per_s) if order.per_s else _while_full(order)
    begin = time.monotonic()
    for first, stop in _runs(order):
        wait(stop - first)
        sent = first
        while sent < stop:
            sent += messages.send(sockets[first // RUN % EXPORTERS].fileno(), sent, stop)
    return time.monotonic() - begin


def _runs(order: Order) -> Iterator[tuple[int, int]]:
    """Neighbours of one exporter."""
    first = order.first
    while first < order.stop:
        stop = min(order.stop, first // order.together * order.together + order.together)
        yield first, stop
        first = stop


def _paced(per_s: float) -> Callable[[int], None]:
    due = time.monotonic()

    def wait(count: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now < due:
            time.sleep(due - now)
        elif now - due > _LATE_S:
            due = now
        due += count / per_s

    return wait


def _while_full(order: Order) -> Callable[[int], None]:
    """Looks at the receiver's buffer now and then: often enough that what is sent in between has room."""
    between = max(RUN, order.room_bytes // 4 // ACCOUNTED_BYTES)
    sent = between

    def wait(count: int) -> None:
        nonlocal sent
        sent += count
        if sent >= between:
            sent = 0
            while queued_bytes(order.port) > order.room_bytes // 2:
                time.sleep(0.0002)

    return wait


def _connected(number: int, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((f"127.0.1.{number + 1}", 0))
    sock.connect(("127.0.0.1", port))
    return sock
