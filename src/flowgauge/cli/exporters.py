# SPDX-License-Identifier: Apache-2.0
"""``flowgauge exporters``: who sends flows, how well they arrive, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def exporters(
    output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table",
    url: Annotated[str, typer.Option(help="Console to ask; by default the one that runs here.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="File with that console's token.")] = None,
) -> None:
    """Lists who sends flows, how well they arrive, and what to do about it.

    Loss is what is missing from an exporter's sequence numbers; skew is how far its clock is behind (+) or ahead (-).

    Examples:
      flowgauge exporters
      flowgauge exporters -o json | jq '.[] | select(.lost_records > 0)'
    """
    import json

    from flowgauge.cli.api import connect
    from flowgauge.errors import EnvironmentProblem, UsageError

    if output not in ("table", "json"):
        raise UsageError(f"--output {output} is neither table nor json")
    answer = connect(url, token_file).get("status", {})
    collector = answer.get("collector", {})
    if not collector.get("answers"):
        raise EnvironmentProblem(str(collector.get("problem") or "the collector does not answer"))
    found: list[dict[str, Any]] = collector.get("exporters", [])
    if output == "json":
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(_lines(found, int(answer.get("now_ms", 0)))))


def _lines(found: list[dict[str, Any]], now_ms: int) -> list[str]:
    from flowgauge.cli.table import Column, Screen, fitted, heading, line

    if not found:
        return ["nobody has sent anything yet"]
    columns = (
        Column("exporter", least=9, style="name"), Column("name", least=8, style="name"), Column("protocol", keep=7),
        Column("domain", right=True, keep=3), Column("flows/s", right=True), Column("flows", right=True, keep=4),
        Column("lost", right=True, keep=8), Column("skew", right=True, keep=5), Column("sampling", right=True, keep=6),
        Column("templates", right=True, keep=2), Column("last seen", right=True, keep=7),
    )  # fmt: skip
    rows = [_cells(one, now_ms) for one in found]
    screen = Screen.of_output()
    layout = fitted(columns, rows, screen.width)
    lines = [heading(columns, layout, screen)]
    for one, cells in zip(found, rows, strict=True):
        lines.append(line(columns, layout, cells, screen))
        if one.get("advice"):
            lines.append(screen.styled(f"  {one['advice']}", "warning"))
    return lines


def _cells(one: dict[str, Any], now_ms: int) -> list[str]:
    from flowgauge.cli.units import duration, number

    rate, source = int(one.get("sampling") or 0), str(one.get("sampling_source") or "")
    skew_ms, templates, lost = (one.get(name) for name in ("clock_skew_ms", "templates", "lost_records"))
    lost = lost or one.get("lost_datagrams") if lost is not None else None
    ago_ms = max(0, now_ms - int(one.get("last_seen_ms") or 0))
    return [
        str(one.get("exporter_addr", "")),
        str(one.get("name", "")),
        str(one.get("flow_format", "")),
        str(one.get("obs_domain_id", "")),
        f"{float(one.get('flows_per_s') or 0):,.1f}",
        number(int(one.get("flows") or 0)),
        "" if lost is None else number(lost),
        "" if skew_ms is None else f"{skew_ms / 1000:+.1f} s",
        f"1:{rate} ({source})" if rate else source,
        "" if templates is None else str(templates),
        f"{duration(ago_ms * 1_000_000)} ago" if one.get("last_seen_ms") else "",
    ]
