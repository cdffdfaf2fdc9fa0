# SPDX-License-Identifier: Apache-2.0
"""The collector's doors: its own UDP port, and those of ``spec.collector.listeners``."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any, Protocol

from flowgauge.collector.decoders import Decoders
from flowgauge.collector.listener_state import ListenerState
from flowgauge.collector.receiver import Receiver
from flowgauge.collector.senders import Door, Refusals
from flowgauge.collector.settings import CollectorSettings
from flowgauge.collector.streams import StreamListener
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.config.model import Collector, Listener
from flowgauge.errors import UsageError
from flowgauge.runtime.ledger import Ledger

RECEIVE_QUEUE_BYTES = 64 << 20
"""Datagrams of all UDP ports that may wait for the decoder: 8 blocks, 32 000 datagrams, about 500 000 flows. Memory is taken
as it is needed."""


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

    def state(self) -> ListenerState:
        """How it stands."""


def make_listeners(
    settings: CollectorSettings, arrived: queue.SimpleQueue[Any], ledger: Ledger, refusals: Refusals, decoders: Decoders, *,
    sockets: Sequence[UdpSocket] | None = None, streams: bool = True,
) -> list[Listening]:  # fmt: skip
    """The listeners of a collector, its own port first, those that are not for UDP only with ``streams``.

    ``sockets`` are those of the UDP listeners, in their order, when they are open already.
    """
    collector, udp = settings.collector, udp_listeners(settings)
    own = iter(sockets or [UdpSocket(one.address, one.port, collector.receive_buffer_bytes) for one in udp])
    share = RECEIVE_QUEUE_BYTES // len(udp)

    def make(one: Listener) -> Listening:
        if one.transport == "gRPC":
            from flowgauge.collector.grpc_listener import GrpcListener  # noqa: PLC0415 - 8 MiB of libraries, rarely needed

            return GrpcListener(one.address, one, arrived, ledger, refusals)
        if one.transport != "UDP":
            return StreamListener(one.address, one, arrived, ledger, refusals)
        return Receiver(next(own), share, arrived, ledger, door=Door(f"UDP {one.port}", one.allow, ledger, refusals))

    found = [make(one) for one in all_listeners(settings) if streams or one.transport == "UDP"]
    if collector.kafka and streams:
        from flowgauge.collector.kafka_source import KafkaSource  # noqa: PLC0415 - as above

        found.append(KafkaSource(collector.kafka, decoders, arrived, ledger))
    return found


def all_listeners(settings: CollectorSettings) -> list[Listener]:
    """What the document asks for, each with its address; the collector's own port first."""
    collector, host = settings.collector, settings.host
    wanted = [*_own(collector, host), *collector.listeners]
    return [one.model_copy(update={"address": one.address or host}) for one in wanted]


def udp_listeners(settings: CollectorSettings) -> list[Listener]:
    """Those for UDP."""
    return [one for one in all_listeners(settings) if one.transport == "UDP"]


def _own(collector: Collector, host: str) -> list[Listener]:
    """The collector's own port: UDP for every protocol, and what agents are told to send over beside it."""
    own = [Listener(port=collector.port, address=host, allow=collector.allow)]
    if collector.transport == "TLS" and collector.tls is None:
        raise UsageError("spec.collector.transport is TLS: the collector needs spec.collector.tls (certificate and key)")
    if collector.transport in ("TCP", "TLS"):
        tls = collector.tls if collector.transport == "TLS" else None
        own.append(Listener(port=collector.port, address=host, allow=collector.allow, transport=collector.transport, tls=tls))
    return own
