# SPDX-License-Identifier: Apache-2.0
"""The Nodes page in a real browser, its ways to and from the traffic, and peers called by what their clients resolved."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from site_kit import SIZES, STARTED_BEFORE_MS, THEMES, Theme, unreadable
from story import DJANGO_A, STORY, Talk, Who, story

from console_kit import running_console
from flowgauge.console.settings import ConsoleSettings
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import DEFAULT_GROUPS
from flowgauge.store.store import KERNEL, FlowStore, LedgerRow
from store_kit import SECRET, now_ms, running_store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SILENT_S = 180
"""How long before now node-b was heard last."""

CPU_FULL = re.compile(r"node-c: 1[2-9]\d packets found a CPU's queue full")
"""What node-c drops in every test."""

API = Who("198.51.100.7", {"dns_name": "api.payments.example", "subnet": "EXT:internet"})
OTHER = Who("198.51.100.99", {"subnet": "EXT:internet"})
PEERS = (*STORY, Talk(DJANGO_A, API, 443, 6, 3_000, 9_000), Talk(DJANGO_A, OTHER, 443, 6, 2_000, 4_000))


@dataclass(frozen=True)
class Cluster:
    """A console before a store that knows four nodes."""

    url: str
    store: FlowStore
    dropped: Iterator[int]


def kernels(now: int) -> list[LedgerRow]:
    """node-a is well, node-c drops and is nearly full, node-d did so once, node-b is silent since ``SILENT_S``."""
    began, heard = now - STARTED_BEFORE_MS, now - SILENT_S * 1000
    moved = {
        "cpu_dropped_packets": 120, "udp_receive_overflows": 7, "device_out_dropped_packets@eth0": 45,
        "device_in_error_packets@bond0.4094": 1,
    }  # fmt: skip
    rows = [LedgerRow(at, KERNEL, node, "conntrack_entries_max", 1000) for node in ("node-a", "node-c") for at in (began, now)]
    rows += [LedgerRow(at, KERNEL, "node-d", "listen_overflows", 9 * (at > began)) for at in (began, heard)]
    rows += [LedgerRow(at, KERNEL, "node-b", "listen_overflows", 3) for at in (began, heard)]
    rows += [LedgerRow(now, KERNEL, node, "conntrack_entries", value) for node, value in (("node-a", 212), ("node-c", 930))]
    return rows + [
        LedgerRow(at, KERNEL, "node-c", name, value * (at == now)) for name, value in moved.items() for at in (began, now)
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[Cluster]:
    groups = ",".join((*DEFAULT_GROUPS, Stored.DNS))
    with running_store(tmp_path_factory.mktemp("store"), "--groups", groups) as process:
        store, now = process.open(), now_ms()
        store.write(story(now - STARTED_BEFORE_MS, now, talks=PEERS), "story")
        store.write_ledger(kernels(now))
        with running_console(ConsoleSettings(process.url, SECRET, cluster="demo")) as console:
            yield Cluster(console.url, store, itertools.count())
        store.close()


@pytest.fixture(autouse=True)
def heard(site: Cluster) -> None:
    """The agents of all but node-b go on telling while tests take their time, and node-c goes on dropping."""
    told = [LedgerRow(now_ms(), KERNEL, node, "conntrack_entries_max", 1000) for node in ("node-a", "node-c")]
    told += [LedgerRow(now_ms(), KERNEL, "node-d", "listen_overflows", 9)]
    site.store.write_ledger([*told, LedgerRow(now_ms(), KERNEL, "node-c", "cpu_dropped_packets", 120 + next(site.dropped))])


def rows(page: Page) -> Locator:
    return page.locator(".fg-node-rows tbody tr:not(.fg-advice)")


def row(page: Page, name: str) -> Locator:
    return rows(page).filter(has=page.get_by_role("rowheader", name=name))


def visit(page: Page, url: str) -> None:
    page.goto(url)
    expect(rows(page).first).to_be_visible()


def test_what_needs_a_look_comes_first_in_words_with_what_to_do(page: Page, site: Cluster) -> None:
    visit(page, f"{site.url}/nodes")
    assert page.locator(".fg-node-rows tbody th").all_inner_texts() == ["node-b", "node-c", "node-d", "node-a"]
    below = row(page, "node-c").locator("xpath=following-sibling::tr[1]")
    expect(below).to_contain_text(re.compile(r"Connection tracking is 93 % full: 930 of 1,000 fullest at \d+:\d\d:\d\d"))
    expect(below).to_contain_text(re.compile(r"1[2-9]\d packets found a CPU's queue full last at"))
    expect(below).to_contain_text("net.core.netdev_max_backlog")
    expect(below).to_contain_text("and 2 more signs")
    expect(row(page, "node-a").locator("xpath=following-sibling::tr[1]")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text(
        "node-c dropped packets or had no room for them in the last 15 minutes; node-b is not heard any more; what node-d "
        "dropped or had no room for in the last 15 minutes is over; nothing was dropped and no queue was full on 1 of 4 nodes."
    )


def test_what_is_over_is_said_so_and_leads_to_the_traffic_of_then(page: Page, site: Cluster) -> None:
    visit(page, f"{site.url}/nodes")
    assert row(page, "node-d").locator(".fg-bad").count() == 0
    assert row(page, "node-c").locator(".fg-bad").count() > 0
    below = row(page, "node-d").locator("xpath=following-sibling::tr[1]")
    expect(below).to_contain_text(
        re.compile(r"9 connections found a listener's queue full over: last at \d+:\d\d:\d\d, \d+ min \d+ s ago")
    )
    below.get_by_role("link", name="Traffic then").click()
    expect(page.get_by_role("combobox", name="Filter")).to_have_value("node = node-d")
    query = parse_qs(urlsplit(page.url).query)
    assert int(query["to"][0]) - int(query["from"][0]) == 120_000
    page.go_back()
    expect(rows(page)).to_have_count(4)


def test_a_silent_node_is_said_and_leads_to_its_agent(page: Page, site: Cluster) -> None:
    visit(page, f"{site.url}/nodes")
    expect(row(page, "node-b").locator("xpath=following-sibling::tr[1]")).to_contain_text("Its agent was heard last at")
    row(page, "node-b").get_by_role("button", name="Detail: node-b").click()
    page.locator(".fg-drawer").get_by_role("link", name="Its agent").click()
    expect(page.get_by_role("textbox", name="Find exporters")).to_have_value("node-b")


def test_the_keyboard_alone_reaches_a_nodes_counters_and_its_traffic(page: Page, site: Cluster) -> None:
    visit(page, f"{site.url}/nodes")
    for key in ("j", "j", "Enter"):
        page.keyboard.press(key)
    drawer = page.locator(".fg-drawer")
    expect(drawer.get_by_role("heading", level=2)).to_have_text("node-c")
    expect(drawer).to_contain_text(re.compile(r"eth0\s*0\s*45\s*0\s*0"))
    for name in ("node-d", "node-a"):
        page.keyboard.press("j")
        expect(drawer.get_by_role("heading", level=2)).to_have_text(name)
    expect(drawer).to_contain_text("node-a dropped nothing and had room for everything.")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.get_by_role("combobox", name="Filter")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("n")
    expect(rows(page)).to_have_count(4)


def test_the_traffic_says_what_nodes_dropped_and_leads_there_at_the_same_time(page: Page, site: Cluster) -> None:
    page.goto(f"{site.url}/traffic?since=1h")
    said = page.get_by_role("region", name="What nodes had no room for").get_by_role("listitem")
    expect(said).to_have_count(2)
    expect(said.first).to_contain_text(CPU_FULL)
    expect(said.last).to_contain_text(re.compile(r"node-d: .* over: last at \d+:\d\d:\d\d"))
    said.get_by_role("link", name="Node node-c").click()
    expect(page.locator(".fg-drawer").get_by_role("heading", level=2)).to_have_text("node-c")
    assert "since=1h" in page.url
    page.locator(".fg-drawer").get_by_role("link", name="Its traffic").click()
    expect(page.get_by_role("combobox", name="Filter")).to_have_value("node = node-c")


def test_a_flow_says_what_its_nodes_dropped_then(page: Page, site: Cluster) -> None:
    page.goto(f"{site.url}/traffic?filter=src_owner+%3D+postgresql&live=off")
    page.locator(".fg-panel-table tbody tr").first.get_by_role("button", name=re.compile("^Detail")).click()
    note = page.locator(".fg-drawer .fg-node-note")
    expect(note).to_contain_text(CPU_FULL)
    expect(note.get_by_role("link")).to_have_attribute("href", re.compile(r"/nodes\?from=\d+&to=\d+&open=node-c"))


def test_a_peer_goes_by_what_its_client_resolved_and_the_rest_by_subnet(page: Page, site: Cluster) -> None:
    page.goto(f"{site.url}/traffic?live=off")
    card = page.get_by_role("button", name=re.compile("api.payments.example, name from DNS, serves"))
    expect(card).to_be_visible()
    expect(page.locator(".fg-legend")).to_contain_text("django-psql-example → api.payments.example")
    card.click()
    expect(page.locator(".fg-drawer")).to_contain_text("api.payments.example serves 1 client")
    page.get_by_role("button", name="Show only its traffic").click()
    flows = page.locator(".fg-panel-table tbody tr")
    expect(flows.first).to_be_visible()
    expect(flows.filter(has_not_text="api.payments.example")).to_have_count(0)
    page.goto(f"{site.url}/traffic?live=off&open=node~%2FSubnet%2FEXT%3Ainternet")
    page.get_by_role("button", name="Show only its traffic").click()
    expect(flows.filter(has_text="internet").first).to_be_visible()
    expect(flows.filter(has_text="api.payments.example")).to_have_count(0)


def test_when_the_store_stops_answering_the_last_answer_stays_and_it_is_said(page: Page, site: Cluster) -> None:
    visit(page, f"{site.url}/nodes")
    gone = {"error": {"message": "the store does not answer"}}
    page.route("**/api/v1/nodes?*", lambda route: route.fulfill(status=503, json=gone))
    expect(page.get_by_role("alert")).to_contain_text("The store does not answer. The last answer came at")
    expect(page.locator(".fg-panel-old")).to_have_count(1)
    expect(rows(page)).to_have_count(4)


def test_without_any_agent_the_page_says_who_tells(page: Page, site: Cluster) -> None:
    page.goto(f"{site.url}/nodes?from=1000&to=2000")
    expect(page.get_by_role("heading", name=re.compile("No agent told of its node from"))).to_be_visible()
    expect(page.get_by_text("Routers and other devices do not tell this")).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_can_be_read(browser: Browser, site: Cluster, theme: Theme, size: str) -> None:
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
    for path in ("/nodes", "/nodes?open=node-c"):
        visit(page, site.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        frame = page.locator(".fg-table-frame")
        assert frame.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
        assert unreadable(page) == []
    page.context.close()
