# SPDX-License-Identifier: Apache-2.0
"""The demo from its first line to its report: sweeps, builds the scene, starts the parts, tells the story, judges, tidies up.

One thread does all of it, because the scene's programs end with the thread that started them; supervisors, probes and
questions have threads of their own. Whatever was made goes away at the end; after ``kill -9`` the next run removes it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowgauge.config.model import seconds
from flowgauge.demo import requirements
from flowgauge.demo.cluster import Cluster
from flowgauge.demo.entrance import LOOPBACK, Entrance
from flowgauge.demo.flow_demo import ROUTE_HOST, FlowDemo, Transfer
from flowgauge.demo.invitation import Invitation, ssh_line
from flowgauge.demo.objects.log import EventLog
from flowgauge.demo.report import document as report_document
from flowgauge.demo.report.checks import Check, Findings, checks
from flowgauge.demo.report.ledger import Balance
from flowgauge.demo.report.reading import read
from flowgauge.demo.scene import addresses, journal
from flowgauge.demo.scene.network import Network
from flowgauge.demo.settings import Settings, label_of
from flowgauge.demo.system import System
from flowgauge.demo.truth import TruthLog
from flowgauge.demo.view import Snapshot, View, view_for
from flowgauge.demo.watch import Click, FirstFlow
from flowgauge.demo.witness import InterfaceWitness
from flowgauge.errors import EnvironmentProblem, FlowgaugeError, UsageError
from flowgauge.query.completeness import completeness
from flowgauge.query.topology import topology
from flowgauge.run.part import PartStatus, State
from flowgauge.runtime import instance, signals
from flowgauge.runtime.clock import now_ns
from flowgauge.schema.flow_query import FlowQuery, Window

CONSOLE_PORT = 8055
REPLACED_AFTER_S = 45.0
"""When a pod is replaced in a demo without an end."""
_CLICK_AFTER_S = 2.0
_TICK_S = 0.25
_UPDATE_EVERY_S = 1.0
_VIEW_WINDOW_S = 10.0
_SHOWN = 12


class Stopped(Exception):
    """Stop was asked for while the demo was still being set up."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user asks for.

    Attributes:
        duration_s: ends by itself after so long; None: at Ctrl-C.
        report: file for the JSON report.
        document: FlowCollector document; None: the demo's own.
        keep_data: keeps the store, logs and object log in a folder that is named at the end.
        port: on loopback for the user's own clicks; 0 chooses.
        console_port: 0 takes 8055 if it is free.
    """

    duration_s: float | None = None
    report: Path | None = None
    document: Path | None = None
    keep_data: bool = False
    port: int = 0
    console_port: int = 0


def run_demo(options: DemoOptions) -> int:
    """Runs a demo; 0 when every check held, 1 when one did not, 130 when it was interrupted before there was anything to judge.

    Raises:
        UsageError: another instance runs, or the document or the report's file is wrong.
        EnvironmentProblem: this machine lacks something, or a part could not be started.
    """
    requirements.require()
    _refuse_a_second()
    _refuse_unwritable(options.report)
    settings = Settings.of(options.document)
    view = view_for(sys.stdout.isatty())
    if swept := journal.sweep():
        view.note(f"removed what {swept} killed run{'s' if swept > 1 else ''} had left")
    for note in settings.notes:
        view.note(f"note: {note}")
    stop = threading.Event()
    signals.on({signal.SIGINT: stop.set, signal.SIGTERM: stop.set})
    try:
        found, judged = Demo(options, settings, view, stop).run()
    except Stopped:
        return 130
    finally:
        view.close()
    for line in report_document.lines(found, judged):
        view.note(line)
    if options.report:
        report_document.write(options.report, report_document.document(found, judged))
        view.note(f"report: {options.report}")
    return 0 if all(check.held for check in judged) else 1


def _refuse_a_second() -> None:
    if (running := instance.find()) is not None:
        raise UsageError(
            f"a {running.kind} is already running (process {running.pid}, console {running.console_url}/); stop it first, "
            f"or give this one a state folder of its own with {instance.RUNTIME_DIR_VARIABLE}=FOLDER"
        )


def _refuse_unwritable(report: Path | None) -> None:
    """A report that cannot be written must be known before, not after."""
    if report is not None and (report.is_dir() or not os.access(report.parent, os.W_OK)):
        raise UsageError(f"the report cannot be written to {report}")


@dataclass(slots=True)
class _Troubles:
    """Parts that are not well, told by the supervisors' threads."""

    scene: Network
    restarted: list[str] = field(default_factory=list)
    failed: str = ""

    def hear(self, status: PartStatus) -> None:
        """A part changed its state."""
        if status.pid:
            self.scene.journal.part(status.pid)
        if status.state is State.RESTARTING:
            self.restarted.append(f"{status.name} died and was started again")
        elif status.state is State.FAILED:
            self.failed = status.problem


