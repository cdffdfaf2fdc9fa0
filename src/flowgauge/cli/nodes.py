# SPDX-License-Identifier: Apache-2.0
"""``flowgauge nodes``: what nodes' kernels dropped and had no room for. It asks the console's API of the running instance."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowgauge.cli.options import TokenFile, Url, output_option

if TYPE_CHECKING:
    from flowgauge.cli.table import Screen


def nodes(
    *,
    since: Annotated[str, typer.Option(help="Length of the time range: 30s, 5m, 2h.")] = "5m",
    output: Annotated[str, output_option("table or json.", "table", "json")] = "table",
    url: Url = "",
    token_file: TokenFile = None,
) -> None:
    """Lists what nodes' kernels dropped and had no room for: what a latency may come from that no flow shows.

    Connection tracking is the fullest that it was; everything else is what was added in the time range.

    Examples:
      flowgauge nodes
      flowgauge nodes --since 1h
      flowgauge nodes -o json | jq '.[] | select(.signs != [])'
    """
    import json

    from flowgauge.cli.api import connect
    from flowgauge.errors import UsageError
    from flowgauge.schema.duration import milliseconds

    if output not in ("table", "json"):
        raise UsageError(f"--output {output!r}: there are table, json")
    milliseconds(since, "--since")
    found: list[dict[str, Any]] = connect(url, token_file).get("nodes", {"since": since})["nodes"]
    if output == "json":
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(found, since)))


def _lines(found: list[dict[str, Any]], since: str) -> list[str]:
    from flowgauge.cli.table import Column, Screen, printed

    if not found:
        return [f"no agent told of its node in the last {since}"]
    columns = (
        Column("node", least=8, style="name"), Column("conntrack", right=True), Column("listen full", right=True),
        Column("TCP full", right=True), Column("UDP full", right=True), Column("CPU full", right=True),
        Column("dropped", right=True), Column("errors", right=True),
    )  # fmt: skip
    screen = Screen.of_output()
    return printed(columns, [_cells(one) for one in found], screen, [_signs(one, screen) for one in found])


def _signs(one: dict[str, Any], screen: Screen) -> list[str]:
    """What there is to say of a node, each with what to do about it."""
    from flowgauge.cli.table import visible
    from flowgauge.cli.units import clock

    lines = []
    for sign in one["signs"]:
        when = f"{'over: ' if sign['over'] else ''}last at {clock(sign['last_ms'])[:8]}"
        lines.append(screen.styled(f"  {visible(sign['words'])} ({when})", "dim" if sign["over"] else "warning"))
        lines += wrap(visible(sign["advice"]), screen.width, initial_indent="    ", subsequent_indent="    ")
    return lines


def _cells(one: dict[str, Any]) -> list[str]:
    from flowgauge.cli.units import number

    counters, most = one["counters"], int(one["conntrack_entries_max"])
    of_devices = [(name, value) for moved in one["devices"].values() for name, value in moved.items()]
    sums = (
        counters["listen_overflows"],
        counters["tcp_backlog_overflows"] + counters["tcp_receive_overflows"],
        counters["udp_receive_overflows"] + counters["udp_send_overflows"],
        counters["cpu_dropped_packets"],
        sum(value for name, value in of_devices if "dropped" in name),
        sum(value for name, value in of_devices if "error" in name),
    )
    tracking = f"{number(int(one['conntrack_entries']))} of {number(most)}" if most else ""
    return [str(one["node"]), tracking, *map(number, sums)]
