# SPDX-License-Identifier: Apache-2.0
"""For browser tests: a real store with the demo's story in it, the console before it, and a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from site_kit import BROWSER_OPTIONS, CHROMIUM, PATIENCE_MS, STARTED_BEFORE_MS, Site, ledger, noon_zone
from story import story

from console_kit import Collector, running_console
from flowgauge.console.routes.static import BUILT
from flowgauge.console.settings import ConsoleSettings
from store_kit import SECRET, StoreProcess, now_ms, running_store

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def built() -> None:
    """The page; `make ui` builds it."""
    assert (BUILT / "index.html").is_file(), "the console is not built: make ui"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store without a flow."""
    with running_store(tmp_path_factory.mktemp("empty")) as process:
        yield process


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[Site]:
    """The story of the last ten minutes, for each file its own since pages show 15, and a collector that sends on request."""
    collector = Collector()
    with running_store(tmp_path_factory.mktemp("store")) as process:
        store = process.open()
        now = now_ms()
        store.write(story(now - STARTED_BEFORE_MS, now), "story")
        store.write_ledger(ledger())
        settings = ConsoleSettings(process.url, SECRET, cluster="demo", collector_url=f"http://127.0.0.1:{collector.http.port}")
        with running_console(settings) as console:
            yield Site(console.url, store, collector)
        store.close()
    collector.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file: as long as it is there, an event loop runs in this thread, and other tests can start none."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(BROWSER_OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of 1280 × 800, where it is about noon, that fails the test on any error in the page's console."""
    allowed = ["clipboard-read", "clipboard-write"]
    context = browser.new_context(viewport={"width": 1280, "height": 800}, permissions=allowed, timezone_id=noon_zone())
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield tab
    context.close()
    assert [text for text in problems if not _expected(text)] == []


def _expected(text: str) -> bool:
    """The browser itself reports answers that are no success: a wrong filter (400), nothing live (404, 503), nobody (502)."""
    return any(f"status of {status}" in text for status in (400, 404, 502, 503))
