# SPDX-License-Identifier: Apache-2.0
"""The node agent: wires flow source, watch, accounter, encoder, export and status, and runs the export cycle.

Threads: the caller's thread drains, encodes and sends; the watch thread attaches (in the node's network namespace); the
HTTP thread answers. Settings change through :meth:`Agent.apply`, which takes effect in the caller's thread between cycles.
"""

from __future__ import annotations

import json
import queue
import threading
import time

from flowgauge.agent.chosen_pods import ChosenPods, chooser_of
from flowgauge.agent.destinations import Destinations, MakeExport
from flowgauge.agent.flow_source import FlowSource
from flowgauge.agent.heads import Heads
from flowgauge.agent.heads_route import routes as heads_routes
from flowgauge.agent.interface_choice import InterfaceChoice
from flowgauge.agent.interfaces import Interfaces
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.agent.rules import kernel_rules
from flowgauge.agent.settings import AgentSettings
from flowgauge.agent.status import FramesSeen, Status
from flowgauge.agent.watch import NetworkWatch
from flowgauge.config.model import Exporter
from flowgauge.enrich.naming import Naming
from flowgauge.errors import EnvironmentProblem, FlowgaugeError
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime import linux, logs
from flowgauge.runtime.clock import now_ns
from flowgauge.runtime.http import HttpServer
from flowgauge.runtime.ledger import Ledger

