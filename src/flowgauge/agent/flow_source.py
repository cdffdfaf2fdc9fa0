# SPDX-License-Identifier: Apache-2.0
"""The eBPF program in use, as the agent sees it: batches of flows, and counters that go on when the program is replaced.

Before it: :mod:`flowgauge.ebpf`; after it: the export cycle. Drained by the main thread; ``not_ip`` may be read by any.
"""

from __future__ import annotations

from flowgauge.agent.accounter import account
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.agent.settings import AgentSettings
from flowgauge.agent.status import FramesSeen
from flowgauge.config.model import Feature
from flowgauge.ebpf.flow_program import FlowProgram, ProgramOptions
from flowgauge.flow.batch import FlowBatch


class FlowSource:
    """One load of the flow program with ``settings``; inert until ``load``."""

    def __init__(self, settings: AgentSettings, local: LocalAddresses) -> None:
        exporter = settings.exporter
        self._local = local
        self._sampling = exporter.sampling
        self._counters_before: dict[str, int] = {}
        self._not_ip_before: dict[int, FramesSeen] = {}
        self.program = FlowProgram(
            ProgramOptions(
                max_flows=exporter.max_flows,
                sampling=exporter.sampling,
                sampling_mode=exporter.sampling_mode,
                nat=Feature.NAT in exporter.features,
                salt=settings.salt,
            )
        )

    def load(self) -> None:
        """Loads the program into the kernel; EnvironmentProblem when it refuses."""
        self.program.load()

    def features(self) -> dict[str, str]:
        """What this kernel lets the program see, in words, by the document's feature name."""
        return self.program.features()

    def outdated(self) -> bool:
        """Whether the program, loaded again, would see more."""
        return self.program.outdated()

    def drain(self) -> FlowBatch:
        """The flows that the kernel's table held, which is empty then; OSError when the kernel refuses: then they stay."""
        ticks = self.program.ticks()
        evicted = self.program.evict()
        return account(
            evicted.keys,
            evicted.values,
            self.program.translations(evicted.keys),
            self._local,
            ticks=ticks,
            sampling_rate=self._sampling,
        )

    def counters(self) -> dict[str, int]:
        """The kernel's ledger counters, those of replaced programs included."""
        now = self.program.counters()
        return {name: value + self._counters_before.get(name, 0) for name, value in now.items()}

    def not_ip(self) -> dict[int, FramesSeen]:
        """Frames that are not IP, by ifIndex, those that replaced programs saw included."""
        found = dict(self._not_ip_before)
        for ifindex, seen in self.program.not_ip().items():
            before = found.get(ifindex, FramesSeen())
            found[ifindex] = FramesSeen(before.packets + seen.packets, before.bytes + seen.bytes)
        return found

    def carry_over(self, retired: FlowSource) -> None:
        """Goes on counting from where ``retired`` ended."""
        self._counters_before, self._not_ip_before = retired.counters(), retired.not_ip()

    def close(self) -> None:
        """Takes the program out of the kernel."""
        self.program.close()
