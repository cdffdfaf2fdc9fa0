# SPDX-License-Identifier: Apache-2.0
"""gRPC calls of NetObserv's agents on real connections: answered when safe, refused when too much waits, over TLS if wanted."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from decode_kit import DecodingEnd
from flowgauge.collector import grpc_listener as module
from flowgauge.collector import tls as tls_module
from flowgauge.collector.grpc_listener import GrpcListener
from flowgauge.config.model import Listener, Tls
from flowgauge.errors import EnvironmentProblem
from pbflow_kit import Agent, call, record
from tls_kit import Authority

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


class Serving(DecodingEnd):
    """A listener and what decodes behind it."""

    def __init__(self, *, decoding: bool = True, **settings: Any) -> None:
        super().__init__()
        wanted = Listener(**{"port": 0, "transport": "gRPC"} | settings)
        self.listener = GrpcListener("127.0.0.1", wanted, self.arrived, self.ledger, self.refusals)
        self.listener.start()
        if decoding:
            self.start()

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


def test_calls_are_answered_and_every_flow_is_there(serving: Callable[..., Serving]) -> None:
    end = serving()
    agents = [Agent(end.listener.address[1]) for _ in range(3)]
    for number, agent in enumerate(agents):
        for turn in range(4):
            assert agent.send(call(*(record(bytes=number * 1000 + turn * 100 + one) for one in range(100)))) == b""
    for agent in agents:
        agent.close()
    flows = end.flows()
    assert sorted(flows.array("bytes").tolist()) == sorted(
        number * 1000 + turn * 100 + one for number in range(3) for turn in range(4) for one in range(100)
    )
    assert (end.counted("receive_datagrams"), end.counted("decode_records")) == (12, 1200)


def test_no_answer_comes_before_the_flows_are_safe(serving: Callable[..., Serving]) -> None:
    end = serving(decoding=False)
    agent = Agent(end.listener.address[1])
    answered = threading.Event()

    def send() -> None:
        agent.send(call(record()))
        answered.set()

    sender = threading.Thread(target=send)
    sender.start()
    end.until("receive_datagrams", 1)
    assert not answered.wait(0.3)
    end.start()
    assert answered.wait(60)
    sender.join()
    agent.close()
    assert len(end.flows()) == 1


def test_when_too_much_waits_calls_are_told_to_come_again(
    serving: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 500)
    end = serving(decoding=False)
    agent = Agent(end.listener.address[1])
    first = threading.Thread(target=lambda: agent.send(call(*[record()] * 10)))
    first.start()
    end.until("receive_datagrams", 1)
    with pytest.raises(grpc.RpcError) as refused:
        agent.send(call(*[record()] * 10))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert end.counted("receive_calls_refused") == 1
    end.start()
    first.join()
    agent.close()
    assert len(end.flows()) == 10


def test_garbage_is_counted_and_the_next_call_is_taken(serving: Callable[..., Serving]) -> None:
    end = serving()
    agent = Agent(end.listener.address[1])
    agent.send(b"\xff\xff")
    agent.send(call(record()))
    agent.close()
    assert len(end.flows()) == 1
    assert end.counted("decode_error_datagrams") == 1


def test_only_senders_of_the_allow_list_are_let_in(serving: Callable[..., Serving]) -> None:
    end = serving(allow=["192.0.2.0/24"])
    agent = Agent(end.listener.address[1])
    with pytest.raises(grpc.RpcError) as refused:
        agent.send(call(record()))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    agent.close()
    assert end.counted("receive_refused") == 1
    assert [one["address"] for one in end.refusals.snapshot()] == ["127.0.0.1"]


@needs_openssl
def test_over_tls_only_clients_with_a_certificate_may_send(serving: Callable[..., Serving], tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.issue("collector", "localhost")
    tls = Tls(certificate=str(certificate), key=str(key), client_ca=str(authority.certificate))
    end = serving(tls=tls)
    mine, my_key = authority.issue("agent", "agent.example")
    known = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), my_key.read_bytes(), mine.read_bytes())
    agent = Agent(end.listener.address[1], known)
    assert agent.send(call(record())) == b""
    agent.close()
    stranger = Agent(end.listener.address[1], grpc.ssl_channel_credentials(authority.certificate.read_bytes()))
    with pytest.raises(grpc.RpcError):
        stranger.send(call(record()), timeout_s=5)
    stranger.close()
    assert len(end.flows()) == 1


@needs_openssl
def test_only_clients_whose_certificate_names_them_may_send(serving: Callable[..., Serving], tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.issue("collector", "localhost")
    tls = Tls(certificate=str(certificate), key=str(key), client_ca=str(authority.certificate),
              client_names=["agent.example", "*.nodes.example"])  # fmt: skip
    end = serving(tls=tls)

    def answer(name: str) -> object:
        mine, my_key = authority.issue("client", name)
        identity = (authority.certificate.read_bytes(), my_key.read_bytes(), mine.read_bytes())
        agent = Agent(end.listener.address[1], grpc.ssl_channel_credentials(*identity))
        try:
            return agent.send(call(record()))
        except grpc.RpcError as error:
            return error.code()
        finally:
            agent.close()

    assert [answer(name) for name in ("agent.example", "a.nodes.example")] == [b"", b""]
    refused = grpc.StatusCode.PERMISSION_DENIED
    assert [answer(name) for name in ("a.b.nodes.example", "attacker.example")] == [refused, refused]
    assert len(end.flows()) == 2
    assert end.counted("receive_refused") == 2
    assert ["clientNames" in one["reason"] for one in end.refusals.snapshot()] == [True]


@needs_openssl
def test_a_renewed_certificate_serves_without_a_restart_and_a_broken_one_changes_nothing(
    serving: Callable[..., Serving], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "LOOK_S", 0.0)
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.issue("collector", "localhost")
    end = serving(tls=Tls(certificate=str(certificate), key=str(key)))

    def serial() -> object:
        with authority.client(end.listener.address) as sock:
            return (sock.getpeercert() or {})["serialNumber"]

    first = serial()
    authority.issue("collector", "localhost")
    second = serial()
    assert second != first
    certificate.write_text("not a certificate")
    assert serial() == second
    agent = Agent(end.listener.address[1], grpc.ssl_channel_credentials(authority.certificate.read_bytes()))
    assert agent.send(call(record())) == b""
    agent.close()


def test_a_port_that_is_taken_and_a_certificate_that_is_none_are_said(serving: Callable[..., Serving], tmp_path: Path) -> None:
    taken = serving().listener.address[1]
    with pytest.raises(EnvironmentProblem, match=f"cannot listen on gRPC 127.0.0.1:{taken}"):
        serving(port=taken)
    with pytest.raises(EnvironmentProblem, match=r"TLS cannot be served with .*no\.crt.*: No such file"):
        serving(tls=Tls(certificate=str(tmp_path / "no.crt"), key=str(tmp_path / "no.key")))
