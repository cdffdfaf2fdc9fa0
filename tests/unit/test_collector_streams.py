# SPDX-License-Identifier: Apache-2.0
"""IPFIX over TCP and TLS on real sockets: framing, sessions, certificates, and peers that want to harm."""

from __future__ import annotations

import contextlib
import math
import shutil
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent_kit import until
from decode_kit import DecodingEnd
from flowgauge.collector import streams as module
from flowgauge.collector import tls as tls_module
from flowgauge.collector.streams import StreamListener
from flowgauge.config.model import Listener, Tls
from flowgauge.errors import EnvironmentProblem
from ipfix_kit import TEMPLATE, Exporter, records
from tls_kit import Authority

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


class Serving(DecodingEnd):
    """A listener and what decodes behind it."""

    def __init__(self, *, decoding: bool = True, **settings: Any) -> None:
        super().__init__()
        self.listener = StreamListener(
            "127.0.0.1", Listener(**{"port": 0, "transport": "TCP"} | settings), self.arrived, self.ledger, self.refusals
        )
        self.listener.start()
        if decoding:
            self.start()

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.address

    def connect(self) -> socket.socket:
        """A plain client."""
        return socket.create_connection(self.address, timeout=60)

    def stop(self) -> None:
        """Stops listener, then decoder; safe to call twice."""
        self.listener.stop()
        super().stop()


@pytest.fixture
def serving() -> Iterator[Callable[..., Serving]]:
    made: list[Serving] = []

    def start(**settings: Any) -> Serving:
        made.append(Serving(**settings))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def closed_by_peer(sock: socket.socket) -> bool:
    """Whether the other side closed within the timeout."""
    try:
        return sock.recv(1) == b""
    except (ConnectionResetError, ssl.SSLError):
        return True


def test_messages_are_found_however_the_stream_is_cut(serving: Callable[..., Serving]) -> None:
    server, exporter, rows = serving(), Exporter(), records(500)
    data = b"".join([exporter.templates(), *exporter.data(rows)])
    with server.connect() as sock:
        for at in range(0, len(data), 333):
            sock.sendall(data[at : at + 333])
        server.until("decode_records", 500)
    flows = server.flows()
    assert flows.array("bytes").sum() == rows["bytes"].sum()
    assert server.counted("receive_datagrams") == 26
    assert server.counted("receive_bytes") == len(data)
    assert server.counted("sequence_gap_records") == 0


def test_what_a_peer_sent_before_it_closed_is_decoded(serving: Callable[..., Serving]) -> None:
    server, exporter = serving(), Exporter()
    with server.connect() as sock:
        sock.sendall(b"".join([exporter.templates(), *exporter.data(records(200))]))
    server.until("decode_records", 200)
    deadline = time.monotonic() + 60
    while server.listener.state().connections and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.listener.state().connections == 0


