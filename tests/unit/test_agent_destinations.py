# SPDX-License-Identifier: Apache-2.0
"""Where an agent's flows go: over TCP and TLS, to the next collector when one is away, or to several by connection."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_kit import until
from export_kit import StreamReceiver, UdpReceiver, certificates, decoded, octets
from flowgauge.agent import export_failover, export_stream
from flowgauge.agent.destinations import Destinations
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Collector, Exporter
from flowgauge.config.sending import ClientTls
from flowgauge.errors import UsageError
from flowgauge.export import stream
from flowgauge.flow.hashes import flow_hashes
from flowgauge.run.part import free_port
from flowgauge.runtime.ledger import Ledger
from wire_kit import random_flows


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("agent", "node-a@1")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits as long as a busy machine takes for what can be sent."""
    monkeypatch.setattr(export_stream, "STOP_S", 60.0)


def started(ledger: Ledger, **collector: Any) -> Destinations:
    settings = AgentSettings(node="node-a", collector=Collector(address="127.0.0.1", **collector))
    destinations = Destinations(settings, ledger)
    destinations.start()
    destinations.greet()
    return destinations


def test_over_tcp_every_flow_and_option_arrives_and_counts_once(ledger: Ledger) -> None:
    receiver = StreamReceiver()
    destinations = started(ledger, port=receiver.port, transport="TCP")
    flows = random_flows(20_000, seed=1)  # more than are encoded at once
    destinations.send_flows(flows, 1.0)
    destinations.send_options({1: "lo"}, Exporter())
    until(lambda: len(receiver.sessions) == 1, "a connection")
    destinations.stop()
    receiver.close()
    (session,) = receiver.sessions
    got = decoded(*session)
    assert octets(got.flows) == octets(flows)
    records = got.counts["decode_records"] + got.counts["decode_options_records"]
    assert ledger.snapshot() == {"export_records_sent": records}
    assert not got.counts.get("sequence_gap_records")


def test_over_tls_with_certificates_on_both_sides(ledger: Ledger, tmp_path: Path) -> None:
    with certificates(tmp_path) as certificate:
        mine, theirs = certificate("agent.example"), certificate("collector.example")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(theirs)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tmp_path / "ca.pem")
    receiver = StreamReceiver(context)
    tls = ClientTls(ca=str(tmp_path / "ca.pem"), certificate=str(mine), server_name="collector.example")
    destinations = started(ledger, port=receiver.port, transport="TLS", client_tls=tls)
    flows = random_flows(50, seed=2)
    destinations.send_flows(flows, 1.0)
    until(lambda: destinations.sent_anything, "the collector took it")
    destinations.stop()
    receiver.close()
    assert octets(decoded(*receiver.sessions[0]).flows) == octets(flows)


@pytest.mark.parametrize("called", ["collector.example", "another.example"])
def test_a_collector_on_this_machine_has_a_certificate_for_the_name_that_the_document_gives_it(
    ledger: Ledger, tmp_path: Path, called: str
) -> None:
    with certificates(tmp_path) as certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate("collector.example"))
    receiver = StreamReceiver(context)
    tls = ClientTls(ca=str(tmp_path / "ca.pem"))
    collector = Collector(address="127.0.0.1", port=receiver.port, transport="TLS", client_tls=tls)
    destinations = Destinations(AgentSettings(node="node-a", collector=collector, collector_name=called), ledger)
    destinations.start()
    destinations.greet()
    until(lambda: destinations.sent_anything or bool(receiver.refused), "an answer")
    destinations.stop()
    receiver.close()
    assert destinations.sent_anything is (called == "collector.example")


