# SPDX-License-Identifier: Apache-2.0
"""``flowgauge top``: conversations live in the terminal, of the running instance or of this machine alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowgauge.cli.completion import words
from flowgauge.cli.options import Filter, TokenFile, Url

if TYPE_CHECKING:
    from flowgauge.cli.top_source import Source

INTERVAL = "1s"
"""Between two exports of an agent in this process: what people wait for."""


def top(
    filter_: Filter = None,
    *,
    by: Annotated[
        str,
        typer.Option(
            help="Order: rate, rtt, retransmits or drops.", autocompletion=words("rate", "rtt", "retransmits", "drops")
        ),
    ] = "rate",
    standalone: Annotated[
        bool,
        typer.Option("--standalone", help="Observe this machine from here (root), also beside an agent: each counts all."),
    ] = False,
    interface: Annotated[list[str] | None, typer.Option(help="With --standalone: only these; repeatable.")] = None,
    netns: Annotated[str, typer.Option(help="With --standalone: a network namespace to observe.")] = "",
    objects: Annotated[
        Path | None, typer.Option("--kubernetes-objects", help="With --standalone: objects for names, a file or folder.")
    ] = None,
    url: Url = "",
    token_file: TokenFile = None,
) -> None:
    """Shows conversations live: who talks to whom, how fast, round trips, segments sent again, drops.

    It follows the instance that runs here; where none runs, it observes this machine by itself, which needs root.
    Keys: r t x d sort by rate, RTT, resent segments, drops; / filters; Enter opens details; p pauses; q quits.

    Examples:
      flowgauge top                                  everything
      flowgauge top 'namespace = flow-demo'          one namespace
      flowgauge top --by rtt 'port = 5432'           slow databases first
      sudo flowgauge top --standalone                this machine by itself
    """
    from flowgauge.cli.top_table import Order
    from flowgauge.errors import UsageError
    from flowgauge.schema import filters

    text = " ".join(filter_ or ())
    filters.bound(text)
    if by not in set(Order):
        raise UsageError(f"--by {by!r}: there are {', '.join(Order)}")
    if not sys.stdout.isatty():
        raise UsageError("top needs a terminal; for programs there is: flowgauge flows --live -o jsonl")
    source = _source(url, token_file, standalone=standalone, interfaces=list(interface or ()), netns=netns, objects=objects)
    from flowgauge.cli.top_app import TopApp

    source.start(text)
    try:
        TopApp(source, text, Order(by)).run()
    finally:
        source.stop()


def _source(
    url: str, token_file: Path | None, *, standalone: bool, interfaces: list[str], netns: str, objects: Path | None
) -> Source:
    from flowgauge.errors import UsageError
    from flowgauge.runtime import instance

    alone = bool(interfaces or netns or objects)
    if url and (standalone or alone):
        raise UsageError("--url asks a console; leave it out with --standalone, --interface, --netns and --kubernetes-objects")
    if not (standalone or alone) and (url or instance.find() is not None):
        from flowgauge.cli.api import connect
        from flowgauge.cli.top_source import TapSource

        return TapSource(connect(url, token_file))
    from flowgauge.agent.settings import FEATURES_SHOWN, AgentSettings
    from flowgauge.cli.top_source import AgentSource
    from flowgauge.config.model import Exporter
    from flowgauge.runtime import logs

    logs.configure("error")
    exporter = Exporter(interfaces=interfaces, exclude_interfaces=[], export_interval=INTERVAL, features=FEATURES_SHOWN)
    return AgentSource(AgentSettings(exporter=exporter, netns=netns, http_port=0), objects=objects)