class Demo:
    """One run."""

    def __init__(self, options: DemoOptions, settings: Settings, view: View, stop: threading.Event) -> None:
        self._options, self._settings, self._view, self._stop = options, settings, view, stop
        self._spec = settings.spec
        self._started, self._start_ns = time.monotonic(), now_ns()
        self._undo = contextlib.ExitStack()

    def run(self) -> tuple[Findings, list[Check]]:
        """The whole run; everything it made is gone when it returns or raises."""
        with self._undo:
            self._build()
            self._start()
            self._watch()
            return self._finish()

    def _build(self) -> None:
        """Scene, objects and pods; no program runs yet."""
        self._network = self._undo.enter_context(Network())
        try:
            self._network.up()
        except OSError as error:
            raise EnvironmentProblem(f"the scene's network cannot be made here: {error}") from error
        folder = self._folder()
        self._troubles = _Troubles(self._network)
        events, truth = EventLog(folder / "objects.jsonl"), TruthLog()
        self._system = System(
            self._settings, folder, list(self._network.nodes.values()), events.path,
            console_port=self._console_port(), listener=self._troubles.hear,
        )  # fmt: skip
        self._system.log_dir.mkdir()
        cluster = Cluster(self._network, events, truth, self._system.log_dir)
        for address in (addresses.CLIENT, addresses.YOU):
            cluster.outside(address, label_of(address, self._spec.collector.enrichment))
        self._witness = InterfaceWitness(self._spec.exporter, self._system.composition.agent_urls)
        self._story = FlowDemo(cluster, self._witness)
        self._continue()

    def _start(self) -> None:
        """Parts, servers, load, the user's entrance."""
        self._view.note("starting store, collector, console, an agent on each of three nodes, and PostgreSQL")
        self._undo.callback(self._system.stop)
        self._first = FirstFlow(self._system.composition.console_url, self._started)
        self._first.start()
        self._undo.callback(self._first.stop)
        self._system.start(self._story.database.prepare, self._stop)
        self._continue()
        self._view.note("starting Django, DNS, and the neighbour nobody expected")
        self._undo.callback(self._story.probes.stop)
        self._story.start()
        self._entrance = Entrance(self._network.outside, self._options.port)
        try:
            self._entrance.start()
        except OSError as error:
            raise UsageError(f"port {self._options.port} of 127.0.0.1 is taken: {error.strerror}") from error
        self._undo.callback(self._entrance.stop)
        self._publish()
        self._story.start_load()
        self._setup_s = time.monotonic() - self._started
        self._view.note(f"running after {self._setup_s:.1f} s")
        url, port = self._system.composition.console_url, self._entrance.port
        self._view.invite(Invitation(url, port, self._system.log_dir, ssh_line(url, port)).lines())

    def _watch(self) -> None:
        """Shows what goes on until it is time to stop; replaces a pod half-way."""
        begun = time.monotonic()
        duration_s = self._options.duration_s
        half_s = duration_s / 2 if duration_s else REPLACED_AFTER_S
        self._click = Click(self._system.composition.console_url, self._entrance.port, exact=self._spec.exporter.sampling == 1)
        self._undo.callback(self._click.stop)
        self._replaced = clicked = told = False
        next_update = 0.0
        while not self._stop.wait(_TICK_S):
            elapsed_s = time.monotonic() - begun
            if self._troubles.failed:
                raise EnvironmentProblem(self._troubles.failed)
            if self._first.after_s is not None and not told:
                told = True
                self._view.note(f"first named flow after {self._first.after_s:.1f} s: {_sentence(self._first.row)}")
            if elapsed_s >= _CLICK_AFTER_S and not clicked:
                clicked = True
                self._click.start()
            if elapsed_s >= half_s and not self._replaced:
                self._replace()
            if duration_s and elapsed_s >= duration_s:
                return
            if time.monotonic() >= next_update:
                next_update = time.monotonic() + _UPDATE_EVERY_S
                self._update(elapsed_s, half_s)

    def _replace(self) -> None:
        old = self._story.pods.web[-1]
        self._view.note(f"replacing {old.name} ({old.address})")
        successor = self._story.replace_web_pod()
        self._replaced = True
        self._view.note(f"{successor.address} now belongs to {successor.workload.namespace}/{successor.name}")

    def _update(self, elapsed_s: float, half_s: float) -> None:
        """Shows the present moment; a store that does not answer now may do so the next time."""
        now_ms = now_ns() // 1_000_000
        window = Window(now_ms - int(_VIEW_WINDOW_S * 1000), now_ms + 1000)
        try:
            edges = topology(self._system.store, FlowQuery(window=window, limit=_SHOWN)).edges
            words = completeness(self._system.store, Window(self._start_ns // 1_000_000, now_ms + 1000)).words
        except FlowgaugeError as error:
            edges, words = (), str(error)
        coming = "" if self._replaced else f"a pod will be replaced in {max(half_s - elapsed_s, 0):.0f} s"
        self._view.update(Snapshot(elapsed_s, _VIEW_WINDOW_S, edges, words, self._troubles.restarted[-3:], coming))

    def _finish(self) -> tuple[Findings, list[Check]]:
        """Ends the load, makes the bulk transfer, lets everything drain and judges."""
        self._view.close()
        self._view.note("stopping the load, then 100 MB with segmentation offloads on, then the last flows")
        self._click.stop()
        self._entrance.stop()
        self._story.end_load()
        transfer = self._story.transfer()
        self._witness.end_all()
        self._system.stop_agents()
        balance = self._system.settled()
        self._first.stop()
        found = self._findings(transfer, balance)
        return found, checks(found)

    def _findings(self, transfer: Transfer, balance: Balance) -> Findings:
        truth, witness = self._story.cluster.truth, self._witness
        truth.write(self._system.log_dir.parent / "truth.jsonl")
        window = Window(self._start_ns // 1_000_000, now_ns() // 1_000_000 + 1000)
        observed = witness.sees(transfer.sender.place.device)
        reading = read(self._system.store, window, witness.places, truth, transfer if observed else None)
        return Findings(
            sampling=self._spec.exporter.sampling,
            sees_pods=observed,
            interval_s=seconds(self._spec.exporter.export_interval),
            setup_s=self._setup_s,
            first_named_flow_s=self._first.after_s,
            visible_s=self._click.after_s,
            nodes=len(self._network.nodes),
            pods=sum(tenure.kind == "Pod" for tenure in truth.tenures()),
            replaced=self._replaced,
            outside_label=label_of(addresses.CLIENT, self._spec.collector.enrichment),
            edges=reading.edges,
            accuracy=reading.accuracy,
            identity=reading.identity,
            balance=balance,
            transfer=reading.transfer,
        )

    def _continue(self) -> None:
        """Goes on, unless the user wants to stop."""
        if self._stop.is_set():
            raise Stopped

    def _folder(self) -> Path:
        """Where store, logs and the object log live: with the scene, or to stay."""
        if self._options.keep_data:
            folder = Path(tempfile.mkdtemp(prefix="flowgauge-demo-"))
            folder.chmod(0o755)
            self._undo.callback(self._view.note, f"kept: {folder} (store, logs, objects.jsonl, truth.jsonl)")
            return folder
        folder = self._network.folder / "flowgauge"
        folder.mkdir()
        return folder

    def _console_port(self) -> int:
        if self._options.console_port:
            return self._options.console_port
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, CONSOLE_PORT))
            except OSError:
                return 0
        return CONSOLE_PORT

    def _publish(self) -> None:
        """Lets every command find this instance."""
        parts = {part.name: part.url for part in self._system.composition.parts if part.url}
        composition, folder = self._system.composition, self._system.log_dir
        running = instance.Instance(
            pid=os.getpid(),
            kind="demo",
            console_url=composition.console_url,
            collector_url=composition.collector_url,
            log_dir=str(folder),
            data_dir=str(folder.parent),
            objects_path=str(folder.parent / "objects.jsonl"),
            parts=parts,
            extra={"click_url": f"http://{LOOPBACK}:{self._entrance.port}/", "route_host": ROUTE_HOST},
        )
        instance.publish(running)
        self._undo.callback(instance.withdraw)


def _sentence(row: dict[str, Any]) -> str:
    ends = [f"{row.get(f'{end}_namespace', '')}/{row.get(f'{end}_owner', '')}" for end in ("src", "dst")]
    return " → ".join(ends)
