# SPDX-License-Identifier: Apache-2.0
"""``flowgauge run``: store, collector, agent and console of one machine, supervised."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowgauge.cli.options import LogLevel


def run(  # noqa: PLR0917 - typer passes options by name
    file: Annotated[Path | None, typer.Option("--file", "-f", help="FlowCollector document; default: the defaults.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Flows, logs and state; default: /var/lib/flowgauge for root, else ~/.local/share.")
    ] = None,
    kubernetes_objects: Annotated[
        Path | None, typer.Option(help="Objects that give names: file or folder of `kubectl get -o json`, or an event log.")
    ] = None,
    listen: Annotated[str, typer.Option(help="Where the collector listens: HOST:PORT or [IPV6]:PORT; over the document.")] = "",
    agent: Annotated[bool, typer.Option("--agent/--no-agent", help="Whether this machine's packets are observed.")] = True,
    node: Annotated[str, typer.Option(help="Name of this machine; default: the host name.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE over environment and document; repeatable.")
    ] = None,
    log_level: LogLevel = "",
    store_password_file: Annotated[Path | None, typer.Option(help="File with the password of a ClickHouse server.")] = None,
) -> None:
    """Runs everything one machine needs, and applies saved changes of the document without losing flows.

    A part that dies is started again. Without root or eBPF the agent is left out, and one sentence says why. Ctrl-C stops
    the parts in order: what was counted is sent, received and stored first.

    Examples:
      flowgauge run
      flowgauge run -f flowcollector.yaml --kubernetes-objects objects/
      flowgauge run --no-agent --listen 0.0.0.0:2055   for routers
      flowgauge run --set exporter.sampling=100 --set storage.retention=30d
    """
    from flowgauge.cli.config import parse_flags
    from flowgauge.cli.secret_input import in_file
    from flowgauge.config.effective import Flag
    from flowgauge.errors import UsageError
    from flowgauge.run.main import run_system
    from flowgauge.run.system import RunOptions

    if kubernetes_objects is not None and not kubernetes_objects.exists():
        raise UsageError(f"--kubernetes-objects {kubernetes_objects}: there is no such file or folder")
    flags = parse_flags(settings or [])
    if log_level:
        flags += (Flag("--log-level", "spec.logLevel", log_level), Flag("--log-level", "spec.logLevels", {}))
    run_system(
        RunOptions(
            document=file,
            data_dir=data_dir,
            objects=kubernetes_objects.resolve() if kubernetes_objects else None,
            listen=_listen(listen),
            agent=agent,
            node=node,
            flags=flags,
            store_password=in_file("--store-password-file", store_password_file) if store_password_file else "",
        )
    )


def _listen(text: str) -> tuple[str, int]:
    """Host and port; of nothing, nothing."""
    from flowgauge.cli.endpoint import host_and_port
    from flowgauge.errors import UsageError

    host, port = host_and_port("--listen", text)
    if text and not port:
        raise UsageError(f"--listen {text}: write HOST:PORT, as 0.0.0.0:2055 or [::]:2055")
    return host, port or 0
