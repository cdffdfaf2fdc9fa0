# SPDX-License-Identifier: Apache-2.0
"""``flowgauge capture``: packet headers of all nodes in one file, of the last while or as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowgauge.cli.options import filter_argument


def capture(
    filter_: Annotated[list[str] | None, filter_argument("Which packets; all when left out.")] = None,
    *,
    for_: Annotated[str, typer.Option("--for", help="Capture what comes for so long; 30s unless the past is asked for.")] = "",
    past: Annotated[str, typer.Option(help="And the last while, as far as agents keep it: 60s.")] = "",
    at: Annotated[str, typer.Option(help="The past around a time instead: 23:59:30 or 10m (ago), ± --past (60s).")] = "",
    write: Annotated[str, typer.Option("--write", "-w", help="File (pcapng); - is standard output.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace that file.")] = False,
    max_bytes: Annotated[str, typer.Option(help="End before the file is longer: 10MB, 500kB, 1GiB.")] = "10MB",
    node: Annotated[list[str] | None, typer.Option(help="Only this node; repeatable.")] = None,
    freeze: Annotated[str, typer.Option(help="Capture nothing; let agents keep what they have for so long (0s: end it).")] = "",
    agent: Annotated[list[str] | None, typer.Option(metavar="URL", help="Ask this agent; repeatable.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the token of the agents.")] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Capture on this machine, without an instance (root).")
    ] = False,
    interface: Annotated[list[str] | None, typer.Option(help="With --standalone: name or /regex/; repeatable.")] = None,
    netns: Annotated[str, typer.Option(help="With --standalone: network namespace.")] = "",
    kubernetes_objects: Annotated[Path | None, typer.Option(help="With --standalone: objects for names.")] = None,
) -> int:
    r"""Captures packet headers, without payload, as a pcapng file with names in comments.

    It asks the agents of the running instance, all nodes merged by time; without one, it captures on this machine (root). The
    past is there when the document says spec.exporter.heads.enable. A packet is in the file once for each device that it
    passed. Ctrl-C ends a capture; the file is whole at any time. The filter is that of `flows`.

    Examples:
      flowgauge capture 'port = 5432' --for 10s -w db.pcapng
      flowgauge capture 'addr = 10.0.0.7 and tcp_flags = RST' --past 60s \
        -w resets.pcapng
      flowgauge capture 'namespace = flow-demo' --at 10:02:30 -w incident.pcapng
      flowgauge capture 'port = 53' -w - | tshark -r -
      flowgauge capture --freeze 10m               an incident: keep what is there
      sudo flowgauge capture --standalone --interface eth0
    """
    from flowgauge.cli import capture_run, capture_source

    request = capture_run.asked(
        filter_=" ".join(filter_ or ()), for_=for_, past=past, at=at, write=write, force=force, max_bytes=max_bytes
    )
    if standalone or interface or netns or kubernetes_objects:
        if agent or node or freeze:
            capture_run.refuse_together()
        return capture_run.run(request, [capture_source.here(interface or [], netns, kubernetes_objects)])
    agents = capture_source.agents(agent or [], node or [], token_file)
    if freeze:
        return capture_run.freeze(agents, freeze)
    if not agents:
        return capture_run.run(request, [capture_source.here([], "", None)])
    return capture_run.run(request, agents)
