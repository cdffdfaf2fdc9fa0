# SPDX-License-Identifier: Apache-2.0
"""Faults put into the running demo stand above everything on the Traffic page, with their cause in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote_plus

import pytest
from playwright.sync_api import Page, expect

from demo_kit import READY_WITHIN_S, Demo, Fault

pytestmark = [
    pytest.mark.browser, pytest.mark.root, pytest.mark.bpf, pytest.mark.slow,
    pytest.mark.tool("ip", "nft", "tc", "iptables", "dnsmasq", "initdb", "bpftool"),
]  # fmt: skip

SEEN_WITHIN_MS = 120_000

FAULTS = [
    ("delay", "slow", r"Round trips between django-psql-example and postgresql:5432 take ([3-9]\d|\d{3}) ms \(were .*\)"),
    ("no-listener", "failing", r"Nobody listens at postgresql:5433: \d+ connections? of django-psql-example refused"),
    ("loss", "failing", r"django-psql-example and postgresql:5432 .*kernel of node-c drops them: NETFILTER_DROP \(a rule"),
]
"""What is done, how grave the page shows it, and what it says."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[Demo]:
    """One for all faults, once a pod was replaced: that makes troubles of its own."""
    running = Demo(tmp_path_factory.mktemp("demo"))
    try:
        running.await_running()
        running.wait_for(lambda: "now belongs to" in running.said(), "a pod replaced", READY_WITHIN_S)
        yield running
    finally:
        running.close()


@pytest.mark.parametrize(("kind", "gravity", "words"), FAULTS, ids=[kind for kind, *_ in FAULTS])
def test_a_fault_is_said_on_the_page_that_is_open(page: Page, demo: Demo, kind: str, gravity: str, words: str) -> None:
    """The page is open before, live, at the filter that the command names; nobody touches it."""
    said = re.compile(words, re.IGNORECASE)
    asked = "port = 5433" if kind == "no-listener" else "port = 5432"
    page.goto(f"{demo.instance()['console_url']}/traffic?filter={quote_plus(asked)}")
    expect(page.get_by_role("combobox", name="Filter")).to_have_value(asked)
    trouble = page.get_by_role("region", name="What goes wrong").get_by_role("listitem").filter(has_text=said)
    expect(trouble).to_have_count(0)
    fault = Fault(demo, kind)
    try:
        assert f"see: flowgauge troubles '{asked}'" in fault.first_line
        expect(trouble).to_be_visible(timeout=SEEN_WITHIN_MS)
        expect(trouble.get_by_label(gravity)).to_be_visible()
        expect(trouble).to_contain_text(re.compile(r"since \d+:\d\d:\d\d"))
        trouble.get_by_role("button", name="Details").click()
        expect(page.locator(".fg-drawer")).to_contain_text(said)
    finally:
        status, rest = fault.end()
    assert (status, rest) == (0, f"{kind}: removed\n")
