# SPDX-License-Identifier: Apache-2.0
"""``flowgauge exporters``: who sends flows, how well they arrive, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from flowgauge.cli.options import TokenFile, Url, output_option


def exporters(
    details: Annotated[bool, typer.Option("--details", "-d", help="Also rates, own statistics, addresses.")] = False,
    output: Annotated[str, output_option("table or json.", "table", "json")] = "table",
    url: Url = "",
    token_file: TokenFile = None,
) -> None:
    """Lists who sends flows, how well they arrive, and what to do about it.

    Loss is what is missing from an exporter's sequence numbers: flows, or datagrams (dgram) where it numbers only
    these (NetFlow v9), with how many flows they probably held (≈). Skew is how far its clock is behind (+) or ahead (-).

    Examples:
      flowgauge exporters
      flowgauge exporters --details
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
        print("\n".join(_lines(found, int(answer.get("now_ms", 0)), details=details)))


def _lines(found: list[dict[str, Any]], now_ms: int, *, details: bool = False) -> list[str]:
    from flowgauge.cli.table import Column, Screen, printed

    if not found:
        return ["nobody has sent anything yet"]
    columns = (
        Column("exporter", least=9, style="name"), Column("name", least=8, style="name"), Column("protocol", keep=7),
        Column("domain", right=True, keep=3), Column("flows/s", right=True), Column("flows", right=True, keep=4),
        Column("lost", right=True, keep=8), Column("skew", right=True, keep=5), Column("sampling", right=True, keep=6),
        Column("templates", right=True, keep=2), Column("last seen", right=True, keep=7),
    )  # fmt: skip
    screen = Screen.of_output()
    notes = [
        [
            *([screen.styled(f"  {one['advice']}", "warning")] if one.get("advice") else ()),
            *(f"    {detail}" for detail in (_details(one) if details else ())),
        ]
        for one in found
    ]
    return printed(columns, [_cells(one, now_ms) for one in found], screen, notes)


def _details(one: dict[str, Any]) -> Iterator[str]:
    """What the table has no room for."""
    from flowgauge.cli.units import number

    if addresses := one.get("socket_addrs"):
        yield f"sends from {', '.join(addresses)}"
    for rate in one.get("rates") or ():
        effective = rate.get("effective")
        yield f"samples 1:{rate['rate']} on {rate['of']}" + (f", in fact 1:{effective:,.0f}" if effective else "")
    notes = {
        "late_datagrams": "datagrams came late", "duplicate_datagrams": "came twice", "restarts": "restarts",
        "sampler_drops": "samples left out by it", "interface_names": "interfaces named",
        "provisional_templates": "templates known from before only",
    }  # fmt: skip
    if told := [f"{number(one[name])} {words}" for name, words in notes.items() if one.get(name)]:
        yield ", ".join(told)
    if said := one.get("said"):
        yield "says: " + ", ".join(f"{name} {number(value)}" for name, value in sorted(said.items()))


def _cells(one: dict[str, Any], now_ms: int) -> list[str]:
    from flowgauge.cli.units import duration, number

    effective = float(one.get("effective_sampling") or 0)
    rate, source = int(one.get("sampling") or 0), str(one.get("sampling_source") or "")
    skew_ms, templates = one.get("clock_skew_ms"), one.get("templates")
    ago_ms = max(0, now_ms - int(one.get("last_seen_ms") or 0))
    return [
        str(one.get("exporter_addr", "")),
        str(one.get("name", "")),
        str(one.get("flow_format", "")),
        str(one.get("obs_domain_id", "")),
        f"{float(one.get('flows_per_s') or 0):,.1f}",
        number(int(one.get("flows") or 0)),
        _lost(one),
        "" if skew_ms is None else f"{skew_ms / 1000:+.1f} s",
        (f"1:{rate} (in fact {effective:.0f})" if effective else f"1:{rate} ({source})") if rate else source,
        "" if templates is None else str(templates),
        f"{duration(ago_ms * 1_000_000)} ago" if one.get("last_seen_ms") else "",
    ]


def _lost(one: dict[str, Any]) -> str:
    from flowgauge.cli.units import number

    records, datagrams = one.get("lost_records"), one.get("lost_datagrams")
    if records is None and datagrams is None:
        return ""
    if records or not datagrams:
        return number(records or 0)
    estimated = one.get("lost_records_estimated")
    return f"{number(datagrams)} dgram" + (f" ≈ {number(estimated)}" if estimated else "")
