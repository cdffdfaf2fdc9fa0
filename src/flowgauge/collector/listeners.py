# SPDX-License-Identifier: Apache-2.0
"""The collector's doors: its own UDP port, and those of ``spec.collector.listeners``."""

from __future__ import annotations

import queue
from typing import Any, Protocol

from flowgauge.collector.receiver import Receiver
from flowgauge.collector.senders import Door, Refusals
from flowgauge.collector.settings import CollectorSettings
from flowgauge.collector.streams import StreamListener
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.config.model import Listener
from flowgauge.runtime.ledger import Ledger

RECEIVE_QUEUE_BYTES = 32 << 20
"""Datagrams of all UDP ports that may wait for the decoder: 16 blocks, 16 000 datagrams, about 250 000 flows."""


class Listening(Protocol):
    """A listener."""

    @property
    def name(self) -> str:
        """Transport and port, for people."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in use."""

    def start(self) -> None:
        """Listens; UsageError or EnvironmentProblem when it cannot."""

    def stop(self) -> None:
        """Hands on what has arrived, and listens no more; safe to call twice."""

    def ready(self) -> bool:
        """True while it listens."""


def make_listeners(
    settings: CollectorSettings, arrived: queue.SimpleQueue[Any], ledger: Ledger, refusals: Refusals
) -> list[Listening]:
    """All listeners of a collector, its own port first."""
    collector = settings.collector
    wanted = [Listener(port=collector.port, address=settings.host, allow=collector.allow), *collector.listeners]
    share = RECEIVE_QUEUE_BYTES // sum(one.transport == "UDP" for one in wanted)

    def make(one: Listener) -> Listening:
        host = one.address or settings.host
        if one.transport != "UDP":
            return StreamListener(host, one, arrived, ledger, refusals)
        sock = UdpSocket(host, one.port, collector.receive_buffer_bytes)
        return Receiver(sock, share, arrived, ledger, door=Door(f"UDP {one.port}", one.allow, ledger, refusals))

    return [make(one) for one in wanted]