def test_what_has_arrived_at_a_stop_is_decoded(serving: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAIN_S", 60.0)
    server, exporter = serving(), Exporter()
    with server.connect() as sock:
        sock.sendall(b"".join([exporter.templates(), *exporter.data(records(20_000))]))
        server.until("receive_connections", 1)
        flows = server.flows()
    assert len(flows) == 20_000


def test_templates_live_and_die_with_their_session(serving: Callable[..., Serving]) -> None:
    """RFC 7011 §8: another session of the same exporter must not use them, nor another exporter's redefine them."""
    server = serving()
    first, second = Exporter(), Exporter()
    with server.connect() as one, server.connect() as two:
        one.sendall(first.templates())
        two.sendall(b"".join(second.data(records(20))))  # without its templates
        server.until("decode_unknown_template_sets", 1)
        one.sendall(b"".join(first.data(records(40))))
        server.until("decode_records", 40)
        two.sendall(second.templates())
        server.until("decode_late_records", 20)
    assert len(server.flows()) == 60


def test_a_template_can_be_withdrawn_and_announced_anew(serving: Callable[..., Serving]) -> None:
    server, exporter = serving(), Exporter()
    with server.connect() as sock:
        sock.sendall(b"".join([exporter.templates(), *exporter.data(records(20))]))
        server.until("decode_records", 20)
        withdrawal = struct.pack("!HHIIIHHHH", 10, 24, int(time.time()), exporter.sequence, exporter.domain, 2, 8, TEMPLATE, 0)
        sock.sendall(b"".join([withdrawal, *exporter.data(records(20))]))
        server.until("decode_unknown_template_sets", 1)
        sock.sendall(b"".join([exporter.templates(), *exporter.data(records(20))]))
        server.until("decode_records", 60)


def test_long_and_short_messages_of_one_turn_stay_in_order(
    serving: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flowgauge.wire import datagrams

    monkeypatch.setattr(datagrams, "MATRIX_BYTES", 10_000)
    server, exporter = serving(), Exporter()
    rows = records(1000)
    long = exporter._message(struct.pack("!HH", TEMPLATE, 4 + rows[:800].nbytes) + rows[:800].tobytes(), 800)
    with server.connect() as sock:
        sock.sendall(b"".join([exporter.templates(), long, *exporter.data(rows[800:])]))
        server.until("decode_records", 1000)
    assert server.flows().array("bytes").sum() == rows["bytes"].sum()
    assert server.counted("sequence_gap_records") == 0


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", struct.pack("!HH", 10, 8) + bytes(8), bytes(100)])
def test_a_peer_that_sends_no_ipfix_is_closed_and_named(serving: Callable[..., Serving], junk: bytes) -> None:
    server = serving()
    with server.connect() as sock:
        sock.sendall(junk)
        assert closed_by_peer(sock)
    (told,) = server.refusals.snapshot()
    assert told["address"] == "127.0.0.1"
    assert "expected" in told["reason"]
    assert server.counted("receive_connections_failed") == 1


def test_slow_and_silent_peers_lose_their_connection_and_a_slow_but_whole_one_does_not(
    serving: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now_s[0], sleep=time.sleep))
    monkeypatch.setattr(module, "MESSAGE_S", 0.5)
    server, exporter = serving(), Exporter()
    server.listener._idle_s = 1.5
    with server.connect() as drip, server.connect() as silent, server.connect() as slow:
        server.until("receive_connections", 3)
        (heard,) = (one for one in server.listener._sessions.values() if one.peer[1] == slow.getsockname()[1])
        drip.sendall(exporter.templates()[:10])
        for _ in range(12):
            now_s[0] += 0.2
            slow.sendall(exporter.templates())
            until(lambda: heard.heard_at == now_s[0], "a whole message")
            with contextlib.suppress(OSError):
                drip.sendall(b"\x00")
        assert closed_by_peer(drip)
        assert closed_by_peer(silent)
        server.listener._idle_s = math.inf
        monkeypatch.setattr(module, "MESSAGE_S", math.inf)
        slow.sendall(b"".join(exporter.data(records(20))))

        def decoded() -> bool:
            now_s[0] += 1.0
            return server.counted("decode_records") == 20

        until(decoded, "its flows")
    reasons = {entry["reason"].partition(": ")[2] for entry in server.refusals.snapshot()}
    assert reasons == {"a message was not whole within 0 s", "no message for 30m"}


def test_connections_are_bounded_in_all_and_of_one_address(serving: Callable[..., Serving]) -> None:
    server, exporter = serving(max_connections=4), Exporter()
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(server.connect()) for _ in range(2))
        server.until("receive_connections", 2)
        assert closed_by_peer(stack.enter_context(server.connect()))  # half of them may be of one address
        assert server.counted("receive_connections_refused") == 1
        second.close()
        first.sendall(b"".join([exporter.templates(), *exporter.data(records(20))]))
        server.until("decode_records", 20)
        third = stack.enter_context(server.connect())
        third.sendall(exporter.templates())
        server.until("receive_connections", 3)


def test_senders_on_no_allow_list_get_no_connection(serving: Callable[..., Serving]) -> None:
    server = serving(allow=["192.0.2.0/24"])
    with server.connect() as sock:
        assert closed_by_peer(sock)
    assert server.counted("receive_refused") == 1
    assert server.counted("receive_connections") == 0


