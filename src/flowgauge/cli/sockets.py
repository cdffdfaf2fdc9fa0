# SPDX-License-Identifier: Apache-2.0
"""``flowgauge sockets``: what happened to TCP sockets, by process: connected, accepted, failed, closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowgauge.cli.options import TokenFile, Url, filter_argument

if TYPE_CHECKING:
    from flowgauge.cli.flow_text import Detail

NONE_YET = (
    "no socket's event matches; agents tell of sockets when exporter.features has sockets "
    "(and this kernel gives them: flowgauge_agent_feature)"
)
_FAILED = "(socket_event in (failed, retrying) or tcp_state_final in (reset, refused, timeout, unreachable))"


def sockets(
    filter_: Annotated[list[str] | None, filter_argument("Which; all when left out.")] = None,
    *,
    pod: Annotated[str, typer.Option(help="Sockets of this pod only.")] = "",
    failed: Annotated[
        bool, typer.Option("--failed", help="What went wrong only: refused, timed out, unreachable, reset, tried again.")
    ] = False,
    since: Annotated[str, typer.Option(help="Length of the time range: 30s, 5m, 2h, 7d.")] = "",
    from_: Annotated[str, typer.Option("--from", help="Start: 2026-01-31T23:59, 23:59, or 10m (ago).")] = "",
    to: Annotated[str, typer.Option(help="End, the same way; now when left out.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many events.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all columns.")] = False,
    url: Url = "",
    token_file: TokenFile = None,
) -> int:
    """Lists what happened to TCP sockets, newest first: who connected where, what failed, how long it took.

    A line is told by the socket of one end, the local one, so a connection between two observed pods has lines of both.
    RTT and resent segments are those of the connection until then. Needs `sockets` in exporter.features.

    Examples:
      flowgauge sockets                                 of the last 5 minutes
      flowgauge sockets --failed                        refused, reset, timed out
      flowgauge sockets --pod postgresql-0 --since 1h
      flowgauge sockets 'src_process = gunicorn and dst_port = 5432'
      flowgauge sockets 'retransmits > 0' --json | jq .rtt_avg_ns
    """
    from flowgauge.cli.api import connect
    from flowgauge.cli.flow_output import Format, footer, print_rows, print_table
    from flowgauge.cli.flow_request import asked
    from flowgauge.cli.table import Screen

    how = Format.JSONL if as_json else Format.TABLE
    request = asked(
        filter_=_filter(" ".join(filter_ or ()), pod, failed=failed), since=since, from_=from_, to=to, by="", top="bytes",
        limit=limit, output=how, columns="", duplicates=True, live=False, fail_if_any=False,
    )  # fmt: skip
    found = connect(url, token_file).get("flows", {**request.params(), "limit": request.limit})
    screen = Screen.of_output()
    if as_json:
        print_rows(found["rows"], how, ())
    elif found["rows"]:
        print_table(_columns(), _shown(found["rows"], screen.width), screen)
    else:
        print(NONE_YET)
    footer(found, how, screen, "event")
    return 0


def _filter(text: str, pod: str, *, failed: bool) -> str:
    from flowgauge.schema.filters.syntax import quoted

    parts = [f"({text})" if text.strip() else "", f"src_pod = {quoted(pod)}" if pod else "", _FAILED if failed else ""]
    return " and ".join(part for part in (*parts, "socket_event exists") if part)


def _columns() -> Any:
    from flowgauge.cli.table import Column

    return (
        Column("time"), Column("event"), Column("process", least=6, style="name"), Column("pid", right=True, keep=3),
        Column("local", least=14, style="name"), Column("", keep=8), Column("remote", least=14, style="name"),
        Column("took", right=True), Column("rtt", right=True, keep=5), Column("resent", right=True, keep=5),
    )  # fmt: skip


def _shown(rows: Sequence[Mapping[str, Any]], width: int) -> list[list[str]]:
    """The cells with as much detail of both ends as fits, as of flows."""
    from flowgauge.cli.flow_text import Detail
    from flowgauge.cli.table import NAMES_FIRST, fits

    columns = _columns()
    for detail, keep in ((Detail.EXACT, 0), (Detail.WORKLOAD, NAMES_FIRST)):
        cells = [_cells(row, detail) for row in rows]
        if fits(columns, cells, width, keep=keep):
            return cells
    return [_cells(row, Detail.BRIEF) for row in rows]


def _cells(row: Mapping[str, Any], detail: Detail) -> list[str]:
    from flowgauge.cli.flow_text import public_value

    took = row.get("handshake_ns") or row.get("duration_ns")
    return [
        public_value("time_end_ns", row.get("time_end_ns")),
        _event(row),
        str(row.get("src_process") or ""),
        str(row.get("src_pid") or ""),
        _end(row, "src", detail),
        {"src": "→", "dst": "←"}.get(str(row.get("initiator")), ""),
        _end(row, "dst", detail) if row.get("dst_port") else "",
        public_value("duration_ns", took) if took else "",
        public_value("rtt_avg_ns", row.get("rtt_avg_ns")),
        str(row.get("retransmits") or ""),
    ]


def _event(row: Mapping[str, Any]) -> str:
    """``connected``, ``failed: refused``, ``closed: reset`` …; an orderly end is just ``closed``."""
    event, state = str(row["socket_event"]), str(row.get("tcp_state_final") or "")
    return event if state in ("", "established", "closed") else f"{event}: {state}"


def _end(row: Mapping[str, Any], side: str, detail: Detail) -> str:
    from flowgauge.cli.flow_text import end

    return f"{end(row, side, detail)}:{row.get(f'{side}_port') or '*'}"
