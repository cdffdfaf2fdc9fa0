# SPDX-License-Identifier: Apache-2.0
"""``flowgauge troubles``: what goes wrong between whom, in sentences. It asks the console's API of the running instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from flowgauge.cli.options import Filter, TokenFile, Url, output_option

_EXPECTED = "if nobody expects one of these: flowgauge flows 'src_namespace = …', and a network policy against it"


def troubles(
    filter_: Filter = None,
    *,
    since: Annotated[str, typer.Option(help="Length of the time range: 30s, 5m, 2h.")] = "5m",
    output: Annotated[str, output_option("text, json, or jsonl: one a line.", "text", "jsonl", "json")] = "text",
    all_: Annotated[
        bool, typer.Option("--all", help="Also what is too small to be felt; json and jsonl always have it.")
    ] = False,
    fail_if_any: Annotated[
        bool, typer.Option("--fail-if-any", help="End with status 1 when there is one that is not small, with --all any.")
    ] = False,
    url: Url = "",
    token_file: TokenFile = None,
) -> int:
    """Says what goes wrong between whom, and why: refused, dropped, sent again, slow on the way or on the server.

    Latencies are those of the last 15 seconds, compared with the time range before; counts are of the whole range. In
    parentheses is since when it is so, or from when to when it was; below, where to look next. A stray packet and the
    like are only counted, as small things. Last is who talks to whom between namespaces, infrastructure left out.
    `top` and `flows --by` print the gravest too.

    Examples:
      flowgauge troubles
      flowgauge troubles 'namespace = flow-demo' --since 1m
      flowgauge troubles 'port = 5432' --fail-if-any
      flowgauge troubles -o jsonl | jq -r .words
    """
    import json

    from flowgauge.cli import trouble_text
    from flowgauge.cli.api import connect
    from flowgauge.errors import UsageError
    from flowgauge.schema.duration import milliseconds

    if output not in ("text", "json", "jsonl"):
        raise UsageError(f"--output {output!r}: there are text, json, jsonl")
    milliseconds(since, "--since")
    answer = connect(url, token_file).get("troubles", {"filter": " ".join(filter_ or ()), "since": since})
    found: list[Mapping[str, Any]] = answer["troubles"]
    chosen = found if all_ else trouble_text.felt(answer)
    if output == "text":
        print("\n".join(_said(chosen, len(found) - len(chosen), answer, since)))
    elif output == "json":
        print(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        for one in found:
            print(json.dumps(one, ensure_ascii=False))
    return int(fail_if_any and bool(chosen))


def _said(chosen: Sequence[Mapping[str, Any]], small: int, answer: Mapping[str, Any], since: str) -> list[str]:
    """What to read: troubles, how many small ones are left out, and who talks to whom between namespaces."""
    from flowgauge.cli import trouble_text
    from flowgauge.cli.table import Screen, visible

    width = Screen.of_output().width
    lines = trouble_text.advised(chosen, width) or [answer["unseen"] or f"no trouble in the last {since}"]
    lines += [f"and {trouble_text.small_words(small)}"] if small else []
    crossing = visible(answer["crossing"])
    return lines + ([*trouble_text.wrapped(crossing, width), *trouble_text.below(_EXPECTED, width)] if crossing else [])
