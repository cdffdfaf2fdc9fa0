# SPDX-License-Identifier: Apache-2.0
"""The node agent: wires flow source, watch, accounter, encoder, export and status, and runs the export cycle.

Threads: the caller's thread drains, encodes and sends; the watch thread attaches (in the node's network namespace); the
HTTP thread answers. Settings change through :meth:`Agent.apply`, which takes effect in the caller's thread between cycles.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace

from flowgauge.agent import flow_ends
from flowgauge.agent.chosen_pods import ChosenPods, chooser_of
from flowgauge.agent.destinations import Destinations, MakeExport
from flowgauge.agent.flow_source import FlowSource
from flowgauge.agent.heads import Heads
from flowgauge.agent.heads_route import routes as heads_routes
from flowgauge.agent.kernel_side import KernelSide
from flowgauge.agent.kernel_told import KernelTold
from flowgauge.agent.options import fixed
from flowgauge.agent.settings import AgentSettings
from flowgauge.agent.start import Start, capture_if_no_hook_works, interface_choice
from flowgauge.agent.status import FramesSeen, Status
from flowgauge.config.model import seconds
from flowgauge.enrich.naming import Naming
from flowgauge.errors import FlowgaugeError
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime import linux, logs
from flowgauge.runtime.clock import ClockWatch, now_ns
from flowgauge.runtime.http import HttpServer
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.newest import newest
from flowgauge.runtime.report import write_report

_TICK_S = 0.2
"""Longest time until a stop or new settings are noticed."""
_RETRY_S = 1.0
"""How often messages that nobody took are offered again, and the network namespace's name is looked at, between cycles."""
_FINAL_BUDGET_S = 2.0
"""How long the last export may take."""
_PACED_SHARE = 0.5
"""Part of the export interval over which one export may be spread."""

_log = logs.get("agent")


