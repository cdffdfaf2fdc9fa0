# SPDX-License-Identifier: Apache-2.0
"""The Exporters page in a real browser, before a real collector that real datagrams reach; and their flows in one table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import field_kit as field
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from site_kit import SIZES, THEMES, Theme, unreadable

from console_kit import running_console
from flowgauge.collector.main import CollectorProcess
from flowgauge.console.settings import ConsoleSettings
from store_kit import SECRET, StoreProcess, running_store

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True)
class Field:
    """A console before a collector, before the exporters of ``field_kit``."""

    url: str
    store: StoreProcess
    collector: CollectorProcess


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[Field]:
    with (
        running_store(tmp_path_factory.mktemp("store")) as store,
        field.collecting(store, tmp_path_factory.mktemp("collector")) as collector,
        running_console(ConsoleSettings(store.url, SECRET, collector_url=collector.url, cluster="demo")) as console,
    ):
        field.send_all(collector)
        field.until(lambda: sum(one["lost_records"] or 0 for one in field.told(collector)) == field.LOST)
        field.until(lambda: store.open().status().rows == field.STORED)
        yield Field(console.url, store, collector)


def rows(page: Page) -> Locator:
    return page.locator(".fg-exporters tbody tr:not(.fg-advice)")


def row(page: Page, text: str) -> Locator:
    return rows(page).filter(has=page.get_by_role("rowheader", name=text))


def visit(page: Page, url: str) -> None:
    page.goto(url)
    expect(rows(page).first).to_be_visible()


def names(page: Page) -> list[str]:
    return [re.split(r"\s", text)[0] for text in page.locator(".fg-exporters tbody th .fg-end-name").all_inner_texts()]


def test_each_device_is_one_row_that_says_how_its_flows_arrive(page: Page, site: Field) -> None:
    visit(page, f"{site.url}/exporters")
    expect(rows(page)).to_have_count(5)
    expect(row(page, "node-a")).to_contain_text("agent (IPFIX)")
    expect(row(page, "node-a")).to_contain_text("1:1 told by our agent")
    expect(row(page, "node-b")).to_contain_text("50 %")
    expect(row(page, field.ROUTER)).to_contain_text(re.compile(r"NetFlow v5.*1:100 told in each flow"))
    expect(row(page, field.SWITCH)).to_contain_text(re.compile(r"NetFlow v9.*1, 2.*1 h 0 min behind"))
    expect(row(page, field.SFLOW)).to_contain_text(re.compile(r"sFlow.*1:1\u202f000"))


def test_advice_stands_below_the_exporter_it_is_for(page: Page, site: Field) -> None:
    visit(page, f"{site.url}/exporters")
    below = "xpath=following-sibling::tr[1]"
    expect(row(page, field.SWITCH).locator(below)).to_contain_text("domain 2: its clock is 60 min behind")
    expect(row(page, "node-b").locator(below)).to_contain_text("50.0% of its records were lost")
    expect(page.locator(".fg-panel-head")).to_contain_text("5 exporters; 2 of them need a look")


def test_columns_sort_and_the_order_is_in_the_address(page: Page, site: Field) -> None:
    visit(page, f"{site.url}/exporters")
    page.get_by_role("button", name="Lost").click()
    expect(page.get_by_role("columnheader", name="Lost")).to_have_attribute("aria-sort", "descending")
    assert names(page)[0] == "node-b"
    page.get_by_role("button", name="Exporter", exact=True).click()
    expect(page.get_by_role("columnheader", name="Exporter")).to_have_attribute("aria-sort", "ascending")
    assert names(page) == [field.SFLOW, field.ROUTER, field.SWITCH, "node-a", "node-b"]
    page.reload()
    expect(rows(page).first).to_be_visible()
    assert names(page) == [field.SFLOW, field.ROUTER, field.SWITCH, "node-a", "node-b"]


def test_words_find_exporters_by_anything_shown(page: Page, site: Field) -> None:
    visit(page, f"{site.url}/exporters")
    page.keyboard.press("/")
    page.keyboard.type("netflow9 clock")
    expect(rows(page)).to_have_count(1)
    expect(row(page, field.SWITCH)).to_be_visible()
    page.keyboard.type(" nobody")
    expect(page.get_by_role("heading", name="No exporter like this")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(rows(page)).to_have_count(5)


def test_the_keyboard_alone_reaches_the_detail_and_the_flows(page: Page, site: Field) -> None:
    visit(page, f"{site.url}/exporters?sort=name")
    for key in ("j", "j", "Enter"):
        page.keyboard.press(key)
    drawer = page.locator(".fg-drawer")
    expect(drawer.get_by_role("heading", level=2)).to_have_text(field.ROUTER)
    expect(drawer.locator(".fg-sentence")).to_contain_text("sends NetFlow v5")
    page.keyboard.press("j")
    expect(drawer.get_by_role("heading", level=2)).to_have_text(field.SWITCH)
    expect(drawer.locator(".fg-domains tbody tr")).to_have_count(2)
    page.reload()
    expect(drawer.get_by_role("heading", level=2)).to_have_text(field.SWITCH)
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.get_by_role("combobox", name="Filter")).to_be_visible()


def test_a_row_leads_to_its_flows_with_the_names_of_its_interfaces(page: Page, site: Field) -> None:
    visit(page, f"{site.url}/exporters")
    row(page, field.SWITCH).get_by_role("link", name=f"Flows of {field.SWITCH}").click()
    expect(page.get_by_role("combobox", name="Filter")).to_have_value(f"exporter_addr = {field.SWITCH}")
    flows = page.locator(".fg-panel-table tbody tr")
    expect(flows.filter(has_text="Ethernet7").first).to_contain_text(re.compile(r"Ethernet7\s*→\s*Ethernet8"))
    page.go_back()
    expect(rows(page)).to_have_count(5)


def test_flows_of_routers_and_pods_answer_the_same_filter_in_one_table(page: Page, site: Field) -> None:
    page.goto(f"{site.url}/traffic?filter=port+%3D+443&live=off")
    flows = page.locator(".fg-panel-table tbody tr")
    expect(flows).to_have_count(4 * field.FLOWS + 1)
    for exporter in ("node-a", "node-b", field.ROUTER, field.SWITCH, field.SFLOW):
        expect(flows.filter(has_text=exporter).first).to_be_visible()


def test_when_the_collector_stops_answering_the_last_answer_stays_and_it_is_said(page: Page, site: Field) -> None:
    visit(page, f"{site.url}/exporters")
    gone = {"error": {"message": "the collector does not answer: it is gone"}}
    page.route("**/api/v1/exporters", lambda route: route.fulfill(status=503, json=gone))
    expect(page.get_by_text("Showing the last answer: the collector does not answer")).to_be_visible()
    expect(rows(page)).to_have_count(5)


def test_without_a_collector_the_page_says_why_there_is_nothing(page: Page, built: None) -> None:
    with running_console(ConsoleSettings("http://127.0.0.1:9", SECRET)) as console:
        page.goto(f"{console.url}/exporters")
        expect(page.get_by_text("this console was started without a collector")).to_be_visible()
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        page.close()


def test_a_collector_nobody_sends_to_says_how_to_begin(page: Page, site: Field, tmp_path: Path) -> None:
    with (
        field.collecting(site.store, tmp_path) as idle,
        running_console(ConsoleSettings(site.store.url, SECRET, collector_url=idle.url)) as console,
    ):
        page.goto(f"{console.url}/exporters")
        expect(page.get_by_role("heading", name="Nobody has sent anything yet")).to_be_visible()
        page.close()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_can_be_read(browser: Browser, site: Field, theme: Theme, size: str) -> None:
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
    visit(page, f"{site.url}/exporters")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    frame = page.locator(".fg-table-frame")
    assert frame.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
    assert unreadable(page) == []
    page.context.close()
