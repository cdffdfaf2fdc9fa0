# SPDX-License-Identifier: Apache-2.0
"""What the shell may offer for a word of the command line: parts of a filter, columns, words of a list.

Called while a user waits for the Tab key: nothing is imported before it is needed, and a console that does not answer at once
is not waited for. A shell replaces the last word; a filter is that and all words before it, in quotes or not.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

ANSWER_S = 1.0
"""How long the running console may take to tell which values there are."""
_OBEYED = frozenset("$`\\'\"!;|&<>(){}*?")
"""What a shell obeys on its command line, and scripts of completion before it is there."""

_TYPED = "_TYPER_COMPLETE_ARGS"
"""Where zsh and fish put the command line up to the cursor."""


def close_open_quote() -> None:
    """Ends the last word where its quote is open; typer would take a blank at its end for that of the word itself."""
    line = os.environ.get(_TYPED, "")
    if line.endswith(" "):
        os.environ[_TYPED] = line + _open_quote(line)


def _open_quote(line: str) -> str:
    """What ends the last word; empty when it has ended, or is in no quotes."""
    for end in ("", "'", '"'):
        with contextlib.suppress(ValueError):
            shlex.split(line + end)
            return end
    return ""


def words(*choices: str) -> Callable[[str], list[str]]:
    """Completes a value that is one of ``choices``."""

    def complete(incomplete: str) -> list[str]:
        return [one for one in choices if one.startswith(incomplete)]

    return complete


def fault_kinds(incomplete: str) -> list[str]:
    """Completes a fault of the demo."""
    from flowgauge.demo.fault.kinds import KINDS

    return words(*KINDS)(incomplete)


def measures(incomplete: str) -> list[str]:
    """Completes what sums are ordered by."""
    from flowgauge.schema.flow_query import Measure

    return words(*Measure)(incomplete)


def column_list(incomplete: str) -> list[str]:
    """Completes the last of column names separated by commas."""
    from flowgauge.schema.column import Stored
    from flowgauge.schema.columns import COLUMNS

    before, comma, last = incomplete.rpartition(",")
    names = (column.name for column in COLUMNS if column.stored is not Stored.NEVER)
    return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in before.split(",")]


def filter_words(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completes the last word of a filter: a field, an operator, a value that flows have, ``and``."""
    before = "".join(f"{word} " for word in ctx.params.get("filter_") or ())
    if incomplete == "=":  # bash takes the operator of `port=` for the word before the cursor, and replaces what is behind it
        return _following(f"{before}= ", "")
    found = _following(before, incomplete)
    if len(found) == 1 and _offers(f"{before}{found[0]} ") and found[0] != incomplete:
        return _following(before, f"{found[0]} ")  # with what may come next, so that the shell does not end a quoted word here
    return found


def _following(before: str, incomplete: str) -> list[str]:
    """What may stand instead of the last word; shells take only what begins with it."""
    text = before + incomplete
    applied = (f"{text[: one['at']]}{one['insert']}".rstrip() for one in _offers(text))
    return list(dict.fromkeys(one[len(before) :] for one in applied if one.startswith(text)))


def _offers(text: str) -> Sequence[Mapping[str, Any]]:
    """What fits behind ``text``: the grammar's own, and values that the running console knows."""
    from dataclasses import asdict

    from flowgauge.schema import filters

    return [asdict(one) for one in filters.complete(text, len(text))] or _told_by_console(text)


def _told_by_console(text: str) -> Sequence[Mapping[str, Any]]:
    """The same of the instance that runs here; nothing when there is none, or it is slow.

    Values are names that came from the network, whose senders may be hostile: one with a meaning to shells is not offered.
    """
    import json
    from dataclasses import replace

    from flowgauge.cli.api import connect
    from flowgauge.errors import FlowgaugeError

    try:
        with replace(connect("", None), timeout_s=ANSWER_S).stream("complete", {"text": text}) as answer:
            offers: Sequence[Mapping[str, Any]] = json.load(answer)
    except (FlowgaugeError, OSError, ValueError):
        return ()
    return [one for one in offers if one["label"].isprintable() and not _OBEYED & set(one["label"])]
