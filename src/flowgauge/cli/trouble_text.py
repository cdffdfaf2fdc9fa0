# SPDX-License-Identifier: Apache-2.0
"""Troubles as lines for a terminal, the gravest first, each with its time. Pure but for ``brief``, which asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from flowgauge.cli import units
from flowgauge.cli.table import visible

if TYPE_CHECKING:
    from flowgauge.cli.api import Api, Params

SHOWN = 3
"""Beside something else; `flowgauge troubles` says all."""
_SMALL = "small"


def felt(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The troubles of what ``/api/v1/troubles`` answers that are not too small to be felt."""
    return [one for one in answer["troubles"] if one["gravity"] != _SMALL]


def line(one: Mapping[str, Any]) -> str:
    """A trouble without anything that a terminal obeys, and when it was."""
    return f"{visible(one['words'])}{_when(one)}"


def advised(found: Iterable[Mapping[str, Any]], width: int) -> list[str]:
    """Each, followed by where to look next, in lines of at most ``width`` columns."""
    said = []
    for one in found:
        said += [*wrapped(line(one), width), *below(visible(one["advice"]), width)]
    return said


def below(text: str, width: int) -> list[str]:
    """Lines of ``text`` below what it belongs to."""
    return wrap(text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of ``text`` in which names stay whole, the first one further left."""
    return wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


def small_words(count: int) -> str:
    """What stands instead of so many small troubles."""
    return f"{units.counted(count, 'small thing')}: flowgauge troubles --all"


def brief(api: Api, params: Params) -> list[str]:
    """The gravest troubles of what ``params`` choose, and how many more there are; raises what ``Api.get`` raises."""
    found = [line(one) for one in felt(api.get("troubles", params))]
    more = len(found) - SHOWN
    return [*found[:SHOWN], *([f"and {units.counted(more, 'trouble')} more: flowgauge troubles"] if more > 0 else [])]


def _when(one: Mapping[str, Any]) -> str:
    if not one["since_ms"]:
        return ""
    since, last = units.clock(one["since_ms"])[:8], units.clock(one["last_ms"])[:8]
    if not one["over"]:
        return f" (since {since})"
    return f" (at {since})" if since == last else f" (from {since} to {last})"
