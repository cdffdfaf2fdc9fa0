# SPDX-License-Identifier: Apache-2.0
"""What of the map is seen: all of it, also of what appears later and on a phone, until the user chooses a part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from site_kit import SIZES, STARTED_BEFORE_MS
from story import OUTSIDE, STORY, Talk, Who, pod, story

from console_kit import running_console
from flowgauge.console.settings import ConsoleSettings
from flowgauge.store.store import FlowStore
from store_kit import SECRET, now_ms, running_store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOPS = [
    pod(f"shop-{number}", f"shop-front-{number}", f"shop-front-{number}-abc", f"10.128.3.{number}", "node-a")
    for number in range(8)
]
LATER = [Talk(OUTSIDE, shop, 8443, 6, 2_000, 9_000) for shop in SHOPS[:2]]
MANY = [Talk(shop, SHOPS[0], 9000 + number, 6, 800, 700) for number, shop in enumerate(SHOPS)]
PARTNER = Who("198.51.100.40", {"subnet": "EXT:partner"})

_OUTSIDE_FRAME = """() => {
  const frame = document.querySelector('.fg-map-frame').getBoundingClientRect();
  return [...document.querySelectorAll('.fg-card')].filter(one => {
    const box = one.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  }).map(one => one.ariaLabel);
}"""

_AT_REST = """one => new Promise(rest => {
  let before = '', still = 0;
  const look = () => {
    const now = `${one.scrollLeft} ${one.scrollTop}`;
    still = now === before ? still + 1 : 0;
    before = now;
    if (still > 20) rest(); else requestAnimationFrame(look);
  };
  look();
})"""
"""Waits until the frame has not been scrolled for some frames of the screen."""

_UNDER_BUTTONS = """() => {
  const buttons = document.querySelector('.fg-map-zoom').getBoundingClientRect();
  const others = document.querySelectorAll('.fg-card, .fg-panel-map h2, .fg-panel-map .fg-panel-head p');
  return [...others].filter(one => {
    const box = document.createRange(); box.selectNodeContents(one);
    const seen = one.matches('.fg-card') ? one.getBoundingClientRect() : box.getBoundingClientRect();
    return seen.left < buttons.right && seen.right > buttons.left && seen.top < buttons.bottom && seen.bottom > buttons.top;
  }).map(one => one.textContent);
}"""


class Shown:
    """A console before a store of its own, whose traffic grows."""

    def __init__(self, url: str, store: FlowStore) -> None:
        self.url, self.store = url, store

    def more(self, *talks: Talk) -> None:
        """These talk, too, from a minute ago on."""
        now = now_ms()
        self.store.write(story(now - 60_000, now, talks=talks), f"more-{now}")


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[Shown]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        store, now = process.open(), now_ms()
        store.write(story(now - STARTED_BEFORE_MS, now, talks=STORY), "story")
        with running_console(ConsoleSettings(process.url, SECRET, cluster="demo")) as console:
            yield Shown(console.url, store)
        store.close()


def cards(page: Page, count: int) -> None:
    expect(page.locator(".fg-card")).to_have_count(count)


def nothing(page: Page, wrong: str) -> None:
    """Waits until what a function of the page finds wrong is nothing: cards are there before the map has its size."""
    page.wait_for_function(f"({wrong})().length === 0")


def scale(page: Page) -> str:
    return str(page.locator(".fg-map-scaled").evaluate("one => one.style.transform"))


FIRST = 6
"""Cards of the story: the office, Django, PostgreSQL, DNS, the neighbour, the monitoring."""


def test_what_appears_later_is_seen_at_once(site: Shown, page: Page) -> None:
    page.goto(site.url)
    cards(page, FIRST)
    nothing(page, _OUTSIDE_FRAME)
    site.more(*LATER)
    cards(page, FIRST + 2)
    nothing(page, _OUTSIDE_FRAME)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 700), (390, 800)])
def test_nothing_lies_under_the_buttons(site: Shown, page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    site.more(*LATER, *MANY)
    page.goto(site.url)
    cards(page, FIRST + len(SHOPS))
    nothing(page, _UNDER_BUTTONS)


def test_what_the_user_chose_stays_until_all_is_asked_for(site: Shown, page: Page) -> None:
    page.goto(site.url)
    cards(page, FIRST)
    for _ in range(4):
        page.get_by_role("button", name="Larger map").click()
    frame = page.locator(".fg-map-frame")
    frame.hover()
    page.mouse.wheel(140, 90)
    page.wait_for_function("document.querySelector('.fg-map-frame').scrollTop > 0")
    frame.evaluate(_AT_REST)
    chosen, card = scale(page), page.get_by_role("button", name="postgresql, Deployment")
    before = card.bounding_box()
    site.more(*LATER)
    cards(page, FIRST + 2)
    assert scale(page) == chosen
    assert before is not None
    assert card.bounding_box() == pytest.approx(before, abs=1)
    page.get_by_role("button", name="Fit the map").click()
    expect(page.get_by_role("button", name="Fit the map")).to_be_disabled()
    nothing(page, _OUTSIDE_FRAME)


def test_of_a_map_too_large_for_its_frame_the_trouble_is_seen_first(site: Shown, page: Page) -> None:
    site.more(*LATER, *MANY)
    page.goto(site.url)
    cards(page, FIRST + len(SHOPS))
    outside = page.evaluate(_OUTSIDE_FRAME)
    assert [name for name in outside if name.startswith(("batch-import", "postgresql"))] == []


def test_on_a_phone_the_whole_map_is_seen_at_a_size_to_be_read(site: Shown, browser: Browser) -> None:
    site.more(Talk(PARTNER, SHOPS[0], 8443, 6, 500, 900), *LATER)
    width, height = SIZES["phone"]
    page = browser.new_context(viewport={"width": width, "height": height}, has_touch=True, is_mobile=True).new_page()
    page.goto(site.url)
    cards(page, FIRST + 3)
    nothing(page, _OUTSIDE_FRAME)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".fg-card-title").first.evaluate("one => one.getBoundingClientRect().height") > 11
    page.context.close()
