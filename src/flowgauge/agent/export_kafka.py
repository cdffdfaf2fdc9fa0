# SPDX-License-Identifier: Apache-2.0
"""Hands messages to a Kafka topic, keyed by observation domain so that each node's stay in order.

The client library sends from a thread of its own, waits for all replicas, and repeats without doubling (idempotence). A record
counts as sent when the brokers have acknowledged its message. What no broker takes is kept, within a bound; beyond it the
newest are counted as failed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer

from flowgauge.agent.not_sent import NotSent
from flowgauge.config.kafka import client_settings
from flowgauge.config.sending import Kafka
from flowgauge.errors import EnvironmentProblem
from flowgauge.export.messages import Message, Numbering
from flowgauge.export.settings import FlowProtocol
from flowgauge.flow.addresses import packed
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger

BACKLOG_KIB = 16 << 10
"""Kept by the client library while brokers are away."""
KEPT_S = 300
"""How long it tries to deliver a message."""
STOP_S = 5.0
EXPORTER_HEADER = "exporter_addr"
"""Header of a message with the address (16 bytes) of whoever sent it, as the source address of a datagram tells it."""


class KafkaExport:
    """Sends between ``start`` and ``stop``, called by one thread.

    Args:
        domain: the key of all messages.
    """

    held = False
    """Never: the client library keeps messages, and offers them again by itself."""

    def __init__(self, settings: Kafka, domain: int, ledger: Ledger) -> None:
        self.where = f"{settings.topic} at {settings.brokers}"
        self._settings, self._ledger = settings, ledger
        self._key = domain.to_bytes(4, "big")
        self._numbering = Numbering(FlowProtocol.IPFIX)
        self._headers: dict[str, bytes] = {}
        self._producer: Any = None
        self._not_sent = NotSent(ledger)
        self.refused = ""
        self.sent_anything = False
        self.sent_records = 0

    def start(self) -> None:
        """Begins; brokers that are away are tried again.

        Raises:
            EnvironmentProblem: the settings are none that Kafka's client takes.
        """
        options = {
            **client_settings(self._settings),
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.kbytes": BACKLOG_KIB,
            "message.timeout.ms": KEPT_S * 1000,
        }
        try:
            self._producer = Producer(options, logger=logs.LibraryLog("agent", "kafka_client"))
        except (KafkaException, ValueError, TypeError) as error:
            raise EnvironmentProblem(f"spec.collector.kafka: {error}") from error
        self._headers = {EXPORTER_HEADER: _own_address(self._settings.brokers)}

    def send(self, messages: Sequence[Message], budget_s: float = 2.0) -> None:
        """Hands over; the client library sets the pace."""
        del budget_s
        if self._producer is None:
            return
        for message in messages:
            try:
                self._producer.produce(
                    self._settings.topic, bytes(self._numbering.stamped(message)), self._key, headers=self._headers,
                    on_delivery=self._told(message),
                )  # fmt: skip
            except BufferError:
                self._not_sent.count(message, "backlog_full")
                continue
            self._numbering.sent(message)
            self.sent_records += message.records
        self._producer.poll(0)

    def release(self) -> list[Message]:
        """What the client library keeps cannot be taken from it; it goes on trying until ``stop``."""
        return []

    def stop(self) -> None:
        """Waits for acknowledgements, within a bound; what has none is counted as failed. Safe to call twice."""
        if self._producer is None:
            return
        self._producer.flush(STOP_S)
        self._producer.purge()
        self._producer.flush(0.1)
        self._producer = None

    def _told(self, message: Message) -> Callable[[Any, Any], None]:
        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                self._not_sent.count(message, error.str())
                return
            self._ledger.add("export_records_sent", message.records)
            self.sent_anything = True

        return delivered


def _own_address(brokers: str) -> bytes:
    """The address from which this machine reaches the first broker; 16 bytes, zeros when it cannot be told."""
    host, _, port = brokers.split(",", maxsplit=1)[0].strip().rpartition(":")
    try:
        family, kind, proto, _, peer = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.connect(peer)  # of a datagram socket: nothing is sent
            return packed(str(probe.getsockname()[0]).partition("%")[0])
    except (OSError, ValueError):
        return bytes(16)
