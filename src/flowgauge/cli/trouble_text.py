# SPDX-License-Identifier: Apache-2.0
"""Troubles as lines for a terminal, the gravest first, each with its time. Pure but for ``brief``, which asks."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from flowgauge.cli import units
from flowgauge.cli.table import visible

if TYPE_CHECKING:
    from flowgauge.cli.api import Api, Params

SHOWN = 3
"""Beside something else; `flowgauge troubles` says all."""
_GOES_ON_MS = 20_000
"""What was seen less long before the end of the time range goes on: agents tell every few seconds."""


def lines(answer: Mapping[str, Any]) -> list[str]:
    """A line for each trouble of what ``/api/v1/troubles`` answers, without anything that a terminal obeys."""
    end_ms = answer["window"]["to_ms"]
    return [f"{visible(one['words'])}{_when(one, end_ms)}" for one in answer["troubles"]]


def advised(answer: Mapping[str, Any], width: int) -> list[str]:
    """The same, each followed by where to look next, within ``width`` columns."""
    found = []
    for words, one in zip(lines(answer), answer["troubles"], strict=True):
        found += [words, *wrap(visible(one["advice"]), width, initial_indent="  ", subsequent_indent="  ")]
    return found


def brief(api: Api, params: Params) -> list[str]:
    """The gravest troubles of what ``params`` choose, and how many more there are; raises what ``Api.get`` raises."""
    found = lines(api.get("troubles", params))
    more = len(found) - SHOWN
    return [*found[:SHOWN], *([f"and {units.counted(more, 'trouble')} more: flowgauge troubles"] if more > 0 else [])]


def _when(one: Mapping[str, Any], end_ms: int) -> str:
    since_ms, last_ms = one.get("since_ms", 0), one.get("last_ms", 0)
    if not since_ms:
        return ""
    since, last = units.clock(since_ms)[:8], units.clock(last_ms)[:8]
    if not last_ms or end_ms - last_ms < _GOES_ON_MS:
        return f" (since {since})"
    return f" (at {since})" if since == last else f" (from {since} to {last})"
