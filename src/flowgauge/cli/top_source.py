# SPDX-License-Identifier: Apache-2.0
"""Where ``flowgauge top`` gets flows from: the live tap of a running instance, or an agent in this process.

Each source runs a thread and hands rows over by a queue with a bound; what the terminal is too slow for is counted.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from flowgauge.cli import trouble_text
from flowgauge.cli.flow_text import Row
from flowgauge.cli.top_table import NEEDED
from flowgauge.errors import FlowgaugeError

if TYPE_CHECKING:
    from flowgauge.agent.main import Agent
    from flowgauge.agent.settings import AgentSettings
    from flowgauge.cli.api import Api
    from flowgauge.flow.batch import FlowBatch

MAX_WAITING_BATCHES = 64
MAX_ROWS = 2_000
"""Rows of one batch that are shown: nobody reads more, and each becomes Python objects. The largest stay."""
_TICK_S = 0.2
_TROUBLES_EVERY_S, _TROUBLES_OF = 5.0, "5m"
"""How often, and of how long: as `flowgauge troubles`."""


class Source(Protocol):
    """Gives rows of flows between ``start`` and ``stop``."""

    name: str
    problem: str
    """Why no more flows come; empty while they do."""
    skipped: int
    """Rows that were left out because there were too many, or the terminal was too slow."""
    troubles: Sequence[str]
    """What goes wrong in what passes the filter, the gravest first; of a source without a store, what it does not see."""

    def start(self, filter_: str) -> None:
        """Begins, or begins anew with another filter (already checked)."""

    def take(self) -> list[Sequence[Row]]:
        """What has come since the last call."""

    def stop(self) -> None:
        """Ends; safe to call twice."""


class _Queued:
    """What both sources share."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problem = ""
        self.skipped = 0
        self.troubles: Sequence[str] = ()
        self._waiting: queue.Queue[Sequence[Row]] = queue.Queue(MAX_WAITING_BATCHES)

    def take(self) -> list[Sequence[Row]]:
        """See ``Source``."""
        found = []
        while True:
            try:
                found.append(self._waiting.get_nowait())
            except queue.Empty:
                return found

    def _offer(self, rows: Sequence[Row], skipped: int = 0) -> None:
        self.skipped += skipped
        if not rows:
            return
        try:
            self._waiting.put_nowait(rows)
        except queue.Full:
            self.skipped += len(rows)


class TapSource(_Queued):
    """The live tap behind the console's API."""

    def __init__(self, api: Api) -> None:
        super().__init__(api.url)
        self._api = api
        self._current = threading.Event()

    def start(self, filter_: str) -> None:
        """See ``Source``; the stream before ends with its next event."""
        self._current.set()
        self._current = ended = threading.Event()
        self.problem, self.troubles = "", ()
        params = {"filter": filter_, "columns": ",".join(NEEDED)}
        threading.Thread(target=self._follow, args=(params, ended), name="top", daemon=True).start()
        threading.Thread(target=self._watch, args=(filter_, ended), name="troubles", daemon=True).start()

    def stop(self) -> None:
        """See ``Source``."""
        self._current.set()

    def _follow(self, params: Mapping[str, str], ended: threading.Event) -> None:
        from flowgauge.cli.live_flows import followed

        try:
            for event in followed(self._api, params):
                if ended.is_set():
                    return
                self._offer(event.get("rows", []), int(event.get("skipped") or 0))
        except FlowgaugeError as error:
            if not ended.is_set():
                self.problem = str(error)

    def _watch(self, filter_: str, ended: threading.Event) -> None:
        """Asks for troubles now and then; while nobody answers, the last ones stand."""
        while not ended.is_set():
            try:
                found = trouble_text.brief(self._api, {"filter": filter_, "since": _TROUBLES_OF})
            except FlowgaugeError:
                found = list(self.troubles)
            if not ended.is_set():
                self.troubles = found
            ended.wait(_TROUBLES_EVERY_S)


class AgentSource(_Queued):
    """An agent and a collector in this process: flows of this machine, one export a second. Needs root."""

    def __init__(self, settings: AgentSettings, **naming: Any) -> None:
        super().__init__(settings.node)
        self._settings, self._naming = settings, naming
        self._keep: Callable[[FlowBatch], FlowBatch] = lambda batch: batch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)
        self._running = threading.Event()
        self._error: FlowgaugeError | None = None

    def start(self, filter_: str) -> None:
        """See ``Source``; the first time it returns when packets are counted.

        Raises:
            EnvironmentProblem: the agent cannot run here.
        """
        self._keep = _matching(filter_)
        if self._thread.ident is not None:
            return
        self._thread.start()
        while not self._running.wait(_TICK_S):
            if self._error is not None:
                raise self._error

    def stop(self) -> None:
        """See ``Source``."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        from flowgauge.run.standalone import run_standalone

        try:
            run_standalone(self._settings, self._hear, self._stop, started=self._started, **self._naming)
        except FlowgaugeError as error:
            self._error, self.problem = error, str(error)

    def _started(self, agent: Agent) -> None:
        self.troubles = agent.limits()
        self._running.set()

    def _hear(self, flows: FlowBatch) -> None:
        matching = self._keep(flows)
        shown = largest(matching, MAX_ROWS)
        self._offer(as_rows(shown), len(matching) - len(shown))


def _matching(filter_: str) -> Callable[[FlowBatch], FlowBatch]:
    from flowgauge.flow.mask import mask
    from flowgauge.schema import filters

    where = filters.bound(filter_)
    return lambda batch: batch.take(mask(where, batch).nonzero()[0])


def largest(batch: FlowBatch, count: int) -> FlowBatch:
    """The ``count`` flows with most bytes, in their order."""
    import numpy as np

    if len(batch) <= count:
        return batch
    return batch.take(np.sort(np.argpartition(batch.array("bytes"), -count)[-count:]))


def as_rows(batch: FlowBatch) -> list[dict[str, Any]]:
    """As the live tap gives them; further observations of the same packets are left out."""
    import numpy as np

    from flowgauge.flow.rows import to_rows

    counted = batch.take(np.flatnonzero(batch.array("duplicate_of") == 0))
    return to_rows(counted, NEEDED)
