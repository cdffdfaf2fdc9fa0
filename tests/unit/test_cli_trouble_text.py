# SPDX-License-Identifier: Apache-2.0
"""Troubles as lines: each with its time, the first few beside something else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from flowgauge.cli import trouble_text

TROUBLE = {"words": "x", "advice": "look", "gravity": "failing", "over": False, "since_ms": 0, "last_ms": 0}
AT = int(datetime(2026, 1, 31, 10, 0).astimezone().timestamp()) * 1000


class Answering:
    """An API that answers with ``count`` troubles and a small one, and remembers what it was asked."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, path: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((path, params))
        found = [TROUBLE | {"words": f"trouble {number}"} for number in range(self._count)]
        return {"troubles": [*found, TROUBLE | {"gravity": "small"}]}


@pytest.mark.parametrize(
    ("since_ms", "last_ms", "over", "words"),
    [
        (AT, 0, False, "x (since 10:00:00)"),
        (AT, AT + 60_000, False, "x (since 10:00:00)"),
        (AT, AT + 60_000, True, "x (from 10:00:00 to 10:01:00)"),
        (AT, AT, True, "x (at 10:00:00)"),
        (0, 0, False, "x"),
    ],
)
def test_a_line_says_when(since_ms: int, last_ms: int, over: bool, words: str) -> None:  # noqa: FBT001
    assert trouble_text.line(TROUBLE | {"since_ms": since_ms, "last_ms": last_ms, "over": over}) == words


@pytest.mark.parametrize(("count", "last"), [(0, None), (3, "trouble 2"), (4, "and 1 trouble more: flowgauge troubles")])
def test_beside_something_else_the_first_three_are_enough(count: int, last: str | None) -> None:
    api = Answering(count)
    found = trouble_text.brief(api, {"filter": "port = 1"})  # type: ignore[arg-type]
    assert (found[-1] if found else None, len(found)) == (last, min(count, 4))
    assert api.asked == [("troubles", {"filter": "port = 1"})]


def test_what_a_terminal_obeys_is_shown_instead() -> None:
    """Names of both ends come from the network."""
    one = TROUBLE | {"words": "nobody listens at \x1b]0;gone\x07\u202edb"}
    assert trouble_text.line(one) == "nobody listens at \ufffd]0;gone\ufffd\ufffddb"


def test_below_each_stands_where_to_look_next_within_the_screen() -> None:
    one = TROUBLE | {"words": "slow", "advice": "see the \x1b way and the server"}
    assert trouble_text.advised([one], 20) == ["slow", "  see the \ufffd way and", "  the server"]


def test_small_things_are_counted() -> None:
    answer = {"troubles": [TROUBLE, TROUBLE | {"gravity": "small"}]}
    assert trouble_text.felt(answer) == [TROUBLE]
    assert [trouble_text.small_words(count) for count in (1, 2)] == [
        "1 small thing: flowgauge troubles --all",
        "2 small things: flowgauge troubles --all",
    ]
