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

LATER = {"asyncio", "cryptography", "confluent_kafka", "prometheus_client", "pyarrow", "rich", "ssl", "http.server"}
"""What the agent needs once packets are counted, or never."""
OURS_LATER = ("flowgauge.agent.main", "flowgauge.enrich", "flowgauge.export", "flowgauge.k8s", "flowgauge.wire")


def test_packets_are_counted_before_the_rest_of_the_agent_is_imported() -> None:
    program = (
        "import sys, flowgauge.cli.main, flowgauge.cli.agent, flowgauge.config.effective, flowgauge.agent.start; "
        f"late = sorted(name for name in sys.modules if name in {LATER!r} or name.startswith({OURS_LATER!r})); "
        "sys.exit(f'imported too early: {late}' if late else 0)"
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
