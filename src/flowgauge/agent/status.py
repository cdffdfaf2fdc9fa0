# SPDX-License-Identifier: Apache-2.0
"""What an agent tells about itself over HTTP: metrics, health, its ledger and its interfaces. Safe from any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from flowgauge.agent import node_counters
from flowgauge.agent.chosen_pods import ChosenPods
from flowgauge.agent.interfaces import Interfaces
from flowgauge.agent.program import Program
from flowgauge.agent.settings import AgentSettings
from flowgauge.ebpf.signal_hooks import is_measured
from flowgauge.runtime.http import Handler, as_json, health_routes
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.metrics import Exposition, Sample


@dataclass(frozen=True, slots=True)
class FramesSeen:
    """Frames of one device that are not IP, as the hooks counted them; bytes are those of layer 2."""

    packets: int = 0
    bytes: int = 0


NotIpByIndex = Callable[[], Mapping[int, FramesSeen]]


class Source(Protocol):
    """Of :class:`flowgauge.agent.flow_source.FlowSource` what is told."""

    @property
    def program(self) -> Program:
        """What counts packets."""

    @property
    def without_ebpf(self) -> str:
        """Why that is not the eBPF program; empty when it is."""


SourceInUse = Callable[[], Source]


class Status:
    """The agent's report, made anew for each question."""

    def __init__(
        self,
        settings: AgentSettings,
        ledger: Ledger,
        interfaces: Interfaces,
        not_ip: NotIpByIndex,
        source: SourceInUse,
        *,
        pods: ChosenPods,
        netns: str,
    ) -> None:
        self._settings, self._ledger, self._interfaces = settings, ledger, interfaces
        self._not_ip, self._source, self._pods, self._netns = not_ip, source, pods, netns
        self._exposition = Exposition(ledger, self._samples)

    def routes(self, ready: Callable[[], bool], refused: Callable[[], str]) -> dict[str, Handler]:
        """The agent's HTTP routes."""
        return {
            **health_routes(ready, self._exposition.text, refused),
            "/api/v1/ledger": lambda _: as_json(self.ledger()),
            "/api/v1/interfaces": lambda _: as_json(self.interfaces()),
        }

    def ledger(self) -> dict[str, Any]:
        """The ledger, in the form every part gives it."""
        own = {"component": self._ledger.component, "instance": self._ledger.instance, "counters": self._ledger.snapshot()}
        return {"components": [own]}

    def interfaces(self) -> dict[str, Any]:
        """Each device of the node: whether and how it is observed, what passed it that is not IP, its own counters."""
        not_ip, counted = self._not_ip(), node_counters.read(self._netns)
        return {
            "node": self._settings.node,
            "netns": self._settings.netns,
            "without_ebpf": self._source().without_ebpf,
            "features": self._source().program.features(),
            "kernel": counted.told(),
            "notes": list(self._interfaces.notes),
            "interfaces": [
                {
                    "ifindex": interface.ifindex,
                    "name": interface.name,
                    "chosen": interface.chosen,
                    "attached": interface.attached,
                    "problem": interface.problem,
                    "not_ip_packets": not_ip.get(interface.ifindex, FramesSeen()).packets,
                    "not_ip_bytes": not_ip.get(interface.ifindex, FramesSeen()).bytes,
                    "counted": asdict(counted.devices[interface.name]) if interface.name in counted.devices else None,
                }
                for interface in self._interfaces.interfaces
            ],
        }

    def limits(self) -> list[str]:
        """What is not seen here, in sentences: devices, all signals for lack of eBPF, or some of them."""
        source = self._source()
        if source.without_ebpf:
            return [*self._interfaces.notes, f"packets are captured, without signals: {source.without_ebpf}"]
        lacking = {name: state for name, state in source.program.features().items() if state not in ("on", "off")}
        return [*self._interfaces.notes, *(f"{name}: {state}" for name, state in lacking.items())]

    def report(self) -> dict[str, Any]:
        """Everything, for the report file."""
        return {**self.interfaces(), **self.ledger()}

    def _samples(self) -> Iterator[Sample]:
        yield Sample("agent_attached_interfaces", "Devices that are observed.", len(self._interfaces.attached))
        yield Sample(
            "agent_unattached_interfaces", "Devices that are chosen and not observed (yet).", self._interfaces.unattached
        )
        without = self._source().without_ebpf
        yield Sample("agent_without_ebpf", "1 while packets are captured, not counted by eBPF: then signals are missing.",
                     int(bool(without)), {"why": without})  # fmt: skip
        for feature, state in self._source().program.features().items():
            yield Sample("agent_feature", "Whether a signal is measured: 1, or 0; the state says what it lacks, or why not.",
                         int(is_measured(state)), {"feature": feature, "state": state})  # fmt: skip
        yield Sample("agent_attach_failures", "Attempts to attach that the kernel refused.",
                     self._interfaces.attach_failures, cumulative=True)  # fmt: skip
        yield from self._pods.samples()
        yield from node_counters.samples(node_counters.read(self._netns))
        yield from self._costs()
        for ifindex, seen in self._not_ip().items():
            labels = {"interface": self._interfaces.names.get(ifindex, str(ifindex))}
            yield Sample("agent_not_ip_packets", "Frames that are not IP, by device.", seen.packets, labels, cumulative=True)
            yield Sample("agent_not_ip_bytes", "Layer 2 bytes of frames that are not IP, by device.", seen.bytes, labels,
                         cumulative=True)  # fmt: skip

    def _costs(self) -> Iterator[Sample]:
        program = self._source().program
        for name, size in program.map_bytes().items():
            yield Sample("agent_map_bytes", "Kernel memory of an eBPF map.", size, {"map": name})
        for name, spent in program.run_times().items():
            labels = {"program": name}
            yield Sample("agent_program_runs", "Runs of an eBPF program while kernel.bpf_stats_enabled=1.", spent.runs, labels,
                         cumulative=True)  # fmt: skip
            yield Sample("agent_program_run_seconds", "How long they took.", spent.ns / 1e9, labels, cumulative=True)