class Agent:
    """One node's agent; ``start``, then ``cycle`` once an export interval, then ``stop``, all from one thread.

    Args:
        settings: what it is told.
        export: makes what takes its messages; None: the collectors of the settings.
        begun: its start with the same settings, when that began already.
    """

    def __init__(self, settings: AgentSettings, export: MakeExport | None = None, begun: Start | None = None) -> None:
        self.settings = settings
        self.ledger = Ledger("agent", f"{settings.node}@{now_ns() // 1_000_000}")
        self._begun = begun or Start(settings)
        self._local, self._interfaces, self._watch = self._begun.local, self._begun.interfaces, self._begun.watch
        netns = self._begun.namespace.path
        self._source = FlowSource(self._begun.kernel, settings, self._local)
        self._pods = ChosenPods(settings.objects, settings.exporter)
        self._destinations = Destinations(settings, self.ledger, export)
        self._status = Status(
            settings, self.ledger, self._interfaces, self._not_ip, self._source_now, pods=self._pods, netns=netns
        )
        naming = Naming(settings.objects, settings.collector.enrichment)
        self._heads = Heads(settings.node, netns, self._observed, naming)
        routes = {**self._status.routes(self.ready, self._refused), **heads_routes(self._heads, settings.token)}
        self._http = HttpServer(settings.http_address, settings.http_port, routes)
        self._kernel = KernelTold(netns)
        self._left_over: list[FlowBatch] = []
        self._clock = ClockWatch()
        self._started = False

    def start(self) -> None:
        """Loads, attaches and greets the collector.

        Raises:
            EnvironmentProblem: the network namespace or the HTTP port is missing, or what eBPF and packet sockets both need.
        """
        linux.give_back_large_memory()
        self._begun.begin()
        self._begun.wait()
        self._pods.choose(self.settings.exporter, self._source.program)
        self._begun.attach()
        self._choose_again_without_ebpf(self.settings, self._source)
        self._destinations.start()
        self._source.program.attach_signals()
        self._heads.apply(self.settings.exporter)
        self._started = True
        self._http.start()
        self._take_counters()
        self._destinations.greet()
        self._send_options()
        attached = {interface.name: interface.attached for interface in self._interfaces.attached}
        _log.info("agent_ready", node=self.settings.node, attached=attached, domain=self.settings.domain,
                  collectors=self._destinations.where,
                  http=self._http.url, **self._source.features())  # fmt: skip

    def cycle(self, budget_s: float) -> None:
        """Drains the kernel's flow table and sends what was in it, over at most ``budget_s`` seconds."""
        if self._source.outdated():
            self._load_again()
        self._flush(budget_s)

    def _flush(self, budget_s: float) -> None:
        batch = self._drain()
        counted = self._kernel.due(self._interfaces.names, last=not self._started)
        self._destinations.send_beside(self._source.answers(), counted)
        self._destinations.send_flows(batch, budget_s)
        self._send_options()

    def retry(self) -> None:
        """Offers again what nobody took."""
        self._destinations.retry()

    def look_at_clock(self) -> None:
        """Notices when the machine's clock was set; flows stand by the clock as it is when they are drained."""
        if moved_ns := self._clock.moved_ns():
            self.ledger.add("clock_steps", 1)
            self._source.clock_was_set()
            _log.warning("clock_was_set", forward_s=round(moved_ns / 1e9, 3))

    def stop(self) -> None:
        """Detaches, then drains and sends what was counted until then; safe to call twice."""
        if not self._started:
            self._begun.undo()
            return
        self._started = False
        self._begun.detach()
        self._watch.stop()
        self._pods.stop()
        self._source.program.detach_signals()
        self._flush(_FINAL_BUDGET_S)
        self._destinations.stop()
        write_report("agent", self.settings.report_path, self._status.report)
        self._http.stop()
        self._heads.stop()
        self._source.close()
        self._begun.namespace.close()
        _log.info("agent_stopped", node=self.settings.node, **self.ledger.snapshot())

    def require_namespace(self) -> None:
        """Returns while the name of the network namespace leads to the one that is observed; EnvironmentProblem when not."""
        self._begun.namespace.require()

    def ready(self) -> bool:
        """True while devices are followed, and the first templates were sent to somebody who takes them."""
        taken = self._destinations.sent_anything and not self._destinations.refused
        return self._started and self._watch.ready() and taken

    def limits(self) -> list[str]:
        """What it does not see here, in sentences, once it has started."""
        return self._status.limits()

    def apply(self, settings: AgentSettings) -> None:
        """Takes over changed settings without losing flows; says which need a restart.

        When the kernel refuses the program that they need, nothing changes but the log level, and the log says so. Where a
        certificate cannot be used, sending stays as it was, and all else is applied.
        """
        before = self.settings
        logs.configure(settings.log_level)
        try:
            choice = interface_choice(settings.exporter)
            if fixed(before.exporter) != fixed(settings.exporter):
                self._replace_program(settings)
            elif chooser_of(before.exporter) != chooser_of(settings.exporter):
                self._pods.choose(settings.exporter, self._source.program)
        except FlowgaugeError as error:
            _log.error("settings_not_applied", error=str(error))
            return
        settings = self._sent_as_told(settings)
        for name in before.needs_restart(settings):
            _log.warning("setting_needs_restart", setting=name, value=str(getattr(settings, name)))
        self._watch.run(lambda: self._interfaces.choose(choice))
        self._heads.apply(settings.exporter)
        self.settings = settings
        _log.info("settings_applied", node=settings.node)

    def _choose_again_without_ebpf(self, settings: AgentSettings, source: FlowSource) -> None:
        """The packet socket may have come after the choice was told to the program that it replaces."""
        if source.without_ebpf:
            self._pods.choose(settings.exporter, source.program)

    def _sent_as_told(self, settings: AgentSettings) -> AgentSettings:
        """Sends where ``settings`` say, or as before when that cannot be; the settings that hold then."""
        try:
            self._destinations.apply(settings)
        except FlowgaugeError as error:
            _log.error("sending_not_changed", error=str(error))
            return replace(settings, collector=self.settings.collector, collector_name=self.settings.collector_name)
        return settings

    def _load_again(self) -> None:
        try:
            self._replace_program(self.settings)
        except FlowgaugeError as error:
            _log.error("program_not_loaded_again", error=str(error))
            return
        _log.info("program_loaded_again", node=self.settings.node, **self._source.features())

    def _replace_program(self, settings: AgentSettings) -> None:
        """Loads a second program, puts it in the place of the first everywhere, and takes over what that had counted."""
        kernel = KernelSide(settings)
        kernel.load()
        successor = FlowSource(kernel, settings, self._local)
        successor.program.load_signals()  # now, that no signal is missed while they are
        try:
            self._pods.choose(settings.exporter, successor.program)
            self._watch.run(lambda: self._interfaces.move_to(kernel))
        except FlowgaugeError:  # nothing was attached yet
            successor.close()
            raise
        capture_if_no_hook_works(kernel, self._interfaces, self._watch)
        self._choose_again_without_ebpf(settings, successor)
        self._source.program.detach_signals()
        self._source.program.let_go()
        successor.program.attach_signals()
        retired, self._source = self._source, successor
        self._begun.kernel = kernel  # it would keep the maps of the retired one in memory
        self._left_over.append(_drained(retired))
        successor.carry_over(retired)
        retired.close()

    def _drain(self) -> FlowBatch:
        drained = FlowBatch.concat([*self._left_over, _drained(self._source)])
        idle_ns = int(seconds(self.settings.exporter.inactive_timeout) * 1e9)
        batch = flow_ends.told(drained, now_ns(), idle_ns, stopping=not self._started)
        self._left_over = []
        self.ledger.add("eviction_flows", len(batch))
        self._take_counters()
        return batch

    def _take_counters(self) -> None:
        for name, value in (self._source.counters() | self._heads.counters()).items():
            self.ledger.set(name, value)

    def _send_options(self) -> None:
        """What collectors must know beside flows: who we are, our counters, the names of our devices."""
        self._destinations.send_options(self._interfaces.names, self.settings.exporter)

    def _refused(self) -> str:
        return self._destinations.refused

    def _observed(self) -> dict[int, str]:
        """Devices whose packets are ours to show, by ifIndex."""
        return {one.ifindex: one.name for one in self._interfaces.interfaces if one.chosen}

    def _source_now(self) -> FlowSource:
        return self._source

    def _not_ip(self) -> dict[int, FramesSeen]:
        return self._source.not_ip()


