# SPDX-License-Identifier: Apache-2.0
"""What becomes of flows between the kernel's table and the export."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.agent.flow_source import FlowSource
from flowgauge.agent.kernel_side import KernelSide
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.agent.settings import AgentSettings
from flowgauge.ebpf import abi
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.tables import Evicted
from flowgauge.ebpf.ticks import Ticks


class Held(FlowProgram):
    """A program whose table holds flows, and that may fail when it is asked for their sampling rates."""

    flows = 0
    problem: OSError | None = None

    def ticks(self) -> Ticks:
        """Of now."""
        return Ticks(1, 0)

    def evict(self) -> Evicted:
        """The flows, once."""
        taken, self.flows = self.flows, 0
        keys = np.zeros(taken, abi.FLOW_KEY)
        keys["src_port"] = np.arange(taken)
        return replace(Evicted.nothing(), keys=keys, values=np.zeros(taken, abi.FLOW_VALUE))

    def rates(self, rules: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
        """Fails when it is to."""
        if self.problem is not None:
            raise self.problem
        return super().rates(rules)

    def counters(self) -> dict[str, int]:
        """The kernel's own are of no interest here."""
        return {}


def source() -> tuple[FlowSource, Held]:
    settings = AgentSettings(node="node-a")
    kernel: Any = KernelSide(settings)
    held = kernel.program = Held(kernel.options)
    return FlowSource(kernel, settings, LocalAddresses()), held


def test_flows_that_are_out_of_the_table_and_cannot_be_told_are_counted() -> None:
    """As when the process has no descriptor left to look up what a flow needs."""
    flows, held = source()
    held.flows, held.problem = 5, OSError(errno.EMFILE, "Too many open files")
    assert len(flows.drain()) == 0
    held.flows, held.problem = 3, None
    assert flows.drain().array("src_port").tolist() == [0, 1, 2]
    assert flows.counters()["eviction_lost"] == 5
