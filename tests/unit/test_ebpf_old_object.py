# SPDX-License-Identifier: Apache-2.0
"""An object that was built from other sources than this program: it is let go, and packets can be captured instead."""

from __future__ import annotations

from typing import Any

import pytest

from flowgauge.agent.kernel_side import KernelSide
from flowgauge.agent.settings import AgentSettings
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.errors import EnvironmentProblem


class Old:
    """A loaded object that lacks a map."""

    closed = False

    def map_fd(self, name: str) -> int:
        """Not there."""
        raise EnvironmentProblem(f"of another version: no {name}")

    program_fd = map_fd

    def load(self) -> None:
        """It is."""

    def close(self) -> None:
        """Noted."""
        self.closed = True


def test_an_object_of_another_version_is_let_go() -> None:
    old: Any = Old()
    program = FlowProgram(KernelSide(AgentSettings(node="node-a")).options, old)
    with pytest.raises(EnvironmentProblem, match="of another version"):
        program.load()
    assert old.closed
    program.close()
