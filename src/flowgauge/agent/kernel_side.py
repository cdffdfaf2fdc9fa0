# SPDX-License-Identifier: Apache-2.0
"""What of the agent is in the kernel: the flow program with the document's options, or a packet socket in its stead.

Imports little, because packets are counted from its ``attach`` on: the rest of the agent is imported meanwhile. Before it:
:mod:`flowgauge.ebpf`; after it: :mod:`flowgauge.agent.start` and :mod:`flowgauge.agent.flow_source`.
"""

from __future__ import annotations

from flowgauge.agent import privileges
from flowgauge.agent.interfaces import Attachment
from flowgauge.agent.options import program_options
from flowgauge.agent.program import Program
from flowgauge.agent.settings import AgentSettings
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.parts import Parts
from flowgauge.errors import EnvironmentProblem


class KernelSide:
    """One load of the flow program with ``settings``; inert until ``load``. ``parts``, when they are loaded for it already.

    Attributes:
        options: what is fixed when it is loaded.
        program: what counts packets.
        without_ebpf: why that is not the eBPF program, in a sentence; empty when it is.
    """

    def __init__(self, settings: AgentSettings, parts: Parts | None = None) -> None:
        self._shared = bool(settings.netns)
        self.options = program_options(settings)
        self.program: Program = FlowProgram(self.options, parts)
        self.without_ebpf = ""

    def load(self) -> None:
        """Loads the eBPF program into the kernel, or opens a packet socket when that is not possible here.

        Raises:
            EnvironmentProblem: neither is possible.
        """
        try:
            privileges.require(netns=self._shared)
            self.program.load()
        except EnvironmentProblem as problem:
            self.capture(problem)

    def capture(self, problem: EnvironmentProblem) -> None:
        """Goes on with a packet socket because of ``problem``, which it raises when there can be none."""
        from flowgauge.agent import capture_program  # noqa: PLC0415 - a fifth of the imports, and hardly ever needed

        captured = capture_program.opened(self.options, problem)
        self.program.close()
        self.program, self.without_ebpf = captured, capture_program.why(self.options, problem)

    def attach(self, ifindex: int, *, quick: bool = False) -> Attachment:
        """Observes a device of the calling thread's namespace; OSError when the kernel refuses."""
        return self.program.attach(ifindex, quick=quick)

    def settle(self, ifindex: int, attachment: Attachment) -> Attachment:
        """Observes a device that was attached quickly in the lasting way; OSError when the kernel refuses."""
        return self.program.settle(ifindex, attachment)

    def take_over(self, ifindex: int, attachment: Attachment) -> None:
        """Observes a device in the place of another program; OSError when the kernel refuses."""
        self.program.take_over(ifindex, attachment)
