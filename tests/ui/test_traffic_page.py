# SPDX-License-Identifier: Apache-2.0
"""The Traffic page in a real browser, before a real store: what a person does, and what they then see."""

from __future__ import annotations

import re
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import FloatRect, Locator, Page, Route, expect
from site_kit import LOST, PATIENCE_MS, Site
from story import DNS, METRICS, STORY, Talk, story

from store_kit import now_ms

pytestmark = pytest.mark.browser

FLOW_DEMO = "/traffic?filter=namespace+%3D+flow-demo"

EDGES = {
    "office to django-psql-example, http 8080",
    "django-psql-example to postgresql, postgresql 5432",
    "django-psql-example to dns-default, dns 53",
    "batch-import to postgresql, postgresql 5432",
}
"""What `namespace = flow-demo` shows: the outside, Django, PostgreSQL, DNS, and the neighbour nobody expected."""


def edges(page: Page) -> Locator:
    return page.locator(".fg-edge-label")


def edge_names(page: Page) -> set[str]:
    """Client, server and port of every labelled edge, without its rate."""
    return {
        label.rpartition(", ")[0]
        for label in page.eval_on_selector_all(".fg-edge-label", "all => all.map(one => one.ariaLabel)")
    }


def await_edges(page: Page, wanted: set[str]) -> None:
    expect(edges(page)).to_have_count(len(wanted))
    assert edge_names(page) == wanted


def visit(page: Page, url: str) -> None:
    """Opens the page and waits until it listens to keys."""
    page.goto(url)
    expect(page.get_by_role("combobox", name="Filter")).to_be_visible()


