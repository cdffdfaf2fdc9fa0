# SPDX-License-Identifier: Apache-2.0
"""``flowgauge agent --standalone``: flows of this machine as lines, once a second, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import numpy as np

from flowgauge.agent.main import Agent
from flowgauge.agent.settings import AgentSettings
from flowgauge.cli import flow_tables
from flowgauge.cli.flow_output import Format
from flowgauge.cli.live_flows import FlowLines
from flowgauge.cli.top_source import MAX_ROWS, largest
from flowgauge.errors import UsageError
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.mask import mask
from flowgauge.flow.rows import to_rows
from flowgauge.run.standalone import run_standalone
from flowgauge.runtime import logs, signals
from flowgauge.schema import filters


def print_flows(settings: AgentSettings, filter_: str, output: str, objects: Path | None) -> None:
    """Prints until SIGINT or SIGTERM.

    Raises:
        UsageError: the filter or the output form is none.
        EnvironmentProblem: the agent cannot run here.
    """
    if output not in (Format.TABLE, Format.JSONL):
        raise UsageError(f"--output {output!r}: with --standalone there are table and jsonl")
    where, how = filters.bound(filter_), Format(output)
    logs.configure(settings.log_level)
    stop = threading.Event()
    signals.on({signal.SIGINT: stop.set, signal.SIGTERM: stop.set})
    needed = (*flow_tables.NEEDED, *flow_tables.PROCESSES)
    lines = FlowLines(how, (), process=True)

    def show(flows: FlowBatch) -> None:
        matching = flows.take(np.flatnonzero(mask(where, flows) & (flows.array("duplicate_of") == 0)))
        shown = largest(matching, MAX_ROWS)
        lines.show(to_rows(shown, needed if how is Format.TABLE else None), len(matching) - len(shown))

    def ready(agent: Agent) -> None:
        print(f"observing {settings.node}; Ctrl-C ends", file=sys.stderr)
        for limit in agent.limits():
            print(f"note: {limit}", file=sys.stderr)

    try:
        run_standalone(settings, show, stop, objects=objects, started=ready)
    finally:
        lines.end()
