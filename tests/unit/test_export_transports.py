# SPDX-License-Identifier: Apache-2.0
"""How exports travel: whoever is away is waited for, connections are made again, and offered = sent + failed always."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from export_kit import StreamReceiver, UdpReceiver, certificates, decoded, exported, octets
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.export.flows import FlowExporter
from flowgauge.export.pace import Pace
from flowgauge.export.settings import ExportSettings, FlowProtocol, TlsSettings, Transport
from flowgauge.flow.batch import FlowBatch
from flowgauge.run.part import free_port
from store_kit import flows


def balanced(exporter: FlowExporter) -> bool:
    """No flow counts as sent twice, however often it was written."""
    return 0 <= exporter.counts.sent <= exporter.counts.offered


def numbered(rows: int) -> FlowBatch:
    """Flows that their bytes tell apart."""
    return flows("shop", rows, src_name=[f"web-{row % 50}" for row in range(rows)], bytes=list(range(1, rows + 1)))


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_all_flows_arrive(transport: Transport) -> None:
    batch = numbered(3000)
    if transport is Transport.UDP:
        udp = UdpReceiver()
        exporter = exported(batch, ExportSettings("127.0.0.1", udp.port))
        got = decoded(*udp.close())
    else:
        stream = StreamReceiver()
        exporter = exported(batch, ExportSettings("127.0.0.1", stream.port, transport=transport))
        stream.close()
        got = decoded(*stream.sessions[0])
    assert octets(got.flows) == octets(batch)
    assert (exporter.counts.sent, exporter.counts.failed) == (3000, 0)
    assert not got.counts.get("sequence_gap_records")


def test_udp_waits_until_somebody_listens() -> None:
    port = free_port(socket.SOCK_DGRAM)
    late: list[UdpReceiver] = []
    timer = threading.Timer(1.0, lambda: late.append(UdpReceiver(port)))
    timer.start()
    exporter = exported(flows("shop", 500), ExportSettings("127.0.0.1", port))
    timer.join()
    assert decoded(*late[0].close()).counts["decode_records"] == 500
    assert (exporter.counts.sent, exporter.counts.failed, exporter.counts.reconnects) == (500, 0, 1)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_a_receiver_that_never_comes_ends_a_stored_export(transport: Transport) -> None:
    exporter = FlowExporter(ExportSettings("127.0.0.1", free_port(socket.SOCK_DGRAM), transport=transport, patience_s=0.3))
    with pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1"):  # noqa: PT012 - TCP says so at the start, UDP when it sends
        exporter.start()
        exporter.send(flows("shop", 12_000))
    exporter.close()
    assert balanced(exporter)
    assert exporter.counts.sent == 0


def test_a_live_export_goes_on_without_the_flows_that_nobody_took() -> None:
    port = free_port(socket.SOCK_DGRAM)
    exporter = FlowExporter(ExportSettings("127.0.0.1", port, patience_s=0.3, persistent=True))
    exporter.start()
    exporter.send(flows("lost", 200))
    receiver = UdpReceiver(port)
    exporter.send(flows("shop", 100))
    exporter.close()
    got = decoded(*receiver.close())
    assert set(got.flows.names("src_namespace").to_list()) == {"shop"}
    assert (exporter.counts.offered, exporter.counts.sent, exporter.counts.failed) == (300, 100, 200)


def test_a_broken_connection_is_made_again_and_what_was_under_way_is_sent_again() -> None:
    receiver = StreamReceiver(stop_after=5, receive_buffer=8192)
    exporter = exported(numbered(20_000), ExportSettings("127.0.0.1", receiver.port, transport=Transport.TCP))
    receiver.close()
    assert (exporter.counts.sent, exporter.counts.failed, exporter.counts.reconnects) == (20_000, 0, 1)
    first, second = (decoded(*session) for session in receiver.sessions)
    assert not second.counts.get("decode_unknown_template_sets"), "a new session begins with its templates"
    assert not second.counts.get("sequence_gap_records"), "and with sequence number 0"
    # What the first session's machine had taken without its program reading it is all that can be missing.
    missing = set(range(1, 20_001)) - set(octets(first.flows)) - set(octets(second.flows))
    assert len(missing) * 100 <= 4 * 8192
    assert exporter.counts.repeated > len(missing)


def test_a_stream_whose_receiver_dies_fails_what_was_not_acknowledged() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    exporter = FlowExporter(
        ExportSettings("127.0.0.1", listener.getsockname()[1], transport=Transport.TCP, patience_s=0.3)
    )  # fmt: skip
    exporter.start()
    taken, _ = listener.accept()
    listener.close()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    threading.Timer(0.3, taken.close).start()
    with pytest.raises(EnvironmentProblem):
        exporter.send(numbered(60_000))
    exporter.close()
    assert balanced(exporter)
    assert exporter.counts.failed > 0


class TestTls:
    """Certificates are checked, and receivers may ask for ours."""

    def server(self, certificate: Path, *, asks_for: Path | None = None) -> StreamReceiver:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if asks_for:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(asks_for)
        return StreamReceiver(context)

    def settings(self, receiver: StreamReceiver, **tls: object) -> ExportSettings:
        return ExportSettings(
            "127.0.0.1", receiver.port, transport=Transport.TLS, patience_s=20, tls=TlsSettings(**tls)  # type: ignore[arg-type]
        )  # fmt: skip

    def test_all_flows_arrive_at_a_receiver_that_is_trusted(self, tmp_path: Path) -> None:
        with certificates(tmp_path) as certificate:
            receiver = self.server(certificate("collector.example"))
        batch = numbered(2000)
        tls = {"ca_file": tmp_path / "ca.pem", "server_name": "collector.example"}
        exporter = exported(batch, self.settings(receiver, **tls))
        receiver.close()
        assert octets(decoded(*receiver.sessions[0]).flows) == octets(batch)
        assert (exporter.counts.sent, exporter.counts.failed) == (2000, 0)

    def test_an_unknown_authority_and_another_name_are_refused_unless_told_otherwise(self, tmp_path: Path) -> None:
        with certificates(tmp_path) as certificate:
            receiver = self.server(certificate("other.example"))
        with pytest.raises(EnvironmentProblem, match="certificate is not accepted"):
            exported(flows("shop"), self.settings(receiver))
        with pytest.raises(EnvironmentProblem, match=r"collector\.example"):
            exported(
                flows("shop"), self.settings(receiver, ca_file=tmp_path / "ca.pem", server_name="collector.example")
            )  # fmt: skip
        assert exported(flows("shop"), self.settings(receiver, verify=False)).counts.sent == 4
        receiver.close()

    def test_a_receiver_that_asks_for_our_certificate_gets_it(self, tmp_path: Path) -> None:
        with certificates(tmp_path) as certificate:
            mine = certificate("exporter.example")
            receiver = self.server(certificate("collector.example"), asks_for=tmp_path / "ca.pem")
        tls = {"ca_file": tmp_path / "ca.pem", "server_name": "collector.example"}
        assert exported(flows("shop"), self.settings(receiver, certificate=mine, **tls)).counts.sent == 4
        exporter = FlowExporter(self.settings(receiver, **tls))
        # Its alert, or the end of the connection where that overtakes the alert: before anything is sent.
        with pytest.raises(EnvironmentProblem, match=r"do not agree on TLS|takes no more flows|does not answer"):  # noqa: PT012
            exporter.start()
            exporter.send(flows("shop"))
        assert exporter.counts.sent == 0
        exporter.close()
        assert balanced(exporter)
        receiver.close()

    def test_a_receiver_that_does_not_speak_tls_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            settings = ExportSettings("127.0.0.1", listener.getsockname()[1], transport=Transport.TLS)
            threading.Thread(target=lambda: listener.accept()[0].sendall(b"220 mail.example ESMTP\r\n"), daemon=True).start()
            with pytest.raises(EnvironmentProblem, match="do not agree on TLS: wrong version number"):
                exported(flows("shop"), settings)

    def test_files_that_are_no_certificates_are_the_users_mistake(self, tmp_path: Path) -> None:
        (tmp_path / "not").write_text("no certificate")
        for wrong in ({"ca_file": tmp_path / "not"}, {"ca_file": tmp_path / "none"}, {"certificate": tmp_path / "not"}):
            with pytest.raises(UsageError, match=str(tmp_path)):
                FlowExporter(ExportSettings("h", 1, transport=Transport.TLS, tls=TlsSettings(**wrong)))  # type: ignore[arg-type]


def test_netflow9_has_no_stream() -> None:
    with pytest.raises(UsageError, match="UDP only"):
        FlowExporter(ExportSettings("h", 1, FlowProtocol.NETFLOW9, Transport.TCP))


def test_the_pace_spreads_flows_and_makes_up_for_nothing() -> None:
    slept: list[float] = []
    pace = Pace(flows_per_s=1000, messages_per_s=0, sleep=slept.append)
    for _ in range(10):
        pace.wait(100)
    assert sum(slept) >= 0.1 * (1 + 9) * 10 / 2 * 0.9, "each message is due a tenth of a second after the one before"
