# SPDX-License-Identifier: Apache-2.0
"""``flowgauge demo``: the story of flow-demo on this machine; ``get``: its Kubernetes objects; ``fault``: breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowgauge.cli.completion import fault_kinds
from flowgauge.cli.options import output_option

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)


@app.callback()
def demo(  # noqa: PLR0917 - typer passes options by name
    ctx: typer.Context,
    duration: Annotated[str, typer.Option("--for", help="End by itself after this long: 30s, 5m; default: at Ctrl-C.")] = "",
    report: Annotated[Path | None, typer.Option(help="Write what was found there, as JSON.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="FlowCollector document; default: the demo's own.")] = None,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep store, logs and object log, and say where.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for your own clicks; 0 takes 8080 or a free one.")] = 0,
    console_port: Annotated[int, typer.Option(min=0, max=65535, help="The console's; 0 takes 8055 or a free one.")] = 0,
) -> None:
    """Shows a real application's traffic, named and live: Django with PostgreSQL on three nodes made of network namespaces.

    It leaves nothing behind and ends with a report; exit status 0 only if every check in it held. Without root it runs in a
    user namespace: then the agents cannot use eBPF, and signals such as RTT and drops are missing.

    Examples:
      sudo ./flowgauge demo                        until Ctrl-C
      sudo ./flowgauge demo --for 30s --report report.json
      ./flowgauge demo                             without root, and signals
      sudo ./flowgauge demo -f flowcollector.yaml  with your document
      ./flowgauge demo get all -n flow-demo        what `oc get all` would show
      sudo ./flowgauge demo fault delay --for 30s  break it, see its troubles
    """
    if ctx.invoked_subcommand is not None:
        return
    from flowgauge.demo.main import DemoOptions, run_demo

    options = DemoOptions(
        duration_s=_seconds(duration), report=report, document=file, keep_data=keep_data, port=port, console_port=console_port
    )
    raise typer.Exit(run_demo(options))


@app.command()
def get(
    what: Annotated[
        str, typer.Argument(help="all, or kinds by commas: pods, svc, deploy, routes, secrets, pvc, nodes …")
    ] = "all",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace; default: flow-demo.")] = "flow-demo",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    output: Annotated[str, output_option("table, or json: a list that --kubernetes-objects reads.", "table", "json")] = "table",
) -> None:
    """Prints the running demo's Kubernetes objects, as `oc get` would.

    Examples:
      flowgauge demo get all -n flow-demo
      flowgauge demo get pods -A
      flowgauge demo get all,nodes,endpointslices -A -o json > objects.json
    """
    from flowgauge.demo import get_objects
    from flowgauge.errors import UsageError
    from flowgauge.runtime.clock import now_ns

    if output not in ("table", "json"):
        raise UsageError(f"--output {output!r}: there are table and json")
    space = "" if everywhere else namespace
    found = get_objects.objects(_log(), what, space)
    print(get_objects.as_json(found) if output == "json" else get_objects.as_tables(found, what, space, now_ns()))


@app.command()
def fault(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="Which fault; --list shows them.", autocompletion=fault_kinds)
    ] = "",
    duration: Annotated[str, typer.Option("--for", help="Remove it after this long: 30s, 2m; default: at Ctrl-C.")] = "",
    listed: Annotated[bool, typer.Option("--list", help="List the kinds of faults.")] = False,
) -> None:
    """Breaks the running demo on purpose, for a while, so that you can see how it shows.

    Needs root, as the demo does. Whatever happens the fault is removed at its end; the demo's end removes it, too.

    Examples:
      flowgauge demo fault --list
      sudo ./flowgauge demo fault delay --for 30s  50 ms before PostgreSQL
      sudo ./flowgauge demo fault policy-drop      a policy forbids: till Ctrl-C
      flowgauge troubles                           in another terminal
    """
    from flowgauge.demo.fault import command
    from flowgauge.errors import UsageError

    if listed:
        print(command.listing())
        return
    if not kind:
        raise UsageError("which fault? `flowgauge demo fault --list` shows them")
    command.put(kind, _seconds(duration, least=1))


def _seconds(duration: str, *, least: int = 10) -> float | None:
    """None for no duration; UsageError for one that is none or too short to show anything."""
    from flowgauge.errors import UsageError
    from flowgauge.schema.duration import milliseconds

    if not duration:
        return None
    length_s = milliseconds(duration, "--for") / 1000
    if length_s < least:
        raise UsageError(f"--for {duration}: at least {least}s are needed to show anything")
    return length_s


def _log() -> Path:
    from flowgauge.errors import UsageError
    from flowgauge.runtime import instance

    running = instance.find()
    if running is None or running.kind != "demo":
        raise UsageError("no demo is running; start one with: sudo ./flowgauge demo")
    return Path(running.objects_path)
