# SPDX-License-Identifier: Apache-2.0
"""What the agent says and when: templates first and again, itself each time, names when they changed."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter
from flowgauge.export.messages import Message
from flowgauge.flow.batch import FlowBatch
from flowgauge.wire.decoder import Decoded, Decoder
from wire_kit import column, decode, random_flows

START_NS = 1_767_000_000_000_000_000
S = 1_000_000_000


class Agent:
    """Messages with a clock that the test sets, heard by a decoder that knows nothing beforehand."""

    def __init__(self, **settings: object) -> None:
        self.now_ns = START_NS
        self.settings = AgentSettings(node="node-a", obs_domain_id=9, **settings)  # type: ignore[arg-type]
        self.messages = Messages(self.settings, lambda: self.now_ns, lambda: self.now_ns / S)
        self.decoder = Decoder(self.settings.pen)
        self.sequence = 0

    def hear(self, messages: Sequence[Message]) -> Decoded:
        """Stamps as ``agent.export`` does, and decodes."""
        payloads = []
        for message in messages:
            assert len(message.payload) <= self.settings.mtu_bytes
            stamped = bytearray(message.payload)
            struct.pack_into("!I", stamped, 8, self.sequence)
            self.sequence += message.records
            payloads.append(bytes(stamped))
        return decode(*payloads, decoder=self.decoder)

    def options(self, names: dict[int, str] | None = None, sampling: int = 1) -> Decoded:
        return self.hear(self.messages.options({"kernel_packets_seen": 5}, names or {}, Exporter(sampling=sampling)))


def said(decoded: Decoded, key: str) -> list[object]:
    return [record[key] for told in decoded.options for record in told.records if key in record]


def test_templates_are_told_again_in_time_where_the_clock_was_set_back() -> None:
    agent, seconds = Agent(), [0.0]
    messages = Messages(agent.settings, lambda: START_NS - int(seconds[0]) * 86_400 * S, lambda: seconds[0])
    messages.templates()
    for _ in range(3):
        seconds[0] += agent.settings.template_refresh_s
        late = decode(*(one.payload for one in messages.flows(random_flows(5, seed=1))))
        assert late.counts["decode_records"] == 5, "who listens only now understands everything"


def test_the_greeting_explains_everything_that_follows() -> None:
    agent = Agent()
    greeting = agent.hear(agent.messages.templates())
    assert not greeting.problems
    assert "local_ends" in said(greeting, "informationElementName")
    assert set(said(greeting, "privateEnterpriseNumber")) == {32473}
    heard = agent.hear(agent.messages.flows(random_flows(50, seed=1)))
    assert heard.counts["decode_records"] == 50
    assert "decode_unknown_template_sets" not in heard.counts
    assert said(agent.options(), "observationDomainName") == ["node-a"]


def test_templates_are_repeated_when_due_and_not_before() -> None:
    agent = Agent(template_refresh_s=10)
    flows = random_flows(5, seed=1)
    counts = []
    for second in range(0, 25, 5):
        agent.now_ns = START_NS + second * S
        counts.append("informationElementName" in str(agent.hear(agent.messages.flows(flows)).options))
    assert counts == [True, False, True, False, True]


def test_a_collector_that_starts_later_understands_after_one_refresh() -> None:
    agent = Agent(template_refresh_s=10)
    agent.messages.flows(random_flows(40, seed=1))
    agent.now_ns += 5 * S
    late = agent.hear(agent.messages.flows(random_flows(40, seed=2)))
    assert "decode_records" not in late.counts
    agent.now_ns += 6 * S
    heard = agent.hear(agent.messages.flows(random_flows(40, seed=3)))
    assert heard.counts["decode_records"] == 80
    assert heard.counts["decode_late_records"] == 40


def test_no_flows_make_no_message_until_templates_are_due() -> None:
    agent = Agent()
    agent.hear(agent.messages.templates())
    assert agent.messages.flows(FlowBatch({}, 0)) == []
    agent.now_ns += 60 * S
    assert agent.messages.flows(FlowBatch({}, 0))


def test_an_unusual_flow_brings_its_template() -> None:
    agent = Agent()
    agent.hear(agent.messages.templates())
    gre = random_flows(30, seed=1, v6_share=0)
    gre = gre.with_columns({"retransmits": np.arange(1, 31, dtype=np.uint32)})
    heard = agent.hear(agent.messages.flows(gre))
    assert sorted(column(heard, "retransmits")) == list(range(1, 31))
    assert heard.counts["decode_template_changes"] > 0
    again = agent.hear(agent.messages.flows(gre))
    assert "decode_template_changes" not in again.counts


def test_the_agent_tells_itself_its_counters_and_its_sampling_each_time() -> None:
    agent = Agent()
    agent.hear(agent.messages.templates())
    for sampling in (1, 100):
        agent.now_ns += S
        told = agent.options(sampling=sampling)
        assert said(told, "samplingInterval") == [sampling]
        assert said(told, "systemInitTimeMilliseconds") == [START_NS // 1_000_000]
        assert said(told, "kernel_packets_seen") == [5]
        assert said(told, "export_records_failed") == [0]
        assert said(told, "observationDomainId") == [9]


def test_names_of_interfaces_are_sent_when_they_change_and_with_each_refresh() -> None:
    agent = Agent(template_refresh_s=10)
    agent.hear(agent.messages.templates())
    names = {1: "lo", 2: "eth0"}
    assert said(agent.options(names), "interfaceName") == ["lo", "eth0"]
    assert said(agent.options(names), "interfaceName") == []
    assert said(agent.options({**names, 3: "veth1"}), "interfaceName") == ["lo", "eth0", "veth1"]
    agent.now_ns += 11 * S
    agent.hear(agent.messages.flows(FlowBatch({}, 0)))
    assert said(agent.options({**names, 3: "veth1"}), "ingressInterface") == [1, 2, 3]


def test_hundreds_of_interfaces_are_told_in_messages_that_fit() -> None:
    agent = Agent(mtu_bytes=600)
    agent.hear(agent.messages.templates())
    names = {index: f"cali{index:011d}" for index in range(1, 501)}
    told = agent.options(names)
    pairs = zip(said(told, "ingressInterface"), said(told, "interfaceName"), strict=False)
    assert dict(pairs) == names


def test_an_own_enterprise_number_is_used_throughout() -> None:
    agent = Agent(pen=54321)
    greeting = agent.hear(agent.messages.templates())
    assert set(said(greeting, "privateEnterpriseNumber")) == {54321}
    heard = agent.hear(agent.messages.flows(random_flows(5, seed=1)))
    assert set(column(heard, "flow_format")) == {7}
    stranger = Decoder(32473)
    decoded = decode(*[m.payload for m in Agent(pen=54321).messages.flows(random_flows(5, seed=1))], decoder=stranger)
    assert set(column(decoded, "flow_format")) == {5}


def test_export_times_are_those_of_the_clock() -> None:
    agent = Agent()
    payload = agent.messages.templates()[0].payload
    assert struct.unpack_from("!I", payload, 4) == (START_NS // S,)


def test_messages_are_nearly_full() -> None:
    """Thousands of flows of one kind: all messages but the last hold as many records as fit."""
    agent = Agent()
    agent.hear(agent.messages.templates())
    messages = agent.messages.flows(random_flows(5000, seed=1).take(np.arange(5000)))
    assert sum(message.records for message in messages) == 5000
    full = [message for message in messages if len(message.payload) > 1400 - 140]
    assert len(full) > 0.95 * len(messages)