def type_filter(page: Page, text: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(text)
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")


def test_the_filter_shows_exactly_who_talks_to_flow_demo(page: Page, site: Site) -> None:
    visit(page, site.url)
    expect(page.locator(".fg-edge")).to_have_count(len(STORY) - 3)  # both replicas of Django are one node of the map
    type_filter(page, "namespace = flow-demo")
    await_edges(page, EDGES)
    assert set(page.locator(".fg-box-title").all_inner_texts()) == {
        "outside the cluster",
        "other-team",
        "flow-demo",
        "openshift-dns",
    }
    expect(page.locator(".fg-table tbody tr").first).to_contain_text("flow-demo")
    expect(page.locator(".fg-summary")).to_contain_text("4 workloads in 4 conversations")


def test_completion_offers_values_with_their_share(page: Page, site: Site) -> None:
    visit(page, site.url)
    page.keyboard.press("/")
    page.keyboard.type("namespace = ")
    offer = page.get_by_role("option").filter(has_text="flow-demo")
    expect(offer).to_contain_text("%")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Filter")).to_have_value("namespace = flow-demo ")


def test_an_error_is_underlined_at_the_character_and_mended_with_one_click(page: Page, site: Site) -> None:
    visit(page, site.url)
    expect(edges(page).first).to_be_visible()
    type_filter(page, "port = 5432 and namspace = flow-demo")
    expect(page.locator(".fg-filter-mirror mark")).to_have_text("namspace")
    expect(page.get_by_role("alert")).to_contain_text("character 17")
    assert "filter" not in parse_qs(urlsplit(page.url).query), "a text that is no filter is not applied"
    page.get_by_role("button", name="use “namespace”").click()
    expect(page).to_have_url(re.compile(r"filter=port\+%3D\+5432\+and\+namespace\+%3D\+flow-demo"))
    await_edges(page, {name for name in EDGES if "5432" in name})


def test_the_drawer_of_an_edge_is_in_the_url_and_survives_a_reload(page: Page, site: Site) -> None:
    visit(page, site.url + FLOW_DEMO)
    edges(page).filter(has_text="postgresql 5432").first.click()
    drawer = page.locator(".fg-drawer")
    expect(drawer.get_by_role("heading", level=2)).to_have_text(re.compile("→ postgresql"))
    sentence = drawer.locator(".fg-sentence")
    expect(sentence).to_contain_text("over postgresql 5432")
    expect(drawer.locator("canvas")).to_be_visible()
    expect(drawer.locator(".fg-links li").first).to_contain_text("5432")
    title = drawer.get_by_role("heading", level=2).inner_text()
    page.reload()
    expect(page.locator(".fg-drawer h2")).to_have_text(title)
    await_edges(page, EDGES)
    page.keyboard.press("Escape")
    expect(page.locator(".fg-drawer")).to_have_count(0)
    page.go_back()
    expect(page.locator(".fg-drawer h2")).to_have_text(title)


def test_a_flow_is_reached_by_keyboard_alone_and_read_as_a_sentence(page: Page, site: Site) -> None:
    visit(page, site.url + "/traffic?filter=port+%3D+5432&live=off")
    expect(page.locator(".fg-table tbody tr").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    sentence = page.locator(".fg-drawer .fg-sentence")
    expect(sentence).to_have_text(re.compile(r"sent .+ in \d+ packets? to .+ port 5432 over TCP"))
    first = sentence.inner_text()
    page.keyboard.press("j")
    expect(sentence).not_to_have_text(first)
    assert page.url.count("open=flow") == 1
    second = sentence.inner_text()
    page.reload()
    expect(sentence).to_have_text(second)
    page.keyboard.press("Escape")
    expect(sentence).to_have_count(0)


def test_every_value_can_be_filtered_by_excluded_and_copied(page: Page, site: Site) -> None:
    visit(page, site.url + "/traffic?live=off")
    row = page.locator(".fg-table tbody tr").filter(has_text="batch-import").first
    row.get_by_role("button", name="batch-import", exact=True).first.click()
    page.get_by_role("menuitem", name="Filter by this").click()
    expect(page.get_by_role("combobox", name="Filter")).to_have_value(re.compile(r"^(src|dst)_owner = batch-import$"))
    expect(page.locator(".fg-chips")).to_contain_text("owner = batch-import")
    page.get_by_role("button", name=re.compile("^Remove ")).click()
    expect(page.get_by_role("combobox", name="Filter")).to_have_value("")
    page.locator(".fg-table tbody tr").first.locator(".fg-value").first.click()
    page.get_by_role("menuitem", name="Exclude this").click()
    expect(page.get_by_role("combobox", name="Filter")).to_have_value(re.compile("!= "))
    page.locator(".fg-table tbody tr").first.locator(".fg-value").first.click()
    page.get_by_role("menuitem", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()")


def test_conversations_list_what_the_map_shows(page: Page, site: Site) -> None:
    visit(page, site.url + FLOW_DEMO + "&tab=conversations")
    rows = page.locator(".fg-table tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("office")
    expect(rows.filter(has_text="batch-import")).to_contain_text("sent again")
    rows.first.get_by_role("button", name=re.compile("^Detail")).click()
    expect(page.locator(".fg-drawer h2")).to_have_text("office → django-psql-example")


def test_who_reaches_into_another_namespace_is_said_first_and_listed(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/traffic?live=off")
    page.get_by_role(
        "button", name="1 conversation between namespaces: batch-import (other-team) → postgresql:5432 (flow-demo)"
    ).click()
    expect(page.get_by_role("tab", name="Between namespaces")).to_have_attribute("aria-selected", "true")
    rows = page.locator(".fg-panel-table tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("batch-import")
    expect(page.get_by_role("region", name="Between namespaces")).to_contain_text(
        "1 conversation; 3 with infrastructure left out"
    )


def test_the_badge_says_where_flows_were_lost(page: Page, site: Site) -> None:
    visit(page, site.url)
    badge = page.get_by_role("button", name=re.compile("complete 99.95"))
    badge.click()
    drawer = page.locator(".fg-drawer")
    expect(drawer.locator(".fg-losses").first).to_contain_text(f"{LOST} records missing from the exporters' sequence numbers")
    expect(drawer.locator(".fg-losses").first).to_contain_text("collector")
    drawer.get_by_text("agent on node-a").click()
    expect(drawer.get_by_role("row", name=re.compile("kernel_packets_seen"))).to_contain_text("96\u202f400")


def press_on_chart(page: Page, url: str) -> FloatRect:
    """Opens the page and, once nothing moves it any more, presses at two fifths of its chart; returns where that is."""
    visit(page, f"{url}{FLOW_DEMO}&live=off")
    page.wait_for_load_state("networkidle")
    expect(page.locator(".fg-legend li").first).to_be_visible()
    canvas = page.locator(".fg-panel-chart canvas").first
    box = canvas.bounding_box()
    assert box
    canvas.hover(position={"x": box["width"] * 0.4, "y": 60})
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 70, steps=3)
    return box


def answer_again(page: Page) -> None:
    """All is asked anew, and another answer is there."""
    chart = page.locator(".fg-panel-chart").get_by_role("img")
    before = chart.get_attribute("aria-label") or ""

    def doubled(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["series"] = [{**one, "values": [2 * value for value in one["values"]]} for one in body["series"]]
        route.fulfill(response=answer, json=body)

    page.route("**/api/v1/series?*", doubled, times=1)
    refresh = page.get_by_role("button", name="Refresh")
    refresh.focus()
    refresh.press("Enter")
    expect(chart).not_to_have_attribute("aria-label", before)


def test_a_drag_over_the_chart_chooses_the_time_also_while_an_answer_comes(page: Page, site: Site) -> None:
    box = press_on_chart(page, site.url)
    chosen = page.locator(".fg-chart-chosen")
    held = chosen.inner_text()
    answer_again(page)
    expect(chosen).to_have_text(held)
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] + 120, steps=3)
    expect(chosen).not_to_have_text(held)
    said = chosen.inner_text()
    assert said.partition(" –")[0] == held.partition(" –")[0], "it begins where it was pressed"
    page.mouse.up()
    expect(page).to_have_url(re.compile("from=.*to="))
    query = parse_qs(urlsplit(page.url).query)
    from_ms, to_ms = int(query["from"][0]), int(query["to"][0])
    assert 60_000 < to_ms - from_ms < 500_000
    clocks = [page.evaluate("ms => new Date(ms).toLocaleTimeString('en-GB')", ms) for ms in (from_ms, to_ms)]
    assert re.findall(r"\d\d:\d\d:\d\d", said) == clocks
    expect(page.locator("#fg-live")).to_be_disabled()
    page.go_back()
    expect(page.locator("#fg-live")).to_be_enabled()


def test_escape_gives_a_drag_up_and_closes_nothing_else(page: Page, site: Site) -> None:
    press_on_chart(page, site.url)
    expect(page.locator(".fg-chart-range")).to_be_visible()
    address = page.url
    page.keyboard.press("Escape")
    expect(page.locator(".fg-chart-range")).to_have_count(0)
    page.mouse.up()
    assert page.url == address


def test_live_flows_arrive_by_themselves_and_wait_while_somebody_reads(page: Page, site: Site) -> None:
    visit(page, site.url + "/traffic?filter=port+%3D+4711")
    talk = Talk(METRICS, DNS, 4711, 6, 7_000, 900)

    def send() -> None:
        now = now_ms()
        site.collector.tap.publish(story(now - 15_000, now, talks=(talk,)))

    rows = page.locator(".fg-table tbody tr")
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while rows.count() <= 3 and time.monotonic() < deadline:
        send()
        page.wait_for_timeout(500)
    expect(rows.first).to_contain_text("4711")
    page.locator(".fg-table-frame").evaluate("frame => { frame.style.maxHeight = '80px'; frame.scrollTop = 40; }")
    before = rows.count()
    page.wait_for_timeout(5_100)  # until the next report of the story
    send()
    waiting = page.get_by_role("button", name=re.compile(r"new flows? waits?"))
    expect(waiting).to_be_visible()
    assert rows.count() == before
    waiting.click()
    expect(waiting).to_have_count(0)
    expect(rows.nth(before)).to_be_attached()


def test_scaled_numbers_say_so(page: Page, site: Site) -> None:
    now = now_ms()
    talk = Talk(METRICS, DNS, 4712, 6, 70_000, 9_000)
    site.store.write(story(now - 120_000, now, sampling=100, talks=(talk,)), "sampled")
    visit(page, site.url + "/traffic?filter=port+%3D+4712")
    expect(edges(page)).to_contain_text("≈")
    expect(page.locator(".fg-table tbody tr").first).to_contain_text("≈")
    expect(page.locator(".fg-summary")).to_contain_text("scaled estimates")
    expect(edges(page).locator("abbr")).to_have_attribute("title", re.compile(r"± \d"))


def test_a_link_shares_exactly_these_minutes(page: Page, site: Site) -> None:
    visit(page, site.url + FLOW_DEMO)
    await_edges(page, EDGES)
    page.get_by_role("button", name="Copy a link to this view").click()
    link = page.evaluate("navigator.clipboard.readText()")
    query = parse_qs(urlsplit(link).query)
    assert query["filter"] == ["namespace = flow-demo"]
    assert int(query["to"][0]) - int(query["from"][0]) == 900_000
    page.goto(link)
    await_edges(page, EDGES)


def test_no_match_says_why_and_offers_a_way_out(page: Page, site: Site) -> None:
    visit(page, site.url + "/traffic?filter=namespace+%3D+nobody")
    expect(page.get_by_role("heading", name="No flows here")).to_be_visible()
    page.get_by_role("button", name="Clear the filter").click()
    expect(edges(page).first).to_be_visible()


def test_far_down_the_flows_their_columns_are_still_named(page: Page, site: Site) -> None:
    visit(page, site.url + "/traffic?live=off")
    expect(page.locator(".fg-table tbody tr")).to_have_count(200)
    for above in (".fg-card", ".fg-legend", ".fg-summary"):  # what comes later moves the table
        expect(page.locator(above).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollHeight") < 3 * 800, "the table scrolls within the page"
    last = page.locator(".fg-table tbody tr").last
    last.scroll_into_view_if_needed()
    head, row = page.get_by_role("columnheader", name="From").bounding_box(), last.bounding_box()
    assert head is not None
    assert row is not None
    assert 0 <= head["y"] < row["y"] < 800


def test_while_nothing_answers_the_page_claims_neither_to_be_live_nor_complete(page: Page, site: Site) -> None:
    visit(page, site.url)
    badge = page.locator(".fg-badge")
    expect(badge).to_contain_text("%")
    gone = {"error": {"message": "the store does not answer"}}
    page.route("**/api/v1/*", lambda route: route.fulfill(status=503, json=gone))
    expect(page.get_by_role("switch", name="Live, no answer")).to_be_visible()
    expect(badge).not_to_contain_text("%")
    banner = page.get_by_role("alert")
    expect(banner).to_have_text(re.compile(r"^The store does not answer\. The last answer came at \d+:\d\d:\d\d;"))
    expect(page.locator(".fg-panel-old")).to_have_count(4)
    expect(page.locator(".fg-panel-old").get_by_role("status")).to_contain_text("workloads in")
    expect(page.get_by_text("the store does not answer")).to_have_count(1)
    expect(page.locator(".fg-card").first).to_be_visible()
    page.unroute("**/api/v1/*")
    expect(badge).to_contain_text("%")
    expect(banner).to_have_count(0)
    expect(page.locator(".fg-panel-old")).to_have_count(0)


@pytest.mark.parametrize("path", ["/traffic?live=off", "/nodes?live=off", "/packets", "/exporters"])
def test_every_page_says_once_that_nothing_answers_and_recovers_by_itself(page: Page, site: Site, path: str) -> None:
    page.route("**/api/v1/**", lambda route: route.fulfill(status=502, json={"error": {"message": "nobody answers"}}))
    page.goto(site.url + path)
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text("Nobody answers. No answer has come yet. It is asked again every 5 s")
    expect(page.get_by_text("nobody answers")).to_have_count(1)
    page.unroute("**/api/v1/**")
    expect(page.get_by_role("alert").filter(has_text="Nobody answers")).to_have_count(0)


def test_a_link_whose_filter_cannot_be_read_says_so_and_is_mended_with_one_click(page: Page, site: Site) -> None:
    visit(page, site.url + "/traffic?filter=namepsace+%3D+flow-demo")
    expect(page.get_by_role("status").filter(has_text="Nothing is asked until the filter can be read.")).to_be_visible()
    expect(page.get_by_text("Not asked", exact=True)).to_have_count(3)  # and nothing that moves as if something came
    page.get_by_role("button", name="use “namespace”").click()
    await_edges(page, EDGES)


def test_the_story_has_what_the_page_is_asked_for() -> None:
    """The oracle of the edges above is the story itself."""
    names = {talk.client.names.get("owner", "office") for talk in STORY} | {talk.server.names["owner"] for talk in STORY}
    assert names == {"office", "django-psql-example", "postgresql", "dns-default", "batch-import", "prometheus"}
