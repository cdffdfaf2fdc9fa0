# SPDX-License-Identifier: Apache-2.0
"""``flowgauge agent``: observes this node's packets and exports flows as IPFIX."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowgauge.cli.completion import filter_words
from flowgauge.cli.options import LogLevel, output_option
from flowgauge.cli.rereading import until_told

if TYPE_CHECKING:
    from flowgauge.agent.settings import AgentSettings
    from flowgauge.config.effective import Flag
    from flowgauge.config.model import Spec


def agent(  # noqa: PLR0917 - typer passes options by name
    file: Annotated[Path | None, typer.Option("--file", "-f", help="FlowCollector document.")] = None,
    collector: Annotated[str, typer.Option(help="Where flows are sent: HOST:PORT, [IPV6]:PORT or HOST.")] = "",
    node: Annotated[str, typer.Option(help="Name of this node; default: the host name.")] = "",
    netns: Annotated[str, typer.Option(help="Network namespace to observe; exports leave from here all the same.")] = "",
    interface: Annotated[list[str] | None, typer.Option(help="Observe only these: name or /regex/; repeatable.")] = None,
    exclude_interface: Annotated[list[str] | None, typer.Option(help="Never observe these; repeatable.")] = None,
    sampling: Annotated[int | None, typer.Option(help="Observe one of this many packets.")] = None,
    sampling_mode: Annotated[str, typer.Option(help="packet, or flow: whole connections.")] = "",
    export_interval: Annotated[str, typer.Option(help="How often a running flow is sent: 5s, 500ms, 1m.")] = "",
    max_flows: Annotated[int | None, typer.Option(help="Entries of the kernel's flow table.")] = None,
    kubernetes_objects: Annotated[
        Path | None,
        typer.Option(help="Kubernetes objects, a file or folder: to choose pods by, and for names with --standalone."),
    ] = None,
    obs_domain_id: Annotated[
        int, typer.Option(min=0, max=0xFFFFFFFF, help="IPFIX observation domain; 0: from the node's name.")
    ] = 0,
    pen: Annotated[int, typer.Option(min=1, max=0xFFFFFFFF, help="Private enterprise number of our own elements.")] = 32473,
    mtu: Annotated[int, typer.Option(min=512, max=65_000, help="Longest IPFIX message in bytes.")] = 1400,
    template_refresh: Annotated[float, typer.Option(min=0.1, help="Seconds between two sendings of the templates.")] = 10.0,
    http_address: Annotated[str, typer.Option(help="Where metrics and the agent's API listen.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of metrics and API; 0 takes a free one.")] = 9056,
    token_file: Annotated[
        Path | None, typer.Option(help="File with what `flowgauge capture` must show; without it nobody gets packet headers.")
    ] = None,
    token_fd: Annotated[int, typer.Option(help="Descriptor with the same; -1: none.")] = -1,
    report: Annotated[Path | None, typer.Option(help="Write the last counters there as JSON when stopped.")] = None,
    log_level: LogLevel = "",
    standalone: Annotated[bool, typer.Option("--standalone", help="Print flows here instead, named, once a second.")] = False,
    output: Annotated[str, output_option("With --standalone: table or jsonl.", "table", "jsonl")] = "table",
    filter_: Annotated[
        str, typer.Option("--filter", help="With --standalone: which flows, as for `flows`.", autocompletion=filter_words)
    ] = "",
) -> None:
    """Observes this node's packets with eBPF and exports flows as IPFIX.

    Options win over the environment (FLOWGAUGE_…), that over the document. SIGTERM and Ctrl-C send what was counted and end.

    Examples:
      flowgauge agent --collector 192.0.2.10:2055
        all devices but lo, every packet, to that collector

      flowgauge agent -f flowcollector.yaml --node worker-3
        as the document says; SIGHUP reads it again without losing flows

      flowgauge agent --interface eth0 --interface '/^veth/' --sampling 100
        eth0 and every veth, one of 100 packets

      flowgauge agent --netns node-a --node node-a --http-port 0
        a network namespace that stands for a node; the agent ends when the
        name is deleted, or another namespace gets it

      flowgauge agent --standalone --filter 'port = 53'
        this machine's DNS flows, here and now; a live table: flowgauge top
    """
    from flowgauge.config.effective import Flag
    from flowgauge.runtime import logs

    given = [
        Flag("--interface", "spec.exporter.interfaces", interface),
        Flag("--exclude-interface", "spec.exporter.excludeInterfaces", exclude_interface),
        Flag("--sampling", "spec.exporter.sampling", sampling),
        Flag("--sampling-mode", "spec.exporter.samplingMode", sampling_mode),
        Flag("--export-interval", "spec.exporter.exportInterval", export_interval),
        Flag("--max-flows", "spec.exporter.maxFlows", max_flows),
        Flag("--log-level", "spec.logLevels.agent", log_level),
        *_collector_flags(collector),
    ]
    flags = tuple(flag for flag in given if flag.value not in (None, ""))
    own = {
        "node": node,
        "netns": netns,
        "obs_domain_id": obs_domain_id,
        "objects": kubernetes_objects,
        "pen": pen,
        "mtu_bytes": mtu,
        "template_refresh_s": template_refresh,
        "http_address": http_address,
        "http_port": http_port,
        "report_path": report,
        "token": _token(token_file, token_fd),
    }
    own = {name: value for name, value in own.items() if value not in ("", None)}

    def settings() -> AgentSettings:
        return _settings(file, flags, own)

    if standalone:
        from flowgauge.cli.agent_standalone import print_flows

        print_flows(_alone(flags, own), filter_, output, kubernetes_objects)
        return
    first = settings()
    logs.configure(first.log_level)
    from flowgauge.agent import privileges

    # Before there are threads, which would keep what they begin with.
    privileges.give_up_the_rest(netns=bool(first.netns))
    from flowgauge.agent.options import program_options
    from flowgauge.ebpf.parts import Parts

    parts = Parts(program_options(first))
    parts.begin()
    # The kernel verifies programs while numpy is imported.
    from flowgauge.agent.start import Start

    begun = Start(first, parts)
    stop, changes = until_told("agent", settings)  # before there are hooks, which somebody has to take away again
    begun.begin()
    # Packets are counted while the rest is imported.
    from flowgauge.agent.main import run_agent

    run_agent(first, stop, changes, begun)


def _token(file: Path | None, descriptor: int) -> str:
    from flowgauge.cli.secret_input import behind, in_file

    return in_file("--token-file", file) if file else behind("--token-fd", descriptor) if descriptor >= 0 else ""


def _settings(file: Path | None, flags: tuple[Flag, ...], own: dict[str, Any]) -> AgentSettings:
    """What document, environment and options say together; ConfigError or UsageError when something is wrong."""
    from flowgauge.agent.settings import AgentSettings
    from flowgauge.config.effective import effective

    spec = effective(file, flags).spec
    _check(spec, own.get("objects"))
    level = spec.log_levels.get("agent", spec.log_level)
    name = ""
    if spec.collector.transport == "TLS" and spec.collector.address in ("127.0.0.1", "::1"):
        name = effective(file, tuple(flag for flag in flags if flag.name != "--collector")).spec.collector.address
    return AgentSettings(exporter=spec.exporter, collector=spec.collector, collector_name=name, log_level=level, **own)


def _alone(flags: tuple[Flag, ...], own: dict[str, Any]) -> AgentSettings:
    """Settings for flows that are printed here: every device, processes, an export a second, a free port, unless told else."""
    from flowgauge.agent.settings import FEATURES_SHOWN
    from flowgauge.config.effective import Flag
    from flowgauge.config.environment import variables

    given = {flag.path for flag in flags} | {path for name, path in variables().items() if name in os.environ}
    defaults = [
        Flag("--standalone", "spec.exporter.excludeInterfaces", []),
        Flag("--standalone", "spec.exporter.exportInterval", "1s"),
        Flag("--standalone", "spec.exporter.features", [str(one) for one in FEATURES_SHOWN]),
        Flag("--standalone", "spec.logLevels.agent", "error"),
    ]
    chosen = (*flags, *(flag for flag in defaults if flag.path not in given))
    return _settings(None, chosen, {**own, "http_port": 0})


def _check(spec: Spec, objects: Path | None) -> None:
    """What is a valid document but nothing an agent can do."""
    from flowgauge.config.model import ExporterType
    from flowgauge.errors import UsageError

    if not spec.exporter.enable:
        raise UsageError("spec.exporter.enable is false: the document wants no agents")
    if spec.exporter.type is not ExporterType.EBPF:
        raise UsageError(f"spec.exporter.type is {spec.exporter.type}: the document wants no eBPF agents")
    if spec.collector.port == 0:
        raise UsageError("spec.collector.port is 0: an agent must be told the collector's port")
    if spec.exporter.chooses_pods and objects is None:
        raise UsageError("spec.exporter.namespaces and pods choose by Kubernetes objects: give --kubernetes-objects PATH")


def _collector_flags(text: str) -> list[Flag]:
    """The collector's address as flags of address and port."""
    from flowgauge.cli.endpoint import host_and_port
    from flowgauge.config.effective import Flag
    from flowgauge.errors import UsageError

    host, port = host_and_port("--collector", text)
    if text and not host:
        raise UsageError(f"--collector {text}: there is no host before the port")
    if port == 0:
        raise UsageError(f"--collector {text}: an agent must be told the collector's port (1 to 65535)")
    flags = [Flag("--collector", "spec.collector.address", host)]
    return [*flags, Flag("--collector", "spec.collector.port", port)] if port else flags
