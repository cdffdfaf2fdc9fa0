# SPDX-License-Identifier: Apache-2.0
"""The history of nodes in a real browser: which is ill and since when, with figures by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from site_kit import SIZES, THEMES, Theme, unreadable
from story import story

from console_kit import running_console
from flowgauge.console.settings import ConsoleSettings
from flowgauge.store.store import KERNEL, LedgerRow
from store_kit import SECRET, now_ms, running_store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TELL_MS, BEGAN_MS, ILL_MS, GAP_MS = 10_000, 14 * 60_000, 6 * 60_000, (9 * 60_000, 7 * 60_000)
"""Before now: how long nodes have told every 10 s, since when node-b drops, and when node-b was not heard."""
DROPS, FULL = 40, 900
SILENT_MS = 4 * 60_000
STEP_MS, LEFT_MS = 30_000, 5_000
"""Of the page's steps, and what the last one lacks: two tells are in it whenever the test runs."""


def told(now: int) -> list[LedgerRow]:
    """node-a is well, node-b drops since ``ILL_MS``, node-c dropped once and is silent, node-d has just begun."""
    rows = []
    for before in range(BEGAN_MS, 0, -TELL_MS):
        at = now - before
        ill = max(0, (ILL_MS - before) // TELL_MS + 1) if before <= ILL_MS else 0
        if not GAP_MS[1] < before < GAP_MS[0]:
            tracked = FULL if before <= ILL_MS else 200
            rows += _node(at, "node-b", tracked, {"device_in_dropped_packets@eth0": 100_000 + DROPS * ill})
        rows += _node(at, "node-a", 212 + before // TELL_MS % 7, {})
        if before >= SILENT_MS:
            rows += _node(at, "node-c", 100, {"listen_overflows": 9 * (before < 2 * SILENT_MS)})
    return [*rows, *_node(now - 1_000, "node-d", 30, {})]


def _node(at: int, node: str, tracked: int, more: dict[str, int]) -> list[LedgerRow]:
    counters = {"conntrack_entries": tracked, "conntrack_entries_max": 1000, "listen_overflows": 0, **more}
    return [LedgerRow(at, KERNEL, node, name, value) for name, value in counters.items()]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[str]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        store, now = process.open(), now_ms() // STEP_MS * STEP_MS - LEFT_MS
        store.write(story(now - BEGAN_MS, now), "story")
        store.write_ledger(told(now))
        with running_console(ConsoleSettings(process.url, SECRET, cluster="demo")) as console:
            yield f"{console.url}/nodes?from={now - 15 * 60_000}&to={now}"
        store.close()


def row(page: Page, name: str) -> Locator:
    return page.locator(".fg-node-rows tbody tr").filter(has=page.get_by_role("rowheader", name=name))


def chart(page: Page, name: str) -> Locator:
    return page.locator(".fg-drawer").get_by_role("slider", name=name)


def point_at(one: Locator, part: float) -> None:
    """Puts the mouse at this part of a chart's width, wherever it is now."""
    box = one.bounding_box()
    assert box is not None
    one.hover(position={"x": box["width"] * part, "y": box["height"] / 2})


def test_the_ill_node_stands_out_with_since_when(page: Page, url: str) -> None:
    page.goto(url)
    ill, past = row(page, "node-b").locator(".fg-when"), row(page, "node-c").locator(".fg-when")
    expect(ill).to_have_text(re.compile(r"^since \d\d:\d\d:\d\d$"))
    expect(past).to_have_text(re.compile(r"^\d\d:\d\d:\d\d – \d\d:\d\d:\d\d$"))
    expect(row(page, "node-a").locator(".fg-when")).to_have_text("none")
    assert 11 <= ill.locator(".fg-bar").count() <= 13, "6 minutes of 30 s"
    assert past.locator(".fg-bar").count() == 1
    assert ill.locator(".fg-bar-bad").count() == ill.locator(".fg-bar").count()
    heights = [one.bounding_box()["height"] for one in (ill.locator(".fg-bar").nth(4), past.locator(".fg-bar").first)]  # type: ignore[index]
    assert heights[0] > 2 * heights[1], "all nodes have one scale"


def test_a_bars_figure_is_told_by_the_mouse_and_by_the_arrow_keys(page: Page, url: str) -> None:
    page.goto(f"{url}&open=node-b")
    drops = chart(page, "Packets that the node's interfaces dropped")
    expect(drops).to_have_attribute(
        "aria-valuetext", re.compile(r"^1\u202f[34]\d0, since \d\d:\d\d:\d\d, at most 120 in 30 s$")
    )
    drops.focus()
    for key, said in (
        ("Home", "nothing was heard"),
        ("End", "80 in 30 s"),
        ("ArrowLeft", "120 in 30 s"),
        ("ArrowLeft", "120 in 30 s"),
    ):
        page.keyboard.press(key)
        expect(drops).to_have_attribute("aria-valuetext", re.compile(rf"^\d\d:\d\d:\d\d: {said}$"))
    expect(page.locator(".fg-drawer")).to_contain_text("120 in 30 s")
    page.keyboard.press("Tab")
    tracked = chart(page, "Room of connection tracking that was taken")
    expect(tracked).to_be_focused()
    page.mouse.move(0, 0)
    expect(page.locator(".fg-drawer").get_by_role("slider")).to_have_count(4)  # what comes later moves the others
    point_at(tracked, 0.85)
    expect(tracked).to_have_attribute("aria-valuetext", re.compile(r"^\d\d:\d\d:\d\d: 90 %$"))
    point_at(tracked, 0.47)
    expect(tracked).to_have_attribute("aria-valuetext", re.compile(r"^\d\d:\d\d:\d\d: nothing was heard$"))
    page.mouse.move(0, 0)
    page.keyboard.press("Escape")
    expect(page.locator(".fg-drawer")).to_have_count(0)


def test_what_a_node_received_and_sent_is_beside_what_it_dropped(page: Page, url: str) -> None:
    page.goto(f"{url}&open=node-a")
    for name in ("Received by its pods and itself", "Sent by its pods and itself"):
        expect(chart(page, name)).to_have_attribute("aria-valuetext", re.compile(r"^[\d.]+ [kM]?B/s on average, at most "))
    expect(page.locator(".fg-drawer")).to_contain_text("Drops of interfaces, errors, full CPU queues, full listeners,")


@pytest.mark.parametrize(("node", "words"), [
    ("node-d", "There is no history of it yet: its agent was heard first at about"),
    ("node-b", re.compile(r"Nothing was heard of it in [3-5] steps of 30 s, which are grey")),
    ("node-a", re.compile(r"It was heard first at about \d\d:\d\d:\d\d; before that there is nothing of it")),
])  # fmt: skip
def test_where_there_is_no_history_it_is_said(page: Page, url: str, node: str, words: str | re.Pattern[str]) -> None:
    page.goto(f"{url}&open={node}" if node != "node-b" else re.sub(r"from=\d+", f"from={_later(url)}", url) + f"&open={node}")
    expect(page.locator(".fg-drawer")).to_contain_text(words)


def _later(url: str) -> int:
    return int(url.partition("to=")[2]) - 13 * 60_000


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_can_be_read(browser: Browser, url: str, theme: Theme, size: str) -> None:
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
    page.goto(f"{url}&open=node-b")
    expect(page.locator(".fg-drawer").get_by_role("slider")).to_have_count(4)
    chart(page, "Sent by its pods and itself").focus()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawer = page.locator(".fg-drawer-body")
    assert drawer.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
    frame = page.locator(".fg-table-frame")
    assert frame.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
    assert unreadable(page) == []
    page.context.close()
