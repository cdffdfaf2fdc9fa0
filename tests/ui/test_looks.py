# SPDX-License-Identifier: Apache-2.0
"""How the page looks in both themes and at three widths: readable, nothing cut off, nothing on top of something else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect
from site_kit import SIZES, THEMES, Site, Theme, unreadable

pytestmark = pytest.mark.browser

_BOXES = """all => all.map(one => {
  const box = one.getBoundingClientRect();
  return [box.left, box.top, box.right, box.bottom];
})"""

_CUT = """all => all
  .filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 1)
  .map(one => one.className + ': ' + one.textContent)"""

_NAMELESS = """all => all
  .filter(one => !(one.ariaLabel || one.textContent.trim() || one.labels?.length))
  .map(one => one.outerHTML.slice(0, 120))"""


@dataclass(frozen=True)
class Look:
    """The page as it stands in one theme at one size."""

    page: Page
    width: int


def opened(browser: Browser, url: str, theme: Theme, size: tuple[int, int]) -> Page:
    width, height = size
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
    page.goto(url)
    for part in (".fg-edge-label", ".fg-panel-chart canvas", ".fg-table tbody tr"):
        expect(page.locator(part).first).to_be_visible()
    return page


@pytest.fixture(scope="module", params=[(theme, size) for theme in THEMES for size in SIZES], ids="-".join)
def look(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[Look]:
    theme, size = request.param
    page = opened(browser, site.url, theme, SIZES[size])
    yield Look(page, SIZES[size][0])
    page.context.close()


def test_the_page_is_never_wider_than_the_window(look: Look) -> None:
    assert look.page.evaluate("document.documentElement.scrollWidth") <= look.width


def test_labels_and_cards_of_the_map_do_not_overlap(look: Look) -> None:
    boxes = look.page.eval_on_selector_all(".fg-edge-chip, .fg-card", _BOXES)
    assert len(boxes) > 8
    assert [
        (a, b) for a, b in itertools.combinations(boxes, 2) if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ] == []


def test_no_text_of_map_and_masthead_is_cut(look: Look) -> None:
    parts = ".fg-card-title, .fg-edge-chip, .fg-port, .fg-box-title, .fg-masthead *, .fg-legend-rate"
    assert look.page.eval_on_selector_all(parts, _CUT) == []


@pytest.mark.parametrize("path", ["/traffic?live=off&tab=between", "/nodes", "/packets", "/exporters"])
def test_on_a_phone_all_pages_and_tabs_are_within_reach(browser: Browser, site: Site, path: str) -> None:
    width, height = SIZES["phone"]
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.goto(site.url + path)
    wanted = [page.locator(".fg-pages a")] + ([page.get_by_role("tab")] if "tab=" in path else [])
    for parts, count in zip(wanted, (4, 3), strict=False):
        expect(parts).to_have_count(count)
        boxes = parts.evaluate_all(_BOXES)
        assert [box for box in boxes if box[0] < 0 or box[2] > width] == []
        assert parts.evaluate_all(_CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("query", ["filter=namespace+%3D+flow-demo&open=completeness", "tab=conversations"])
def test_every_text_can_be_read(browser: Browser, site: Site, theme: Theme, query: str) -> None:
    page = opened(browser, f"{site.url}/traffic?{query}", theme, SIZES["laptop"])
    assert unreadable(page) == []
    page.context.close()


def test_the_theme_is_switched_and_kept(page: Page, site: Site) -> None:
    page.goto(site.url)
    dark = "() => document.documentElement.classList.contains('pf-v6-theme-dark')"
    assert not page.evaluate(dark)
    page.get_by_role("button", name="Use the dark theme").click()
    assert page.evaluate(dark)
    page.reload()
    expect(page.get_by_role("button", name="Use the light theme")).to_be_visible()
    assert page.evaluate(dark)


def test_every_control_has_a_name(page: Page, site: Site) -> None:
    page.goto(site.url + "/traffic?open=completeness")
    expect(page.locator(".fg-edge-label").first).to_be_visible()
    assert page.eval_on_selector_all("button, a[href], input, [role=button]", _NAMELESS) == []
