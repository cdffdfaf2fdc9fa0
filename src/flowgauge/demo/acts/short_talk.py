# SPDX-License-Identifier: Apache-2.0
"""A short conversation between two pods, so small that agents still have the heads of all its packets when it is over."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from flowgauge.demo.cluster import Pod
from flowgauge.demo.waiting import quiet
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import linux
from flowgauge.runtime.clock import now_ns

_TURNS, _TURN_BYTES = 20, 300
_WITHIN_S = 5.0
_INFO_BYTES, _SEGMENTS_AT = 144, 136
"""``tcpi_segs_out`` and ``tcpi_segs_in`` of linux/tcp.h."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said, and when, ms since 1970.

    Attributes:
        client: who opened the connection, from ``port``.
        packets: that its socket sent and received, as its kernel counted.
    """

    client: Pod
    port: int
    start_ms: int
    end_ms: int
    packets: int


class ShortTalk:
    """The act, between pods of other acts that are silent by then."""

    def __init__(self, client: Pod, server: Pod) -> None:
        self._client, self._server = client, server

    @property
    def pods(self) -> Sequence[Pod]:
        """None of its own."""
        return ()

    def play(self) -> Talk:
        """Each says ``_TURNS`` times something that fits into a packet, and both end.

        Raises:
            EnvironmentProblem: one did not hear the other.
        """
        start_ms = now_ns() // 1_000_000
        try:
            port, packets = self._talk()
            end_ms = now_ns() // 1_000_000 + 1  # what might be sent again later is not counted, and not captured
        except OSError as error:
            raise EnvironmentProblem(f"{self._client.name} and {self._server.name} cannot talk: {error}") from error
        quiet([self._client])
        return Talk(self._client, port, start_ms, end_ms, packets)

    def _talk(self) -> tuple[int, int]:
        with linux.in_netns(self._server.place.netns):
            listener = socket.create_server((self._server.address, 0))
        with linux.in_netns(self._client.place.netns):
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with listener, client:
            for one in (listener, client):
                one.settimeout(_WITHIN_S)
            client.connect(listener.getsockname())
            with listener.accept()[0] as server:
                server.settimeout(_WITHIN_S)
                for _ in range(_TURNS):
                    _say(client, server)
                    _say(server, client)
                _end(client, server)
                _end(server, client)
                return client.getsockname()[1], _segments(client)


def _say(speaker: socket.socket, hearer: socket.socket) -> None:
    speaker.sendall(bytes(_TURN_BYTES))
    left = _TURN_BYTES
    while left:
        heard = len(hearer.recv(left))
        if not heard:
            raise ConnectionResetError("the connection ended")
        left -= heard


def _end(speaker: socket.socket, hearer: socket.socket) -> None:
    speaker.shutdown(socket.SHUT_WR)
    hearer.recv(1)


def _segments(client: socket.socket) -> int:
    """Both directions, once the last acknowledgement has come."""
    time.sleep(0.1)
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return sum(struct.unpack_from("=II", info, _SEGMENTS_AT))
