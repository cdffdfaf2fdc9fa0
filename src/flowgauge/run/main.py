# SPDX-License-Identifier: Apache-2.0
"""``flowgauge run``: starts this machine's parts, tells how they stand, applies saved changes, stops in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

from flowgauge import __version__
from flowgauge.config.check import Kind, check
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.run.change import Change
from flowgauge.run.on_host import on_this_host
from flowgauge.run.part import PartStatus, State
from flowgauge.run.system import RunOptions, System
from flowgauge.run.watch import WatchedFile
from flowgauge.runtime.signals import Terminal

_LOOK_S = 0.5
"""How often the document is looked at: a change is taken up within twice this time."""


def run_system(options: RunOptions) -> None:
    """Runs this machine's parts until SIGINT or SIGTERM; SIGHUP, or saving the document, applies it again.

    Raises:
        UsageError: the document or the options are wrong, or an instance runs already.
        EnvironmentProblem: a part that the others need cannot run.
    """
    signals = _Signals()
    voice = _Voice()
    system = System(options, voice.part_changed)
    watched = WatchedFile(options.document)
    try:
        _say(f"flowgauge {__version__} starts with {system.settings.loaded.source}")
        system.start()
        signals.started = True
        for line in _greeting(system):
            _say(line)
        voice.started = True
        while not signals.stop.wait(_LOOK_S):
            if problem := system.problem():
                raise EnvironmentProblem(problem)
            if watched.changed() or signals.reread.is_set():
                signals.reread.clear()
                _apply(system)
        _say("stopping: each part drains what it has (Ctrl-C again ends at once)")
    finally:
        voice.started = False
        system.stop()
    _say("stopped")


class _Signals:
    """SIGINT and SIGTERM set ``stop``; during the start, or a second time, they interrupt.

    SIGHUP sets ``reread``, or ``stop`` when it is that of a closed terminal.
    """

    def __init__(self) -> None:
        self.started = False
        self.stop = threading.Event()
        self.reread = threading.Event()
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGTERM, self._end)
        self._terminal = Terminal()
        signal.signal(signal.SIGHUP, lambda *_: (self.stop if self._terminal.is_gone else self.reread).set())

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        if self.stop.is_set() or not self.started:
            raise KeyboardInterrupt
        self.stop.set()


class _Voice:
    """Says when a part dies or comes back; start, stop and what ends the whole are said by ``run_system``."""

    def __init__(self) -> None:
        self.started = False
        self._before: dict[str, State] = {}
        self._refused: dict[str, str] = {}

    def part_changed(self, status: PartStatus) -> None:
        """Called by the supervisor."""
        before = self._before.get(status.name)
        self._before[status.name] = status.state
        refused, self._refused[status.name] = self._refused.get(status.name, ""), status.refused
        if status.refused:
            if status.refused != refused:
                _say(f"{status.name}: {status.refused}; it goes on trying")
        elif status.state is State.FAILED and status.name.startswith("agent"):
            _say(f"{status.problem}; going on without it")
        elif self.started and status.state is State.RESTARTING:
            _say(f"{status.name} died and is started again (see: flowgauge logs {status.name.partition('-')[0]})")
        elif self.started and status.state is State.READY and (refused or before is State.STARTING):
            _say(f"{status.name} is ready")


def _apply(system: System) -> None:
    """Goes over to the saved document, or says why not."""
    try:
        steps, problem = system.apply()
    except (UsageError, EnvironmentProblem) as error:
        _say(f"the change is not applied: {error}")
        return
    for line in _told(steps):
        _say(line)
    if problem:
        _say(f"after the change: {problem}")


def _told(steps: Change) -> Iterator[str]:
    if not steps.settings:
        again = f"; {', '.join(steps.reread)}: files that it names are read again" if steps.reread else ""
        yield f"the document was read again; no setting differs{again}"
        return
    yield f"applied: {'; '.join(steps.settings)}"
    if steps.reread:
        yield f"{', '.join(steps.reread)}: taken over without a restart"
    for name, why in steps.restart.items():
        yield f"{name}: restarted, since {why}"
    for name in steps.gone:
        yield f"{name}: stopped"
    for name in steps.come:
        yield f"{name}: started"


def _greeting(system: System) -> Iterator[str]:
    """Where everything is, and what of the document this build cannot do."""
    composition = system.composition
    assert composition is not None  # noqa: S101 - started
    over = system.settings.spec.collector.listens_over
    token = f" (token: {system.token_file})" if system.token_file else ""
    yield f"  console    {composition.console_url + '/' + token if composition.console_url else 'none'}"
    yield f"  collector  {composition.listen_address} over {over}; {composition.collector_url}/metrics"
    yield f"  store      {composition.store_url if 'store' not in _names(system) else system.data_dir / 'store'}"
    for node, url in composition.agent_urls.items():
        yield f"  agent      {node}; {url}/metrics"
    if system.no_agent:
        yield f"  agent      none: {system.no_agent}; flows come from what is sent to {composition.listen_address}"
    yield f"  logs       flowgauge logs --follow   ({system.log_dir})"
    for note in system.settings.loaded.notes:
        yield f"  note       {note}"
    seen_here = on_this_host(system.settings.spec, agent=not system.no_agent)
    for finding in check(system.settings.loaded, seen_here):
        if finding.kind is not Kind.DOES:
            yield f"  {finding.kind:<10} {finding.path}: {finding.text}"
    yield "Ctrl-C stops everything; a saved change of the document is applied."


def _names(system: System) -> list[str]:
    return [part.name for part in system.composition.parts] if system.composition else []


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this program's output, on a terminal or in the journal
