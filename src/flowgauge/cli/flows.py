# SPDX-License-Identifier: Apache-2.0
"""``flowgauge flows``: lists, sums or follows flows. It asks the console's API of the running instance."""

from __future__ import annotations

from typing import Annotated

import typer

from flowgauge.cli.completion import measures
from flowgauge.cli.options import Filter, TokenFile, Url, columns_option, output_option


def flows(
    filter_: Filter = None,
    *,
    since: Annotated[str, typer.Option(help="Length of the time range: 30s, 5m, 2h, 7d.")] = "",
    from_: Annotated[str, typer.Option("--from", help="Start: 2026-01-31T23:59, 23:59, or 10m (ago).")] = "",
    to: Annotated[str, typer.Option(help="End, the same way; now when left out.")] = "",
    dataset: Annotated[
        str, typer.Option(help="Ask this named dataset, all of it unless a range is given; default: live.")
    ] = "",
    live: Annotated[bool, typer.Option("--live", help="Follow flows as they arrive, until Ctrl-C.")] = False,
    by: Annotated[str, columns_option("Sum by these columns, separated by commas.")] = "",
    top: Annotated[
        str, typer.Option(help="What sums are ordered by: bytes, packets, flows, retransmits, …", autocompletion=measures)
    ] = "bytes",
    limit: Annotated[int | None, typer.Option(min=1, max=10_000, help="How many flows (50) or groups (20).")] = None,
    output: Annotated[str, output_option("table, jsonl, json or csv.", "table", "jsonl", "json", "csv")] = "table",
    columns: Annotated[str, columns_option("Show these columns, separated by commas.")] = "",
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Show further observations of the same packets too.")
    ] = False,
    fail_if_any: Annotated[bool, typer.Option("--fail-if-any", help="End with status 1 when a flow matched.")] = False,
    url: Url = "",
    token_file: TokenFile = None,
) -> int:
    """Lists, sums or follows flows.

    A filter compares fields: = != < <= > >= ~ (pattern) in (...) exists, joined by and, or, not and parentheses.
    `namespace`, `owner`, `port`, `addr` and the like mean either end; `src_` and `dst_` mean one.
    Figures marked ≈ are scaled from sampled packets; ± is their error (95 %).

    Examples:
      flowgauge flows                         the newest of the last 5 minutes
      flowgauge flows 'namespace = flow-demo and port = postgresql'
      flowgauge flows 'addr = 10.0.0.0/8 and bytes > 1MB' --since 2h
      flowgauge flows --by src_owner,dst_owner --since 1h       who sent most
      flowgauge flows --live 'drop_packets > 0'           drops as they happen
      flowgauge flows --live --by src_owner,dst_owner            conversations
      flowgauge flows 'src_namespace = other-team and port = 5432' --fail-if-any
      flowgauge flows -o jsonl --columns src_name,dst_name,bytes | head
    """
    from flowgauge.cli.api import connect
    from flowgauge.cli.flow_request import answer, asked, whole_dataset

    request = asked(
        filter_=" ".join(filter_ or ()), since=since, from_=from_, to=to, by=by, top=top, limit=limit, output=output,
        columns=columns, duplicates=duplicates, live=live, fail_if_any=fail_if_any, dataset=dataset,
    )  # fmt: skip
    api = connect(url, token_file)
    if dataset:
        request = whole_dataset(api, request)
    if live:
        from flowgauge.cli.live_flows import follow

        return follow(api, request.live_options())
    return answer(api, request)
