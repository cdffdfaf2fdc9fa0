# SPDX-License-Identifier: Apache-2.0
"""``flowgauge agent``: observes this node's packets and exports flows as IPFIX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from flowgauge.agent.settings import AgentSettings

_EPILOG = """Examples:

  flowgauge agent --collector 192.0.2.10:2055
      all devices but lo, every packet, to that collector

  flowgauge agent -f flowcollector.yaml --node worker-3
      as the document says; SIGHUP reads it again without losing flows

  flowgauge agent --interface eth0 --interface '/^veth/' --sampling 100
      eth0 and every veth, one of 100 packets

  flowgauge agent --netns node-a --node node-a --http-port 0
      a network namespace that stands for a node"""


def agent(
    file: Annotated[Path | None, typer.Option("--file", "-f", help="FlowCollector document.")] = None,
    collector: Annotated[str, typer.Option(help="Where flows are sent: HOST:PORT, [IPV6]:PORT or HOST.")] = "",
    node: Annotated[str, typer.Option(help="Name of this node; default: the host name.")] = "",
    netns: Annotated[str, typer.Option(help="Network namespace to observe; exports leave from here all the same.")] = "",
    interface: Annotated[list[str] | None, typer.Option(help="Observe only these: name or /regex/; repeatable.")] = None,
    exclude_interface: Annotated[list[str] | None, typer.Option(help="Never observe these; repeatable.")] = None,
    sampling: Annotated[int | None, typer.Option(min=1, help="Observe one of this many packets.")] = None,
    sampling_mode: Annotated[str, typer.Option(help="packet, or flow: whole connections.")] = "",
    export_interval: Annotated[str, typer.Option(help="How often a running flow is sent: 5s, 500ms, 1m.")] = "",
    max_flows: Annotated[int | None, typer.Option(min=256, help="Entries of the kernel's flow table.")] = None,
    obs_domain_id: Annotated[int, typer.Option(min=0, help="IPFIX observation domain; 0: from the node's name.")] = 0,
    pen: Annotated[int, typer.Option(min=1, help="Private enterprise number of our own elements.")] = 32473,
    mtu: Annotated[int, typer.Option(min=512, max=65_000, help="Longest IPFIX message in bytes.")] = 1400,
    template_refresh: Annotated[float, typer.Option(min=0.1, help="Seconds between two sendings of the templates.")] = 10.0,
    http_address: Annotated[str, typer.Option(help="Where metrics and the agent's API listen.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of metrics and API; 0 takes a free one.")] = 9056,
    report: Annotated[Path | None, typer.Option(help="Write the last counters there as JSON when stopped.")] = None,
    log_level: Annotated[str, typer.Option(help="trace, debug, info, warning or error.")] = "",
) -> None:
    """Observes this node's packets with eBPF and exports flows as IPFIX over UDP.

    Options win over the document. SIGTERM and Ctrl-C send what was counted and end.
    """
    from flowgauge.agent.main import run_agent
    from flowgauge.runtime import logs

    exporter = {
        "interfaces": interface or None,
        "exclude_interfaces": exclude_interface or None,
        "sampling": sampling,
        "sampling_mode": sampling_mode or None,
        "export_interval": export_interval or None,
        "max_flows": max_flows,
    }
    own = {
        "node": node or None,
        "netns": netns,
        "obs_domain_id": obs_domain_id,
        "pen": pen,
        "mtu_bytes": mtu,
        "template_refresh_s": template_refresh,
        "http_address": http_address,
        "http_port": http_port,
        "report_path": report,
    }

    def settings() -> AgentSettings:
        return _settings(file, collector, exporter, own, log_level)

    first = settings()
    logs.configure(first.log_level)
    stop, changes = _signals(settings)
    run_agent(first, stop, changes)


agent.__doc__ = f"{agent.__doc__}\n\n{_EPILOG}"


def _settings(
    file: Path | None, collector: str, exporter: dict[str, Any], own: dict[str, Any], log_level: str
) -> AgentSettings:
    """The document (or the defaults) with the options over it; ConfigError or UsageError when something is wrong."""
    from flowgauge.agent.settings import AgentSettings
    from flowgauge.config.model import Collector, Exporter

    spec = _spec(file)
    changed = {key: value for key, value in exporter.items() if value is not None}
    target: dict[str, Any] = {}
    if collector:
        target["address"], target["port"] = _host_port(collector, spec.collector.port)
    return AgentSettings(
        exporter=_checked(Exporter, spec.exporter, changed),
        collector=_checked(Collector, spec.collector, target),
        log_level=_level(log_level) or spec.log_levels.get("agent", spec.log_level),
        **{key: value for key, value in own.items() if value is not None},
    )