def test_a_collector_that_is_not_believed_gets_nothing_and_that_is_counted(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_stream, "RETRY_S", 0.1)
    with certificates(tmp_path) as certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate("somebody.else"))
    receiver = StreamReceiver(context)
    tls = ClientTls(ca=str(tmp_path / "ca.pem"), server_name="collector.example")
    destinations = started(ledger, port=receiver.port, transport="TLS", client_tls=tls)
    destinations.send_flows(random_flows(50, seed=2), 1.0)
    until(lambda: len(receiver.refused) > 1, "it was tried again")
    assert not destinations.sent_anything
    assert destinations.refused == (
        f"127.0.0.1:{receiver.port} and we do not agree on TLS: its certificate is not accepted (Hostname mismatch, "
        "certificate is not valid for 'collector.example'.); spec.collector.clientTls.serverName says whose it must be"
    )
    destinations.stop()
    receiver.close()
    failed = ledger.snapshot()
    assert failed.get("export_records_sent", 0) == 0
    assert failed["export_records_failed"] >= 50


@pytest.mark.parametrize("tickets", [2, 0], ids=["tells by a ticket", "says nothing where all is well"])
def test_what_a_collector_gets_that_refuses_our_certificate_does_not_count_as_sent(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tickets: int
) -> None:
    monkeypatch.setattr(export_stream, "RETRY_S", 0.05)
    with certificates(tmp_path) as certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate("collector.example"))
        context.verify_mode, context.num_tickets = ssl.CERT_REQUIRED, tickets
        context.load_verify_locations(tmp_path / "ca.pem")
    receiver = StreamReceiver(context)
    tls = ClientTls(ca=str(tmp_path / "ca.pem"), server_name="collector.example")
    destinations = started(ledger, port=receiver.port, transport="TLS", client_tls=tls)
    for seed in range(8):
        destinations.send_flows(random_flows(50, seed=seed), 1.0)
        until(lambda tries=seed + 1: len(receiver.refused) >= tries, "it was tried again")
    destinations.stop()
    receiver.close()
    assert ledger.snapshot().get("export_records_sent", 0) == 0
    assert ledger.snapshot()["export_records_failed"] >= 400
    assert not destinations.sent_anything


def test_over_tcp_a_collector_that_restarts_misses_nothing(ledger: Ledger) -> None:
    receiver = StreamReceiver(stop_after=3, receive_buffer=8192)
    destinations = started(ledger, port=receiver.port, transport="TCP")
    flows = random_flows(6000, seed=3)
    destinations.send_flows(flows, 1.0)
    until(lambda: len(receiver.sessions) == 2, "a second connection")
    until(lambda: ledger.snapshot().get("export_records_sent", 0) >= len(flows), "everything acknowledged")
    destinations.stop()
    receiver.close()
    first, second = (decoded(*session) for session in receiver.sessions)
    assert not second.counts.get("decode_unknown_template_sets"), "a new session begins with its templates"
    # What the first session's machine had taken without its program reading it is all that can be missing.
    missing = set(octets(flows)) - set(octets(first.flows)) - set(octets(second.flows))
    assert len(missing) * 60 <= 4 * 8192


def test_the_next_collector_gets_what_the_first_one_did_not_take(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_failover, "PATIENCE_S", 0.0)
    second = UdpReceiver()
    destinations = started(ledger, port=free_port(socket.SOCK_DGRAM), others=[f"127.0.0.1:{second.port}"])
    flows = random_flows(200, seed=4)
    destinations.send_flows(flows, 1.0)
    destinations.retry()
    more = random_flows(20, seed=5)
    destinations.send_flows(more, 1.0)
    destinations.send_options({}, Exporter())
    destinations.stop()
    got = decoded(*second.close())
    assert octets(got.flows) == sorted(octets(flows) + octets(more))
    assert not got.counts.get("decode_unknown_template_sets")
    assert "export_records_failed" not in ledger.snapshot()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the first connection half a second without progress is a stall, and the next collector is tried at once."""
    connect, made = stream.StreamTransport._connect, itertools.count()

    def connecting(transport: stream.StreamTransport) -> None:
        monkeypatch.setattr(stream, "SEND_S", 60.0 if next(made) else 0.5)
        connect(transport)

    monkeypatch.setattr(stream.StreamTransport, "_connect", connecting)
    monkeypatch.setattr(export_failover, "PATIENCE_S", 0.0)


def hung() -> socket.socket:
    """A collector whose machine accepts connections and a few kilobytes, and whose program does nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return listener


