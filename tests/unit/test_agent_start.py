# SPDX-License-Identifier: Apache-2.0
"""The first part of an agent's start: what it may import, and that a start that fails leaves nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flowgauge.agent.main import run_agent
from flowgauge.agent.settings import AgentSettings
from flowgauge.agent.start import Start
from flowgauge.config.model import Collector
from flowgauge.config.sending import ClientTls
from flowgauge.errors import EnvironmentProblem, UsageError

LATER = ("asyncio", "cryptography", "confluent_kafka", "prometheus_client", "pyarrow", "rich", "ssl", "http.server")
"""What the agent needs once packets are counted, or never."""
OURS_LATER = ("flowgauge.agent.main", "flowgauge.enrich", "flowgauge.export", "flowgauge.k8s", "flowgauge.wire")


UNTIL_LOADED = (
    "flowgauge.cli.main, flowgauge.cli.agent, flowgauge.config.effective, flowgauge.agent.options, flowgauge.ebpf.parts"
)
UNTIL_ATTACHED = f"{UNTIL_LOADED}, flowgauge.agent.start"
UNTIL_SENDING = f"{UNTIL_ATTACHED}, flowgauge.agent.main"
FOR_SOME = ("confluent_kafka", "grpc", "cryptography", "asyncio", "pyarrow", "rich", "clickhouse_connect", "fastapi")
"""What only some documents need: the agent's library for Kafka, its ciphers for QUIC; or what other parts need."""


@pytest.mark.parametrize(
    ("what", "too_early"),
    [
        pytest.param(UNTIL_LOADED, ("numpy", *LATER, *OURS_LATER), id="before the kernel verifies programs"),
        pytest.param(UNTIL_ATTACHED, (*LATER, *OURS_LATER), id="before packets are counted"),
        pytest.param(UNTIL_SENDING, FOR_SOME, id="before an agent that sends to a UDP port is there"),
    ],
)
def test_what_waits_until_something_is_done_is_not_imported_before(what: str, too_early: tuple[str, ...]) -> None:
    program = (
        f"import sys, {what}; early = sorted(name for name in sys.modules if name.startswith({too_early!r})); "
        "sys.exit(f'imported too early: {early}' if early else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_an_agent_that_sends_to_a_udp_port_imports_nothing_for_others() -> None:
    program = (
        "import sys; from flowgauge.agent.main import Agent; from flowgauge.agent.settings import AgentSettings; "
        f"Agent(AgentSettings()); found = sorted(name for name in sys.modules if name.startswith({FOR_SOME!r})); "
        "sys.exit(f'imported for nothing: {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_kernel_refuses_is_told_to_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Start(AgentSettings())

    def refuse() -> None:
        raise EnvironmentProblem("no eBPF here")

    monkeypatch.setattr(begun.kernel, "load", refuse)
    before = sys.getswitchinterval()
    begun.begin()
    begun.begin()
    with pytest.raises(EnvironmentProblem, match="no eBPF here"):
        begun.wait()
    begun.undo()
    assert sys.getswitchinterval() == before
    assert not [one for one in threading.enumerate() if one.name in {"start", "watch"}]


def test_an_agent_that_cannot_be_made_leaves_no_hooks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its certificate is looked at while the hooks are attached already."""
    tls = ClientTls(ca=str(tmp_path / "missing.pem"))
    settings = AgentSettings(collector=Collector(address="127.0.0.1", transport="TLS", client_tls=tls))
    begun, done = Start(settings), []
    monkeypatch.setattr(begun.kernel, "load", lambda: done.append("loaded"))
    monkeypatch.setattr(begun, "attach", lambda: done.append("attached"))
    monkeypatch.setattr(begun.interfaces, "detach_all", lambda: done.append("detached"))
    monkeypatch.setattr(begun.kernel.program, "close", lambda: done.append("closed"))
    begun.begin()
    with pytest.raises(UsageError, match=r"missing\.pem"):
        run_agent(settings, threading.Event(), begun=begun)
    assert done == ["loaded", "attached", "detached", "closed"]


def test_a_start_that_never_began_has_nothing_to_undo() -> None:
    Start(AgentSettings()).undo()
