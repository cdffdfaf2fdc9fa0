# SPDX-License-Identifier: Apache-2.0
"""UDP export to another machine, whose kernel says that nobody listens only after a datagram has gone."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from agent_kit import until
from flowgauge.agent import export_udp
from flowgauge.agent.export_udp import UdpExport
from flowgauge.export.messages import Message
from flowgauge.runtime import linux
from flowgauge.runtime.ledger import Ledger
from node_kit import A, TwoPods, two_pods

pytestmark = [pytest.mark.root]

PORT, GREETING = 7055, 99


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def message(number: int) -> Message:
    """An IPFIX message of one record that says which message it is."""
    return Message(struct.pack("!HHIIII", 10, 20, 0, 0xDEAD, 1, number), 1, 1)


def test_what_is_kept_waits_until_the_machine_of_the_collector_has_had_time_to_refuse(
    node: TwoPods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_udp, "GREET_EVERY_S", 0.0)
    node.run("a", "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")  # an answer to each
    ledger = Ledger("agent", "x@1")
    exporter = UdpExport(A, PORT, ledger, greeting=lambda: [message(GREETING)])
    with linux.in_netns(node.node):
        exporter.start()

    def away() -> bool:
        exporter.send([message(1)])  # the first may be lost: no answer has come yet
        return exporter.held

    until(away, "the collector's machine has said that nobody listens")
    sent = ledger.snapshot().get("export_records_sent", 0)
    for number in range(2, 10):
        exporter.send([message(number)])
    assert exporter.held
    assert ledger.snapshot().get("export_records_sent", 0) == sent, "neither what is kept nor a greeting counts"
    with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind((A, PORT))
        collector.settimeout(60)
        exporter.send([message(10)])
        got = [struct.unpack("!8xI4xI", collector.recv(100)) for _ in range(11)]
    exporter.stop()
    assert [number for _, number in got] == [GREETING, *range(1, 11)]
    assert [sequence for sequence, _ in got] == list(range(sent, sent + 11)), "no gap but what was sent before"
    assert ledger.snapshot() == {"export_records_sent": sent + 11}