def run_agent(
    settings: AgentSettings,
    stop: threading.Event,
    changes: queue.SimpleQueue[AgentSettings] | None = None,
    begun: Start | None = None,
) -> None:
    """Runs an agent until ``stop`` is set, then flushes what was counted.

    Args:
        settings: what it is told.
        stop: set by whoever wants it to end.
        changes: new settings to take over while running, as from a saved document.
        begun: its start, when that began already.

    Raises:
        EnvironmentProblem: something that the agent needs is missing here, or the network namespace lost its name.
    """
    begun = begun or Start(settings)
    try:
        agent = Agent(settings, begun=begun)
    except BaseException:
        begun.undo()
        raise
    try:
        agent.start()
        run_cycles(agent, stop, changes)
    finally:
        agent.stop()


def run_cycles(agent: Agent, stop: threading.Event, changes: queue.SimpleQueue[AgentSettings] | None = None) -> None:
    """Cycles at fixed times until ``stop``: one that took long does not delay the next; missed ones are left out.

    Raises:
        EnvironmentProblem: the network namespace that is observed lost its name.
    """
    due = time.monotonic() + agent.settings.export_interval_s
    retry_at = 0.0
    while not stop.is_set():
        if time.monotonic() >= due:
            interval_s = agent.settings.export_interval_s
            agent.cycle(interval_s * _PACED_SHARE)
            due = max(due + interval_s, time.monotonic())
        if time.monotonic() >= retry_at:  # also where cycles follow one another without a pause
            agent.require_namespace()
            agent.look_at_clock()
            agent.retry()
            retry_at = time.monotonic() + _RETRY_S
        if changes is not None and (changed := newest(changes)) is not None:
            agent.apply(changed)
            due = min(due, time.monotonic() + agent.settings.export_interval_s)
        stop.wait(min(max(due - time.monotonic(), 0.0), _TICK_S))


def _drained(source: FlowSource) -> FlowBatch:
    """What the kernel's table held; nothing when it cannot be read, which the next cycle tries again."""
    try:
        return source.drain()
    except OSError as error:
        _log.error("eviction_failed", error=str(error))
        return FlowBatch({})
