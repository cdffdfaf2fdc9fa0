# SPDX-License-Identifier: Apache-2.0
"""What goes on, what is over and what is too small to be felt, in a real browser: above all, on the map and in the lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from site_kit import SIZES, STARTED_BEFORE_MS, THEMES, Theme, unreadable
from story import DJANGO_A, METRICS, POSTGRES, PROBE, STORY, Talk, story

from console_kit import running_console
from flowgauge.console.settings import ConsoleSettings
from flowgauge.schema.enums import TCP_STATE_FINAL, code
from store_kit import SECRET, now_ms, running_store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OVER_S = 200
"""How long before now the last packet of the probe was dropped."""

WELL = tuple(replace(talk, more={name: value for name, value in talk.more.items() if name != "retransmits"}) for talk in STORY)
REFUSED = Talk(DJANGO_A, POSTGRES, 5433, 6, 60, 60, more={"tcp_state_final": code(TCP_STATE_FINAL, "refused")})
DROPPED = Talk(PROBE, POSTGRES, 5434, 6, 9_000, 900, more={"drop_packets": 7, "drop_cause": "NETFILTER_DROP"})
STRAY = Talk(METRICS, DJANGO_A, 8080, 6, 9_000, 900)
LATE = replace(STRAY, more={"drop_packets": 1, "drop_cause": "TCP_RFC7323_PAWS"})


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[str]:
    """The page at a fixed time range: nothing depends on how long the tests take.

    At its end Django is refused, what the probe suffered is over, and two packets of Prometheus came too late.
    """
    with running_store(tmp_path_factory.mktemp("store")) as process:
        store, now = process.open(), now_ms()
        began = now - STARTED_BEFORE_MS
        store.write(story(began, now, talks=(*WELL, STRAY, REFUSED)), "well")
        store.write(story(began, now - OVER_S * 1000, talks=(DROPPED,)), "over")
        store.write(story(now - 10_000, now - 5_000, talks=(LATE,)), "late")
        with running_console(ConsoleSettings(process.url, SECRET, cluster="demo")) as console:
            yield f"{console.url}/traffic?from={began}&to={now}&live=off"
        store.close()


def troubles(page: Page) -> Locator:
    return page.get_by_role("region", name="What goes wrong")


def line(page: Page, port: int) -> Locator:
    return page.locator(".fg-edge-label").filter(has_text=str(port))


def test_what_goes_on_comes_first_and_what_is_over_is_said_so_everywhere(page: Page, url: str) -> None:
    page.goto(f"{url}&filter=port+in+(5433,5434)")
    said = troubles(page).get_by_role("listitem")
    expect(said).to_have_count(2)
    expect(said.first).to_contain_text("Nobody listens at postgresql:5433")
    expect(said.first.get_by_label("failing")).to_be_visible()
    expect(said.last.get_by_label("over")).to_be_visible()
    expect(said.last).to_contain_text(re.compile(r"from \d+:\d\d:\d\d to \d+:\d\d:\d\d, not since"))
    expect(line(page, 5433)).to_have_class(re.compile("fg-edge-label-failing"))
    expect(line(page, 5434)).to_have_class(re.compile("fg-edge-label-over"))
    colours = [
        page.locator(f".fg-edge-{health}").evaluate("one => getComputedStyle(one).color") for health in ("over", "failing")
    ]
    assert colours[0] != colours[1]
    page.get_by_role("tab", name="Conversations").click()
    row = page.locator(".fg-panel-table tbody tr").filter(has_text="5434")
    expect(row.locator(".fg-remarks")).to_have_text(re.compile(r"\d+ dropped.*over"))
    expect(row.locator(".fg-bad")).to_have_count(0)
    row.get_by_role("button", name=re.compile("^Detail")).click()
    drawer = page.locator(".fg-drawer")
    expect(drawer).to_contain_text("not since")
    expect(drawer.locator(".fg-bad")).to_have_count(0)


def test_what_is_too_small_to_be_felt_is_folded_and_colours_nothing(page: Page, url: str) -> None:
    page.goto(f"{url}&filter=port+%3D+8080")
    expect(page.get_by_role("status").filter(has_text="No trouble now.")).to_be_visible()
    expect(troubles(page).get_by_role("listitem")).to_have_count(0)
    for label in page.locator(".fg-edge-label").all():
        expect(label).to_have_class(re.compile("fg-edge-label-fine"))
    troubles(page).get_by_role("button", name="1 small thing").click()
    said = troubles(page).get_by_role("listitem")
    expect(said).to_contain_text("TCP_RFC7323_PAWS")
    expect(said.get_by_label("small")).to_be_visible()
    troubles(page).get_by_role("button", name="Hide small things").click()
    expect(said).to_have_count(0)


def test_small_things_do_not_stand_among_real_ones(page: Page, url: str) -> None:
    page.goto(url)
    expect(troubles(page).get_by_role("listitem")).to_have_count(2)
    expect(troubles(page)).not_to_contain_text("PAWS")
    expect(troubles(page).get_by_role("button", name="1 small thing")).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_can_be_read(browser: Browser, url: str, theme: Theme, size: str) -> None:
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
    page.goto(url.partition("?")[0] + "?since=1h&live=off")
    troubles(page).get_by_role("button", name="1 small thing").click()
    expect(troubles(page).get_by_role("listitem")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert unreadable(page) == []
    page.context.close()