@pytest.mark.parametrize("count", [1500, 60_000], ids=["fits into our buffer", "does not"])
@pytest.mark.usefixtures("impatient")
def test_the_next_collector_gets_what_one_that_hangs_did_not_take(ledger: Ledger, count: int) -> None:
    receiver = StreamReceiver()
    with hung() as first:
        others = [f"127.0.0.1:{receiver.port}"]
        destinations = started(ledger, port=first.getsockname()[1], transport="TCP", others=others)
        flows = random_flows(count, seed=11)
        destinations.send_flows(flows, 1.0)

        def turned() -> bool:
            destinations.retry()
            return len(receiver.sessions) > 0

        until(turned, "the next collector has a connection")
        destinations.stop()
    receiver.close()
    got = octets(decoded(*receiver.sessions[0]).flows)
    assert set(got) <= set(octets(flows))
    assert len(got) == len(set(got)), "none twice"
    assert (count - len(got)) * 60 <= 4 * 4096, "what its machine had taken is all that can be missing"
    assert "export_records_failed" not in ledger.snapshot()


@pytest.mark.usefixtures("impatient")
def test_a_collector_that_was_stopped_for_a_while_gets_nothing_twice(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_stream, "STALLED_S", 0.2)
    sessions: list[list[bytes]] = []
    with hung() as listener:
        destinations = started(ledger, port=listener.getsockname()[1], transport="TCP")
        flows = random_flows(20_000, seed=12)
        destinations.send_flows(flows, 1.0)
        first, _ = listener.accept()
        listener.settimeout(60)
        second, _ = listener.accept()  # the first one was given up
        readers = []
        for connection in (first, second):
            sessions.append([])
            readers.append(threading.Thread(target=read_messages, args=(connection, sessions[-1])))
            readers[-1].start()
        until(lambda: ledger.snapshot().get("export_records_sent", 0) >= len(flows), "everything acknowledged")
        destinations.stop()
        for reader in readers:
            reader.join(60)
    told = [decoded(*session) for session in sessions]
    assert sorted(octets(told[0].flows) + octets(told[1].flows)) == octets(flows)


def read_messages(connection: socket.socket, messages: list[bytes]) -> None:
    """Reads what there is, to the end of the connection or to where it was aborted."""
    with connection, contextlib.suppress(ConnectionError):
        while head := connection.recv(16, socket.MSG_WAITALL):
            body = connection.recv(struct.unpack_from("!H", head, 2)[0] - 16, socket.MSG_WAITALL) if len(head) == 16 else b""
            if body:
                messages.append(head + body)


def test_each_connection_goes_to_one_collector_and_all_know_the_agent(ledger: Ledger) -> None:
    receivers = [UdpReceiver(), UdpReceiver()]
    destinations = started(ledger, port=receivers[0].port, others=[f"127.0.0.1:{receivers[1].port}"], spread="FlowHash")
    flows = random_flows(400, seed=6)
    destinations.send_flows(flows, 1.0)
    destinations.send_options({1: "lo"}, Exporter())
    destinations.stop()
    got = [decoded(*receiver.close()) for receiver in receivers]
    assert sorted(octets(got[0].flows) + octets(got[1].flows)) == octets(flows)
    for number, one in enumerate(got):
        assert len(one.flows) > 100
        assert set(flow_hashes(one.flows) % np.uint64(2)) == {number}
        assert not one.counts.get("sequence_gap_records")
        told = [record for data in one.options for record in data.records if "export_records_sent" in record]
        assert told[-1]["export_records_sent"] == one.counts["decode_records"] + one.counts["decode_options_records"]


