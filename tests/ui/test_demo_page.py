# SPDX-License-Identifier: Apache-2.0
"""The page on live data: the demo's real Django and PostgreSQL, seen by real agents, named by the real collector."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from demo_kit import Demo

pytestmark = [
    pytest.mark.browser, pytest.mark.root, pytest.mark.bpf, pytest.mark.slow,
    pytest.mark.tool("ip", "nft", "dnsmasq", "initdb", "bpftool"),
]  # fmt: skip

WANTED = {
    "clients to django-psql-example, http 8080": "the outside world reaches Django over HTTP",
    "django-psql-example to postgresql, postgresql 5432": "Django asks its database",
    "django-psql-example to dns-default, dns 53": "Django asks where its database is",
    "stock-report to postgresql, postgresql 5432": "the neighbour nobody expected",
}
ALSO = re.compile(
    r"(node-\w+|you) to django-psql-example, http 8080|\S+ to (postgresql, postgresql 5432|django-psql-example, .+)"
    r"|checkout to (payment-gateway|dns-default), .+"
)
"""What else is in flow-demo: the nodes' health probes, the user's own click, pods that come to a reused address, payments."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    try:
        demo.await_running()
        yield demo
    finally:
        demo.close()


def edge(name: str) -> str:
    return f'.fg-edge-label[aria-label^="{name}"]'


def test_the_filter_shows_who_talks_to_flow_demo_as_it_happens(page: Page, demo: Demo) -> None:
    page.goto(demo.instance()["console_url"])
    box = page.get_by_role("combobox", name="Filter")
    expect(box).to_be_visible()
    expect(page.locator(".fg-edge").first).to_be_attached()
    page.keyboard.press("/")
    page.keyboard.type("namespace = flow-demo")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    for name, meaning in WANTED.items():
        expect(page.locator(edge(name)), meaning).to_be_visible()
    names = page.eval_on_selector_all(".fg-edge-label", "all => all.map(one => one.ariaLabel.replace(/, [^,]*$/, ''))")
    assert [name for name in names if name not in WANTED and not ALSO.fullmatch(name)] == []

    page.locator(edge("django-psql-example to postgresql")).click()
    drawer = page.locator(".fg-drawer")
    expect(drawer.locator(".fg-sentence")).to_contain_text("django-psql-example (flow-demo) talks to postgresql (flow-demo)")
    page.reload()
    expect(drawer.get_by_role("heading", level=2)).to_have_text("django-psql-example → postgresql")
    for name, meaning in WANTED.items():
        expect(page.locator(edge(name)), meaning).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=re.compile("^complete"))).to_be_visible()


def test_the_users_own_click_arrives_by_itself(page: Page, demo: Demo) -> None:
    page.goto(demo.instance()["console_url"] + "/traffic?filter=namespace+%3D+flow-demo+and+subnet+%3D+%22EXT%3Ayou%22")
    expect(page.get_by_role("combobox", name="Filter")).to_be_visible()
    url = re.search(r"curl (http://127\.0\.0\.1:\d+/)", demo.said())
    assert url, demo.said()
    with urllib.request.urlopen(url[1], timeout=60) as answer:  # noqa: S310 - our own scene
        assert answer.status == 200
    expect(page.locator(".fg-table tbody tr").first).to_contain_text("you")
    expect(page.locator(edge("you to django-psql-example, http 8080"))).to_be_visible()
