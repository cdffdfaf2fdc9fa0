# SPDX-License-Identifier: Apache-2.0
"""Troubles as lines: each with its time, the first few beside something else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from flowgauge.cli import trouble_text

AT = int(datetime(2026, 1, 31, 10, 0).astimezone().timestamp()) * 1000
END = AT + 130_000


class Answering:
    """An API that answers with ``count`` troubles, and remembers what it was asked."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, path: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((path, params))
        return {"troubles": [{"words": f"trouble {number}"} for number in range(self._count)], "window": {"to_ms": END}}


@pytest.mark.parametrize(
    ("since_ms", "last_ms", "words"),
    [
        (AT, 0, "x (since 10:00:00)"),
        (AT, END - 5000, "x (since 10:00:00)"),
        (AT, AT + 60_000, "x (from 10:00:00 to 10:01:00)"),
        (AT, AT, "x (at 10:00:00)"),
        (0, 0, "x"),
    ],
)
def test_a_line_says_when(since_ms: int, last_ms: int, words: str) -> None:
    answer = {"troubles": [{"words": "x", "since_ms": since_ms, "last_ms": last_ms}], "window": {"to_ms": END}}
    assert trouble_text.lines(answer) == [words]


@pytest.mark.parametrize(("count", "last"), [(0, None), (3, "trouble 2"), (4, "and 1 trouble more: flowgauge troubles")])
def test_beside_something_else_the_first_three_are_enough(count: int, last: str | None) -> None:
    api = Answering(count)
    found = trouble_text.brief(api, {"filter": "port = 1"})  # type: ignore[arg-type]
    assert (found[-1] if found else None, len(found)) == (last, min(count, 4))
    assert api.asked == [("troubles", {"filter": "port = 1"})]


def test_what_a_terminal_obeys_is_shown_instead() -> None:
    """Names of both ends come from the network."""
    answer = {"troubles": [{"words": "nobody listens at \x1b]0;gone\x07\u202edb"}], "window": {"to_ms": END}}
    assert trouble_text.lines(answer) == ["nobody listens at \ufffd]0;gone\ufffd\ufffddb"]


def test_below_each_stands_where_to_look_next_within_the_screen() -> None:
    one = {"words": "slow", "advice": "see the \x1b way and the server", "since_ms": 0, "last_ms": 0}
    found = trouble_text.advised({"troubles": [one], "window": {"to_ms": END}}, 20)
    assert found == ["slow", "  see the \ufffd way and", "  the server"]
