# SPDX-License-Identifier: Apache-2.0
"""The collector's doors: its own UDP port, and those of ``spec.collector.listeners``."""

from __future__ import annotations

import queue
from typing import Any, Protocol

from flowgauge.collector.grpc_listener import GrpcListener
from flowgauge.collector.kafka_source import KafkaSource
from flowgauge.collector.receiver import Receiver
from flowgauge.collector.senders import Door, Refusals
from flowgauge.collector.settings import CollectorSettings
from flowgauge.collector.streams import StreamListener
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.config.model import Collector, Listener
from flowgauge.errors import UsageError
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
    wanted = [*_own(collector, settings.host), *collector.listeners]
    share = RECEIVE_QUEUE_BYTES // sum(one.transport == "UDP" for one in wanted)

    def make(one: Listener) -> Listening:
        host = one.address or settings.host
        if one.transport == "gRPC":
            return GrpcListener(host, one, arrived, ledger, refusals)
        if one.transport != "UDP":
            return StreamListener(host, one, arrived, ledger, refusals)
        sock = UdpSocket(host, one.port, collector.receive_buffer_bytes)
        return Receiver(sock, share, arrived, ledger, door=Door(f"UDP {one.port}", one.allow, ledger, refusals))

    kafka = [KafkaSource(collector.kafka, settings.pen, arrived, ledger)] if collector.kafka else []
    return [*(make(one) for one in wanted), *kafka]


def _own(collector: Collector, host: str) -> list[Listener]:
    """The collector's own port: UDP for every protocol, and what agents are told to send over beside it."""
    own = [Listener(port=collector.port, address=host, allow=collector.allow)]
    if collector.transport == "TLS" and collector.tls is None:
        raise UsageError("spec.collector.transport is TLS: the collector needs spec.collector.tls (certificate and key)")
    if collector.transport in ("TCP", "TLS"):
        tls = collector.tls if collector.transport == "TLS" else None
        own.append(Listener(port=collector.port, address=host, allow=collector.allow, transport=collector.transport, tls=tls))
    return own
