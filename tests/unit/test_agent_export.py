# SPDX-License-Identifier: Apache-2.0
"""UDP export against real sockets: sequence numbers, pace, and a collector that is not there for a while."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from flowgauge.agent import backlog, export_udp
from flowgauge.agent.export_udp import UdpExport
from flowgauge.export.messages import Message
from flowgauge.runtime.ledger import Ledger


def message(number: int, records: int = 1, size: int = 40) -> Message:
    """An IPFIX header and a body that says which message it is."""
    header = struct.pack("!HHIII", 10, size, 0, 0xDEAD, 1)
    return Message(header + struct.pack("!I", number).ljust(size - 16, b"."), records, records)


def listen(port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    sock.settimeout(60)
    return sock


def received(sock: socket.socket, count: int) -> list[tuple[int, int]]:
    """(sequence number, message number) of the next ``count`` datagrams."""
    datagrams = [sock.recv(65536) for _ in range(count)]
    return [(struct.unpack_from("!I", d, 8)[0], struct.unpack_from("!I", d, 16)[0]) for d in datagrams]


@pytest.fixture
def collector() -> Iterator[socket.socket]:
    with listen() as sock:
        yield sock


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("agent", "x@1")


def opened(port: int, ledger: Ledger, **more: object) -> UdpExport:
    exporter = UdpExport("127.0.0.1", port, ledger, **more)  # type: ignore[arg-type]
    exporter.start()
    return exporter


def test_sequence_numbers_count_the_records_before(collector: socket.socket, ledger: Ledger) -> None:
    exporter = opened(collector.getsockname()[1], ledger)
    exporter.send([message(1, 10), message(2, 0), message(3, 7)])
    exporter.send([message(4, 1)])
    assert received(collector, 4) == [(0, 1), (10, 2), (10, 3), (17, 4)]
    assert ledger.snapshot() == {"export_records_sent": 18}


def test_messages_are_kept_while_nobody_listens_and_then_sent_in_order_without_a_gap(ledger: Ledger) -> None:
    with listen() as probe:
        port = probe.getsockname()[1]
    exporter = opened(port, ledger, greeting=lambda: [message(99, 0)])
    exporter.send([message(1, 5), message(2, 5)])
    exporter.send([message(3, 5)])
    assert exporter.held
    assert ledger.snapshot() == {}
    with listen(port) as sock:
        exporter.send([])
        assert received(sock, 4) == [(0, 99), (0, 1), (5, 2), (10, 3)]
    assert not exporter.held
    assert ledger.snapshot() == {"export_records_sent": 15}


def test_a_collector_that_restarts_between_two_messages_loses_neither(ledger: Ledger) -> None:
    with listen() as first:
        port = first.getsockname()[1]
        exporter = opened(port, ledger)
        exporter.send([message(1)])
        assert received(first, 1) == [(0, 1)]
    exporter.send([message(2)])
    with listen(port) as second:
        exporter.send([message(3)])
        assert received(second, 2) == [(1, 2), (2, 3)]


def test_what_does_not_fit_into_the_backlog_is_counted_oldest_first(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "BACKLOG_BYTES", 100)
    with listen() as probe:
        port = probe.getsockname()[1]
    exporter = opened(port, ledger)
    exporter.send([message(number, 3) for number in range(5)])
    assert ledger.snapshot() == {"export_records_failed": 9}
    with listen(port) as sock:
        exporter.send([])
        assert [number for _, number in received(sock, 2)] == [3, 4]


def test_a_message_too_long_for_the_network_is_counted_and_the_next_one_sent(collector: socket.socket, ledger: Ledger) -> None:
    exporter = opened(collector.getsockname()[1], ledger)
    exporter.send([message(1, 4), Message(bytes(70_000), 9, 9), message(3, 2)])
    assert received(collector, 2) == [(0, 1), (4, 3)]
    assert ledger.snapshot() == {"export_records_sent": 6, "export_records_failed": 9}


def test_of_a_greeting_what_was_too_long_for_the_network_does_not_count_as_sent(ledger: Ledger) -> None:
    with listen() as probe:
        port = probe.getsockname()[1]
    exporter = opened(port, ledger, greeting=lambda: [message(97, 3), message(98, 40, size=65_535), message(99, 2)])
    exporter.send([message(1, 5)])
    assert exporter.held
    with listen(port) as sock:
        exporter.send([message(2, 5)])
        assert received(sock, 4) == [(0, 97), (3, 99), (5, 1), (10, 2)]
    assert ledger.snapshot() == {"export_records_sent": 15, "export_records_failed": 40}
    exporter.stop()


def test_what_is_still_kept_at_the_end_is_counted_as_failed(ledger: Ledger) -> None:
    with listen() as probe:
        port = probe.getsockname()[1]
    exporter = opened(port, ledger)
    exporter.send([message(1, 5)])
    exporter.stop()
    exporter.stop()
    assert ledger.snapshot() == {"export_records_failed": 5}


def test_a_burst_is_sent_in_chunks_with_pauses_that_fit_the_budget(collector: socket.socket, ledger: Ledger) -> None:
    collector.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    pauses: list[float] = []
    exporter = opened(collector.getsockname()[1], ledger, sleep=pauses.append)
    exporter.send([message(n) for n in range(100)], budget_s=10)
    assert pauses == [export_udp.CHUNK / export_udp.PACE_PER_S] * 3
    pauses.clear()
    exporter.send([message(n) for n in range(100)], budget_s=0.001)
    assert sum(pauses) == pytest.approx(0.001, rel=0.05)


def test_a_name_that_does_not_resolve_keeps_messages_and_ends_nothing(ledger: Ledger) -> None:
    exporter = UdpExport("nowhere.invalid", 2055, ledger)
    exporter.start()
    exporter.send([message(1)])
    assert exporter.held
    exporter.stop()
    assert ledger.snapshot() == {"export_records_failed": 1}
