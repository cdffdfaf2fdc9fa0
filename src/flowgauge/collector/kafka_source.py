# SPDX-License-Identifier: Apache-2.0
"""Receives flows from a Kafka topic: IPFIX messages of our agents, or records of NetObserv's (``pbflow``).

One thread polls. An offset is committed when the flows up to it are in the spool, so that after a crash the rest is read
again; what was in the spool and not yet committed then comes twice (at least once, as Kafka's consumers do). Several
collectors with one group share the partitions. Back-pressure is Kafka's own: while enough messages wait for the decoder,
nothing is polled.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flowgauge.collector.listener_state import ListenerState
from flowgauge.collector.relayed import Relayed, RelayedMessages, Road
from flowgauge.config.kafka import client_settings
from flowgauge.config.sending import Kafka, KafkaFormat
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs
from flowgauge.runtime.clock import Clock, now_ns
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.pbflow.decoder import PbflowDecoder

MESSAGES_AT_ONCE = 2_000
"""Handed to the decoder together."""
POLL_S = 0.2
MAX_BATCHES_WAITING = 4
"""Of messages at the decoder; beyond it nothing is polled."""
EXPORTER_HEADER = "exporter_addr"
"""Header of a message with the address (16 bytes) of the agent that sent it."""
START_S = 5.0
STOP_S = 5.0
_NOBODY = bytes(16)

_log = logs.get("collector")


class KafkaSource:
    """Consumes between ``start`` and ``stop``; messages go to ``arrived``, to be decoded by the decoder of ``road``."""

    def __init__(
        self,
        settings: Kafka,
        new_decoder: Callable[[], Decoder],
        arrived: queue.SimpleQueue[Any],
        ledger: Ledger,
        *,
        clock: Clock = now_ns,
    ) -> None:
        self._settings, self._arrived, self._ledger, self._clock = settings, arrived, ledger, clock
        ipfix = settings.format is KafkaFormat.IPFIX
        self.road = Road(new_decoder() if ipfix else PbflowDecoder(single=True))
        self._places = threading.Semaphore(MAX_BATCHES_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receive-kafka", daemon=True)
        self._limit = logs.RateLimit()
        self._safe: queue.SimpleQueue[Sequence[TopicPartition]] = queue.SimpleQueue()
        self._consumer: Any = None
        self.address = (settings.brokers, 0)
        self.name = f"Kafka {settings.topic}"

    def start(self) -> None:
        """Joins the group; brokers that are away are tried again.

        Raises:
            EnvironmentProblem: the settings are none that Kafka's client takes.
        """
        options = {
            **client_settings(self._settings),
            "group.id": self._settings.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        try:
            self._consumer = Consumer(options, logger=logs.LibraryLog("collector", "kafka_client"))
            self._consumer.subscribe([self._settings.topic])
        except (KafkaException, ValueError, TypeError) as error:
            raise EnvironmentProblem(f"spec.collector.kafka: {_words(error)}") from error
        self._thread.start()

    def stop(self) -> None:
        """Polls no more; offsets of what is safe are committed. Safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def ready(self) -> bool:
        """True while it polls."""
        return self._thread.is_alive()

    def state(self) -> ListenerState:
        """How it stands."""
        return ListenerState(self.name, self.address)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
            self._drain()
        finally:
            self._consumer.close()

    def _turn(self) -> None:
        self._commit()
        if not self._places.acquire(timeout=POLL_S):
            self._consumer.poll(0)  # tells the broker that we live
            return
        found = self._consumer.consume(MESSAGES_AT_ONCE, POLL_S)
        messages = [one for one in found if self._good(one)]
        if not messages:
            self._places.release()
            return
        self._hand_on(messages)

    def _hand_on(self, messages: Sequence[Any]) -> None:
        ends = _ends(messages)
        relayed = [Relayed(one.value() or b"", _exporter(one.headers())) for one in messages]
        self._ledger.add("receive_datagrams", len(relayed))
        self._ledger.add("receive_bytes", sum(len(one.payload) for one in relayed))

        def safe() -> None:
            self._safe.put(ends)
            self._places.release()

        self._arrived.put(RelayedMessages(self.road, relayed, self._clock(), safe))

    def _drain(self) -> None:
        """Commits what becomes safe while the decoder empties its queue."""
        for _ in range(MAX_BATCHES_WAITING):
            if not self._places.acquire(timeout=STOP_S / MAX_BATCHES_WAITING):
                break
        self._commit()

    def _commit(self) -> None:
        offsets: dict[tuple[str, int], TopicPartition] = {}
        while True:
            try:
                ends = self._safe.get_nowait()
            except queue.Empty:
                break
            offsets.update({(one.topic, one.partition): one for one in ends})
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=list(offsets.values()), asynchronous=False)
        except KafkaException as error:
            self._warn("kafka_commit_failed", error)

    def _good(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name for it
            self._warn("kafka_error", error)
        return False

    def _warn(self, event: str, error: object) -> None:
        allowed, held_back = self._limit.allow(event)
        if allowed:
            _log.warning(event, topic=self._settings.topic, error=_words(error), held_back=held_back)


def _ends(messages: Sequence[Any]) -> list[TopicPartition]:
    """For each partition the offset behind the last of its messages."""
    last: dict[tuple[str, int], int] = {}
    for one in messages:
        last[one.topic(), one.partition()] = one.offset() + 1
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in last.items()]


def _exporter(headers: Sequence[tuple[str, bytes]] | Mapping[str, bytes] | None) -> bytes:
    found = dict(headers or ()).get(EXPORTER_HEADER, _NOBODY)
    return found if isinstance(found, bytes) and len(found) == len(_NOBODY) else _NOBODY


def _words(error: object) -> str:
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return inner.str() if isinstance(inner, KafkaError) else str(inner)
