# SPDX-License-Identifier: Apache-2.0
"""Names as long as Kubernetes allows, no pointer, and flows without a signal, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from site_kit import SIZES, STARTED_BEFORE_MS
from story import DJANGO_A, DNS, POSTGRES, Talk, pod, story

from console_kit import running_console
from flowgauge.console.settings import ConsoleSettings
from flowgauge.schema.enums import TCP_STATE_FINAL, code
from store_kit import SECRET, now_ms, running_store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = pod("n" * 63, "w" * 253, "p" * 253, "10.128.9.9", "node-a")
REFUSED = Talk(LONG, POSTGRES, 5433, 6, 60, 60, more={"tcp_state_final": code(TCP_STATE_FINAL, "refused")})
COUNTED = Talk(DJANGO_A, DNS, 5432, 6, 900, 9_000)
"""Without a signal."""

_WIDER_THAN_ITS_BOX = """
all => all.filter(one => one.getBoundingClientRect().right > one.parentElement.getBoundingClientRect().right).length
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[str]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        store, now = process.open(), now_ms()
        began = now - STARTED_BEFORE_MS
        store.write(story(began, now, talks=(REFUSED, COUNTED)), "story")
        with running_console(ConsoleSettings(process.url, SECRET, cluster="demo")) as console:
            yield f"{console.url}/traffic?from={began}&to={now}&live=off"
        store.close()


@pytest.mark.parametrize("size", SIZES)
def test_the_longest_names_break_no_page(browser: Browser, url: str, size: str) -> None:
    """What is to be pressed stays where it can be, and titles of boxes stay within these."""
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.goto(url)
    details = page.get_by_role("region", name="What goes wrong").get_by_role("button", name="Details")
    expect(details).to_be_visible()
    box = details.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
    expect(page.locator(".fg-box-title").filter(has_text="n" * 63)).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    over = page.eval_on_selector_all(".fg-box-title", _WIDER_THAN_ITS_BOX)
    assert over == 0
    page.context.close()


def test_tab_leaves_the_filter_for_the_next_thing_to_press(page: Page, url: str) -> None:
    """The list of completions, which is open then, is no stop on the way."""
    page.goto(url)
    expect(page.locator(".fg-edge-label").first).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("listbox", name="Completions")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Earlier")).to_be_focused()


def test_a_trouble_is_read_and_followed_without_a_pointer(page: Page, url: str) -> None:
    page.goto(url)
    details = page.get_by_role("region", name="What goes wrong").get_by_role("button", name="Details")
    details.focus()
    page.keyboard.press("Enter")
    drawer = page.locator(".fg-drawer")
    expect(drawer).to_contain_text("Nobody listens at postgresql:5433")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    page.go_back()
    expect(drawer).to_be_visible()


def test_where_no_flow_has_signals_the_page_does_not_say_that_all_is_well(page: Page, url: str) -> None:
    page.goto(f"{url}&filter=port+%3D+5432")
    said = page.get_by_role("status").filter(has_text="Troubles cannot be seen: no flow of this time has signals")
    expect(said).to_be_visible()
    expect(said).not_to_contain_text("No trouble")
