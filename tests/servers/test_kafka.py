# SPDX-License-Identifier: Apache-2.0
"""Flows by way of a real Kafka broker: our agents' IPFIX and NetObserv's records, read to the last one, again after a crash."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from agent_kit import until
from decode_kit import DecodingEnd
from export_kit import octets
from flowgauge.agent import export_kafka
from flowgauge.agent.destinations import Destinations
from flowgauge.agent.settings import AgentSettings
from flowgauge.collector.kafka_source import KafkaSource
from flowgauge.config.model import Collector, Exporter
from flowgauge.config.sending import Kafka
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.decoder import Decoder
from pbflow_kit import record
from wire_kit import random_flows

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that stops waits as long as a busy broker takes for what is under way."""
    monkeypatch.setattr(export_kafka, "STOP_S", 60.0)


@pytest.fixture
def topic(kafka: int) -> Kafka:
    """A topic and a group of the test's own."""
    name = f"flows-{uuid.uuid4().hex[:8]}"
    settings = Kafka(brokers=f"127.0.0.1:{kafka}", topic=name, group=name)
    producer = Producer({"bootstrap.servers": settings.brokers})
    producer.list_topics(name, 60)  # makes it
    producer.flush(60)
    return settings


class Reading(DecodingEnd):
    """A reader of the topic and what decodes behind it."""

    def __init__(self, settings: Kafka, *, decoding: bool = True) -> None:
        super().__init__()
        self.source = KafkaSource(settings, Decoder, self.arrived, self.ledger)
        self.source.start()
        if decoding:
            self.start()

    def stop(self) -> None:
        """Stops polling, then the decoder; safe to call twice."""
        self.source.stop()
        super().stop()


@pytest.fixture
def reading() -> Iterator[Callable[..., Reading]]:
    made: list[Reading] = []

    def start(settings: Kafka, **more: Any) -> Reading:
        made.append(Reading(settings, **more))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def agent(topic: Kafka, ledger: Ledger, node: str = "node-a") -> Destinations:
    settings = AgentSettings(node=node, collector=Collector(transport="Kafka", kafka=topic))
    destinations = Destinations(settings, ledger)
    destinations.start()
    destinations.greet()
    return destinations


def test_what_agents_write_is_read_whole_and_in_order(topic: Kafka, reading: Callable[..., Reading]) -> None:
    flows = {node: random_flows(1500, seed=seed) for seed, node in enumerate(("node-a", "node-b"))}
    ledgers = {node: Ledger("agent", f"{node}@1") for node in flows}
    end = reading(topic)
    for node, batch in flows.items():
        destinations = agent(topic, ledgers[node], node)
        destinations.send_flows(batch, 1.0)
        destinations.send_options({1: "lo", 2: "eth0"}, Exporter())
        destinations.stop()
    sent = sum(ledger.snapshot()["export_records_sent"] for ledger in ledgers.values())
    until(lambda: end.counted("decode_records") + end.counted("decode_options_records") == sent, f"{sent} records")
    got = end.flows()
    assert octets(got) == sorted(octets(flows["node-a"]) + octets(flows["node-b"]))
    assert not end.counted("sequence_gap_records")
    assert {one.partition("@")[0] for one in end.agents.snapshot()} == {"node-a", "node-b"}
    assert not [name for ledger in ledgers.values() for name in ledger.snapshot() if "failed" in name]


def test_whoever_begins_in_the_middle_needs_nothing_from_before(topic: Kafka, reading: Callable[..., Reading]) -> None:
    destinations = agent(topic, Ledger("agent", "node-a@1"))
    destinations.send_flows(random_flows(400, seed=1), 1.0)
    destinations.stop()
    _skip(topic)
    late = random_flows(30, seed=2)
    destinations = agent(topic, Ledger("agent", "node-a@2"))
    destinations.send_flows(late, 1.0)
    destinations.stop()
    end = reading(topic)
    end.until("decode_records", 30)
    assert octets(end.flows()) == octets(late)
    assert not end.counted("decode_unknown_template_sets")


def _skip(topic: Kafka) -> None:
    """Commits, for the group, the present end of every partition."""
    consumer = Consumer({"bootstrap.servers": topic.brokers, "group.id": topic.group})
    partitions = consumer.list_topics(topic.topic, 60).topics[topic.topic].partitions
    ends = [consumer.get_watermark_offsets(TopicPartition(topic.topic, one), 60)[1] for one in partitions]
    consumer.commit(
        offsets=[TopicPartition(topic.topic, one, end) for one, end in zip(partitions, ends, strict=True)], asynchronous=False
    )
    consumer.close()


def test_what_was_not_safe_when_a_reader_died_is_read_again(topic: Kafka, reading: Callable[..., Reading]) -> None:
    flows = random_flows(200, seed=3)
    destinations = agent(topic, Ledger("agent", "node-a@1"))
    destinations.send_flows(flows, 1.0)
    destinations.stop()
    died = reading(topic, decoding=False)
    died.until("receive_datagrams", 1)
    died.source.stop()
    again = reading(topic)
    again.until("decode_records", 200)
    assert octets(again.flows()) == octets(flows)


def test_what_was_safe_is_not_read_again(topic: Kafka, reading: Callable[..., Reading]) -> None:
    destinations = agent(topic, Ledger("agent", "node-a@1"))
    destinations.send_flows(random_flows(200, seed=3), 1.0)
    first = reading(topic)
    first.until("decode_records", 200)
    first.stop()
    more = random_flows(7, seed=4)
    destinations.send_flows(more, 1.0)
    destinations.stop()
    second = reading(topic)
    second.until("decode_records", 7)
    assert octets(second.flows()) == octets(more)


def test_records_of_netobservs_agents(topic: Kafka, reading: Callable[..., Reading]) -> None:
    producer = Producer({"bootstrap.servers": topic.brokers})
    for number in range(500):
        producer.produce(topic.topic, record(bytes=number).SerializeToString())
    producer.produce(topic.topic, b"\xff\xff\xff")
    producer.flush(60)
    end = reading(topic.model_copy(update={"format": "pbflow"}))
    end.until("decode_records", 500)
    end.until("decode_error_datagrams", 1)
    assert octets(end.flows()) == list(range(500))
