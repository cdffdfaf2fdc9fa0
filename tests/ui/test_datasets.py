# SPDX-License-Identifier: Apache-2.0
"""A named dataset chosen in the page: old flows on the map and in the table, in the URL, and back to the live ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect
from site_kit import Site
from story import POSTGRES, PROBE, Talk, story

pytestmark = pytest.mark.browser

START_MS = 1_500_000_000_000
"""July 2017."""


@pytest.fixture(scope="module")
def incident(site: Site) -> Iterator[str]:
    """Five minutes of one conversation, years ago."""
    name = "incident-7"
    dataset = site.store.dataset(name)
    dataset.migrate()
    talks = (Talk(PROBE, POSTGRES, 5432, 6, 2_800, 4_100, "postgresql"),)
    dataset.write(story(START_MS, START_MS + 300_000, talks=talks), "incident")
    dataset.close()
    yield name
    site.store.remove_dataset(name)


def test_a_dataset_is_chosen_shown_over_all_its_time_and_left(page: Page, site: Site, incident: str) -> None:
    page.goto(site.url)
    page.get_by_role("button", name="Which flows").click()
    page.get_by_role("menuitem", name=incident).click()
    edges = page.locator(".fg-edge-label")
    expect(edges).to_have_count(1)
    expect(edges).to_have_attribute("aria-label", re.compile("^batch-import to postgresql, postgresql 5432"))
    query = parse_qs(urlsplit(page.url).query)
    assert (query["dataset"], query["from"]) == ([incident], [str(START_MS)])
    expect(page.locator("#fg-live")).to_be_disabled()
    expect(page.locator(".fg-panel-table .fg-panel-head")).to_contain_text("120 flows")
    page.locator(".fg-table tbody tr").first.get_by_role("button", name=re.compile("^Detail")).click()
    expect(page.locator(".fg-drawer .fg-sentence")).to_contain_text("sent")
    page.reload()
    expect(edges).to_have_count(1)
    page.get_by_role("button", name="Which flows").click()
    page.get_by_role("menuitem", name="Live flows").click()
    expect(page.locator("#fg-live")).to_be_enabled()
    expect(edges.nth(1)).to_be_visible()
