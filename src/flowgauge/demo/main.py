# SPDX-License-Identifier: Apache-2.0
"""The demo from its first line to its report: what it refuses, what it sweeps, the session, the verdict.

Whatever a run made goes away at its end; after ``kill -9`` the next run removes it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from flowgauge.demo import plain_user, requirements, stage
from flowgauge.demo.doors import Doors, Ports
from flowgauge.demo.report import document
from flowgauge.demo.report.checks import Findings, checks
from flowgauge.demo.scene import journal
from flowgauge.demo.session import Session, Stopped, StopSignal
from flowgauge.demo.settings import Settings
from flowgauge.demo.view import View, view_for
from flowgauge.errors import UsageError
from flowgauge.runtime import instance, signals
from flowgauge.runtime.clock import now_ns

INTERRUPTED = 130
_READABLE = 0o022
"""File mode mask: the user who called sudo reads logs and objects of what root runs."""


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
    if os.geteuid() != 0:
        _refuse_a_second()
        plain_user.enter(sys.argv[1:], console_port=options.console_port, clicks_port=options.port)
    doors = Doors()
    requirements.require()
    _refuse_a_second()
    _refuse_unwritable(options.report)
    settings = Settings.of(options.document)
    stop = StopSignal()
    signals.on({signal.SIGINT: stop.ask, signal.SIGTERM: stop.ask})
    os.umask(_READABLE)
    view = view_for(sys.stdout.isatty())
    if swept := journal.sweep():
        view.note(f"removed what {swept} killed run{'s' if swept > 1 else ''} had left")
    if why := requirements.without_ebpf():
        view.note(f"note: {plain_user.MISSING if doors else f'{why}: {plain_user.CAPTURING}'}")
    if lacking := requirements.without_quic():
        view.note(f"note: {lacking}")
    for note in settings.notes:
        view.note(f"note: {note}")
    try:
        found = _perform(options, settings, view, stop, doors)
    except Stopped:
        return INTERRUPTED
    return _tell(found, options.report, view)


def _perform(options: DemoOptions, settings: Settings, view: View, stop: StopSignal, doors: Doors) -> Findings:
    """The whole run; everything it made is gone when it returns or raises."""
    started, started_ns = time.monotonic(), now_ns()
    with contextlib.ExitStack() as undo:
        keep = (
            (lambda folder: view.note(f"kept: {folder} (store, logs, objects.jsonl, truth.jsonl)"))
            if options.keep_data
            else None
        )
        ports = doors.ports if doors else Ports(options.console_port, options.port)
        built = stage.build(settings, undo, keep=keep, ports=ports)
        session = Session(
            built, undo, view, stop, started=started, started_ns=started_ns, duration_s=options.duration_s, port=ports.clicks
        )
        undo.callback(view.close)
        undo.callback(doors.stop)
        doors.start()
        session.start()
        session.watch()
        return session.finish()


def _tell(found: Findings, report: Path | None, view: View) -> int:
    judged = checks(found)
    for line in document.lines(found, judged):
        view.note(line)
    if report is not None:
        document.write(report, document.document(found, judged))
        view.note(f"report: {report}")
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
