# SPDX-License-Identifier: Apache-2.0
"""Before there is anything to see: no flow, no store, no build."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from story import story

from console_kit import Collector, running_console
from flowgauge.console.settings import ConsoleSettings
from store_kit import SECRET, StoreProcess, now_ms

pytestmark = pytest.mark.browser


@contextmanager
def opened(page: Page, settings: ConsoleSettings) -> Iterator[None]:
    """The page of a console of its own, left before the console ends: it would ask on, and report that nobody answers."""
    with running_console(settings) as console:
        page.goto(console.url)
        yield
        page.goto("about:blank")


def test_an_empty_store_says_what_is_missing_and_the_first_flow_shows_by_itself(
    page: Page, empty_store: StoreProcess, built: None
) -> None:
    with opened(page, ConsoleSettings(empty_store.url, SECRET)):
        expect(page.get_by_role("heading", name="Waiting for the first flow")).to_be_visible()
        expect(page.get_by_text("this console was started without a collector")).to_be_visible()
        expect(page.get_by_text("sudo make demo")).to_be_visible()
        store = empty_store.open()
        now = now_ms()
        store.write(story(now - 20_000, now), "first")
        expect(page.locator(".fg-edge-label").first).to_be_visible()
        store.close()


def test_a_store_that_does_not_answer_is_said_so_once_and_asked_again_until_it_does(page: Page, built: None) -> None:
    collector = Collector()
    with opened(page, ConsoleSettings("http://127.0.0.1:9", SECRET, collector_url=f"http://127.0.0.1:{collector.http.port}")):
        expect(page.get_by_role("alert")).to_contain_text("No answer has come yet. It is asked again every 5 s")
        expect(page.get_by_label("Map", exact=True).get_by_text("No answer yet")).to_be_visible()
        with page.expect_response(lambda answer: "/api/v1/flows" in answer.url) as again:
            pass
        assert again.value.status == 503
    collector.stop()


def test_a_console_that_is_not_built_says_how_to_build_it(page: Page, empty_store: StoreProcess, tmp_path: Path) -> None:
    with opened(page, ConsoleSettings(empty_store.url, SECRET, static_dir=str(tmp_path))):
        expect(page.locator("body")).to_contain_text("make ui")