def test_what_nobody_took_cannot_be_sent_in_another_protocol_and_is_counted(ledger: Ledger) -> None:
    destinations = started(ledger, port=free_port(socket.SOCK_DGRAM))
    destinations.send_flows(random_flows(60, seed=8), 1.0)
    receiver = UdpReceiver()
    elsewhere = Collector(address="127.0.0.1", port=receiver.port, type="NetFlow")
    destinations.apply(AgentSettings(node="node-a", collector=elsewhere))
    destinations.send_flows(random_flows(20, seed=9), 1.0)
    destinations.stop()
    assert len(decoded(*receiver.close()).flows) == 20
    assert ledger.snapshot()["export_records_failed"] >= 60  # with what it had told of itself


def test_a_certificate_that_cannot_be_used_leaves_sending_as_it_was(ledger: Ledger, tmp_path: Path) -> None:
    receiver = UdpReceiver()
    destinations = started(ledger, port=receiver.port)
    wrong = Collector(address="127.0.0.1", port=1, transport="TLS", client_tls=ClientTls(ca=str(tmp_path / "missing.pem")))
    with pytest.raises(UsageError, match=r"missing\.pem"):
        destinations.apply(AgentSettings(node="node-a", collector=wrong))
    flows = random_flows(20, seed=10)
    destinations.send_flows(flows, 1.0)
    destinations.stop()
    assert octets(decoded(*receiver.close()).flows) == octets(flows)


def test_a_changed_document_sends_elsewhere_what_nobody_took(ledger: Ledger) -> None:
    destinations = started(ledger, port=free_port(socket.SOCK_DGRAM))
    flows = random_flows(30, seed=7)
    destinations.send_flows(flows, 1.0)
    receiver = UdpReceiver()
    destinations.apply(AgentSettings(node="node-a", collector=Collector(address="127.0.0.1", port=receiver.port)))
    destinations.stop()
    assert octets(decoded(*receiver.close()).flows) == octets(flows)
    assert "export_records_failed" not in ledger.snapshot()


def test_a_collector_that_does_not_believe_us_is_noticed_with_nothing_to_send_until_it_does(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its refusal comes after the greeting was taken (TLS 1.3)."""
    monkeypatch.setattr(export_stream, "RETRY_S", 0.1)
    with certificates(tmp_path) as certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate("collector.example"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tmp_path / "ca.pem")
    receiver = StreamReceiver(context)
    tls = ClientTls(ca=str(tmp_path / "ca.pem"), server_name="collector.example")
    destinations = started(ledger, port=receiver.port, transport="TLS", client_tls=tls)
    # The end of the connection may overtake the alert; the next session is refused, too.
    until(lambda: destinations.greet() or destinations.refused != "", "it is said")
    assert (
        "spec.collector.clientTls.certificate is what we show it" in destinations.refused
        or "see its log" in destinations.refused
    )
    context.verify_mode = ssl.CERT_NONE
    until(lambda: destinations.greet() or not destinations.refused, "it is taken back")
    destinations.stop()
    receiver.close()


def test_a_collector_that_ends_each_connection_at_once_is_told_from_one_that_is_away(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does whose list of allowed addresses leaves us out."""
    monkeypatch.setattr(export_stream, "RETRY_S", 0.1)
    port = free_port()
    destinations = started(ledger, port=port, transport="TCP")
    until(lambda: destinations.retry() or destinations._all[0].export.held, "it is away")
    assert destinations.refused == ""
    with socket.create_server(("127.0.0.1", port)) as listener:

        def end_each() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=end_each, daemon=True).start()
        until(lambda: destinations.greet() or destinations.refused != "", "it is said")
        assert destinations.refused.startswith(f"127.0.0.1:{port} ends each connection of ours at once")
        destinations.stop()
        listener.shutdown(socket.SHUT_RDWR)
