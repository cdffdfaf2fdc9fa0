# SPDX-License-Identifier: Apache-2.0
"""What happens between an agent's export cycles, however close they follow one another."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from flowgauge.agent import main
from flowgauge.agent.main import Agent, run_cycles
from flowgauge.agent.namespace import Namespace
from flowgauge.errors import EnvironmentProblem

_MANY = 2000


class Busy:
    """Stands for an agent whose cycles take longer than its export interval; in the third the namespace loses its name."""

    def __init__(self, name: Path, stop: threading.Event) -> None:
        self.settings = SimpleNamespace(export_interval_s=0.0005)
        self.cycles = self.retries = 0
        self._name, self._stop, self._namespace = name, stop, Namespace(str(name))

    def cycle(self, budget_s: float) -> None:
        """Takes a while."""
        del budget_s
        time.sleep(0.001)
        self.cycles += 1
        if self.cycles == 3:
            self._name.unlink()
        if self.cycles == _MANY:
            self._stop.set()

    def require_namespace(self) -> None:
        """As an agent does."""
        self._namespace.require()

    def look_at_clock(self) -> None:
        """Nobody sets it here."""

    def retry(self) -> None:
        """Counts."""
        self.retries += 1


def test_a_namespace_that_lost_its_name_is_noticed_between_cycles_without_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_RETRY_S", 0.01)
    name, stop = tmp_path / "node-a", threading.Event()
    name.symlink_to("/proc/self/ns/net")
    agent = Busy(name, stop)
    with pytest.raises(EnvironmentProblem, match="is gone"):
        run_cycles(cast("Agent", agent), stop)
    assert agent.cycles < _MANY
    assert agent.retries > 0