def test_a_decoder_that_is_too_slow_stops_the_senders_and_loses_nothing(
    serving: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-pressure: the window fills, the sender waits, memory is bounded."""
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 1 << 20)
    server, exporter, sent = serving(decoding=False), Exporter(), [0]
    data = b"".join([exporter.templates(), *exporter.data(records(300_000))])

    def send(sock: socket.socket) -> None:
        for at in range(0, len(data), 1 << 16):
            sock.sendall(data[at : at + (1 << 16)])
            sent[0] = at

    with server.connect() as sock:
        sock.settimeout(60)
        sender = threading.Thread(target=send, args=(sock,))
        sender.start()
        before = -1
        while sent[0] != before:
            before = sent[0]
            time.sleep(0.5)
        assert sender.is_alive()
        assert server.counted("receive_bytes") < (1 << 20) + 2 * module.HAND_ON_BYTES + (1 << 18)
        server.start()
        sender.join(60)
        server.until("decode_records", 300_000)
    assert server.counted("sequence_gap_records") == 0


@needs_openssl
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # that they are old is the point
def test_tls_serves_from_version_1_2_on(serving: Callable[..., Serving], authority: Authority) -> None:
    certificate, key = authority.issue("server", "collector.example")
    server, exporter = serving(transport="TLS", tls=Tls(certificate=str(certificate), key=str(key))), Exporter()
    with authority.client(server.address) as sock:
        sock.sendall(b"".join([exporter.templates(), *exporter.data(records(50_000))]))
        server.until("decode_records", 50_000)
    with authority.client(server.address, maximum_version=ssl.TLSVersion.TLSv1_2) as sock:
        assert sock.version() == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        authority.client(server.address, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


@needs_openssl
def test_only_clients_with_a_certificate_that_names_them_may_send(
    serving: Callable[..., Serving], authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("server", "collector.example")
    tls = Tls(certificate=str(certificate), key=str(key), client_ca=str(authority.certificate),
              client_names=["router.example", "*.nodes.example"])  # fmt: skip
    server = serving(transport="TLS", tls=tls)
    stranger = Authority(tmp_path / "other").issue("router", "router.example")

    def taken(identity: tuple[Path, Path] | None) -> bool:
        before, exporter = server.counted("decode_records"), Exporter()
        try:
            with authority.client(server.address, identity) as sock:
                sock.sendall(b"".join([exporter.templates(), *exporter.data(records(20))]))
                answer = until(lambda: closed_by_now(sock) or server.counted("decode_records") == before + 20, "an answer")
                return bool(answer != CLOSED)
        except (ssl.SSLError, ConnectionError):
            pass
        return False

    assert taken(authority.issue("router", "router.example"))
    assert taken(authority.issue("node", "a.nodes.example"))
    assert not taken(authority.issue("deep", "a.b.nodes.example"))
    assert not taken(authority.issue("other", "attacker.example"))
    assert not taken(stranger)
    assert not taken(None)
    assert server.counted("decode_records") == 40
    assert any("clientNames" in entry["reason"] for entry in server.refusals.snapshot())


CLOSED = "closed"


def closed_by_now(sock: socket.socket) -> str:
    """``CLOSED`` when the other side has closed."""
    sock.settimeout(0.05)
    try:
        return "" if sock.recv(1) else CLOSED
    except TimeoutError:
        return ""


@needs_openssl
def test_a_renewed_certificate_serves_without_a_restart_and_a_broken_one_changes_nothing(
    serving: Callable[..., Serving], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "LOOK_S", 0.0)
    certificate, key = authority.issue("renewed", "collector.example")
    server = serving(transport="TLS", tls=Tls(certificate=str(certificate), key=str(key)))

    def serial() -> object:
        with authority.client(server.address) as sock:
            return (sock.getpeercert() or {})["serialNumber"]

    first = serial()
    with authority.client(server.address) as kept:
        authority.issue("renewed", "collector.example")
        second = serial()
        assert second != first
        certificate.write_text("not a certificate")
        assert serial() == second
        exporter = Exporter()
        kept.sendall(b"".join([exporter.templates(), *exporter.data(records(20))]))  # what is open stays open
        server.until("decode_records", 20)


@needs_openssl
def test_peers_that_do_not_speak_tls_or_never_finish_are_closed(
    serving: Callable[..., Serving], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_S", 0.5)
    certificate, key = authority.issue("server", "collector.example")
    server = serving(transport="TLS", tls=Tls(certificate=str(certificate), key=str(key)))
    with server.connect() as plain, server.connect() as silent:
        plain.sendall(Exporter().templates())
        assert closed_by_peer(plain)
        assert closed_by_peer(silent)
    assert server.counted("receive_connections_failed") == 2


def test_a_certificate_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.crt").write_text("nothing")
    for path in (tmp_path / "x.crt", tmp_path / "missing.crt"):
        with pytest.raises(EnvironmentProblem, match=f"TLS cannot be served with .*{path.name}"):
            Serving(transport="TLS", tls=Tls(certificate=str(path), key=str(path)))


def test_a_port_that_is_taken_is_told_at_the_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"cannot listen on TCP 127.0.0.1:{port}"):
            Serving(port=port)