_TICK_S = 0.2
"""Longest time until a stop or new settings are noticed."""
_RETRY_S = 1.0
"""How often messages that nobody took are offered again."""
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
    """

    def __init__(self, settings: AgentSettings, export: MakeExport | None = None) -> None:
        self.settings = settings
        self.ledger = Ledger("agent", f"{settings.node}@{now_ns() // 1_000_000}")
        self._local = LocalAddresses()
        self._source = FlowSource(settings, self._local)
        self._pods = ChosenPods(settings.objects, settings.exporter)
        self._interfaces = Interfaces(self._source, _choice(settings.exporter), settings.node)
        self._watch = NetworkWatch(settings.netns, [self._interfaces, self._local])
        self._destinations = Destinations(settings, self.ledger, export)
        self._status = Status(settings, self.ledger, self._interfaces, self._not_ip, self._source_now, pods=self._pods)
        naming = Naming(settings.objects, settings.collector.enrichment)
        self._heads = Heads(settings.node, settings.netns, self._observed, naming)
        routes = {**self._status.routes(self.ready), **heads_routes(self._heads, settings.token)}
        self._http = HttpServer(settings.http_address, settings.http_port, routes)
        self._left_over: list[FlowBatch] = []
        self._started = False

    def start(self) -> None:
        """Loads, attaches and greets the collector.

        Raises:
            EnvironmentProblem: the network namespace or the HTTP port is missing, or what eBPF and packet sockets both need.
        """
        linux.give_back_large_memory()
        self._source.load()
        self._pods.choose(self.settings.exporter, self._source.program)
        self._destinations.start()
        self._watch.start()
        self._capture_if_no_hook_works()
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
        self._destinations.send_answers(self._source.answers())
        self._destinations.send_flows(batch, budget_s)
        self._send_options()

    def retry(self) -> None:
        """Offers again what nobody took."""
        self._destinations.retry()

    def stop(self) -> None:
        """Detaches, then drains and sends what was counted until then; safe to call twice."""
        if not self._started:
            return
        self._started = False
        if self._watch.ready():
            self._watch.run(self._interfaces.detach_all)
        else:
            self._interfaces.detach_all()
        self._watch.stop()
        self._pods.stop()
        self._source.program.detach_signals()
        self._flush(_FINAL_BUDGET_S)
        self._destinations.stop()
        self._write_report()
        self._http.stop()
        self._heads.stop()
        self._source.close()
        _log.info("agent_stopped", node=self.settings.node, **self.ledger.snapshot())

    def ready(self) -> bool:
        """True while devices are followed and the first templates were sent."""
        return self._started and self._watch.ready() and self._destinations.sent_anything

    def apply(self, settings: AgentSettings) -> None:
        """Takes over changed settings without losing flows; says which need a restart.

        When the kernel refuses the program that they need, nothing changes but the log level, and the log says so. Where a
        certificate cannot be used, sending stays as it was.
        """
        before = self.settings
        logs.configure(settings.log_level)
        try:
            choice = _choice(settings.exporter)
            if _program_settings(before.exporter) != _program_settings(settings.exporter):
                self._replace_program(settings)
            elif chooser_of(before.exporter) != chooser_of(settings.exporter):
                self._pods.choose(settings.exporter, self._source.program)
            self._destinations.apply(settings)
        except FlowgaugeError as error:
            _log.error("settings_not_applied", error=str(error))
            return
        for name in before.needs_restart(settings):
            _log.warning("setting_needs_restart", setting=name, value=str(getattr(settings, name)))
        self._watch.run(lambda: self._interfaces.choose(choice))
        self._heads.apply(settings.exporter)
        self.settings = settings
        _log.info("settings_applied", node=settings.node)

    def _capture_if_no_hook_works(self) -> None:
        """A kernel that loads the program but attaches it nowhere lacks TCX and clsact."""
        refused = [one.problem for one in self._interfaces.interfaces if one.problem]
        if refused and not self._interfaces.attached and not self._source.without_ebpf:
            self._source.capture(EnvironmentProblem(f"this kernel attaches the eBPF flow program to no device: {refused[0]}"))
            self._watch.run(lambda: self._interfaces.move_to(self._source))

    def _load_again(self) -> None:
        try:
            self._replace_program(self.settings)
        except FlowgaugeError as error:
            _log.error("program_not_loaded_again", error=str(error))
            return
        _log.info("program_loaded_again", node=self.settings.node, **self._source.features())

    def _replace_program(self, settings: AgentSettings) -> None:
        """Loads a second program, puts it in the place of the first everywhere, and takes over what that had counted."""
        successor = FlowSource(settings, self._local)
        successor.load()
        self._pods.choose(settings.exporter, successor.program)
        self._watch.run(lambda: self._interfaces.move_to(successor))
        self._source.program.detach_signals()
        self._source.program.let_go()
        successor.program.attach_signals()
        retired, self._source = self._source, successor
        self._left_over.append(_drained(retired))
        successor.carry_over(retired)
        retired.close()

    def _drain(self) -> FlowBatch:
        batch = FlowBatch.concat([*self._left_over, _drained(self._source)])
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

    def _observed(self) -> dict[int, str]:
        """Devices whose packets are ours to show, by ifIndex."""
        return {one.ifindex: one.name for one in self._interfaces.interfaces if one.chosen}

    def _source_now(self) -> FlowSource:
        return self._source

    def _not_ip(self) -> dict[int, FramesSeen]:
        return self._source.not_ip()

    def _write_report(self) -> None:
        path = self.settings.report_path
        if path is None:
            return
        try:
            path.write_text(json.dumps(self._status.report(), indent=1), encoding="utf-8")
        except OSError as error:
            _log.warning("report_not_written", path=str(path), error=str(error))


def run_agent(settings: AgentSettings, stop: threading.Event, changes: queue.SimpleQueue[AgentSettings] | None = None) -> None:
    """Runs an agent until ``stop`` is set, then flushes what was counted.

    Args:
        settings: what it is told.
        stop: set by whoever wants it to end.
        changes: new settings to take over while running, as from a saved document.

    Raises:
        EnvironmentProblem: something that the agent needs is missing here.
    """
    agent = Agent(settings)
    try:
        agent.start()
        run_cycles(agent, stop, changes)
    finally:
        agent.stop()


def run_cycles(agent: Agent, stop: threading.Event, changes: queue.SimpleQueue[AgentSettings] | None = None) -> None:
    """Cycles at fixed times until ``stop``: one that took long does not delay the next; missed ones are left out."""
    due = time.monotonic() + agent.settings.export_interval_s
    retry_at = 0.0
    while not stop.is_set():
        now = time.monotonic()
        if now >= due:
            interval_s = agent.settings.export_interval_s
            agent.cycle(interval_s * _PACED_SHARE)
            due = max(due + interval_s, time.monotonic())
        elif now >= retry_at:
            agent.retry()
            retry_at = now + _RETRY_S
        while changes is not None and not changes.empty():
            agent.apply(changes.get())
            due = min(due, time.monotonic() + agent.settings.export_interval_s)
        stop.wait(min(max(due - time.monotonic(), 0.0), _TICK_S))


def _drained(source: FlowSource) -> FlowBatch:
    """What the kernel's table held; nothing when it cannot be read, which the next cycle tries again."""
    try:
        return source.drain()
    except OSError as error:
        _log.error("eviction_failed", error=str(error))
        return FlowBatch({})


def _choice(exporter: Exporter) -> InterfaceChoice:
    return InterfaceChoice(exporter.interfaces, exporter.exclude_interfaces)


def _program_settings(exporter: Exporter) -> tuple[object, ...]:
    """What is fixed when the eBPF program is loaded."""
    rules = kernel_rules(exporter.rules, exporter.sampling)
    features = frozenset(exporter.features), tuple(exporter.dns_ports)
    choice = chooser_of(exporter).bits, rules, exporter.tunnels
    return exporter.sampling, exporter.sampling_mode, exporter.max_flows, features, choice
