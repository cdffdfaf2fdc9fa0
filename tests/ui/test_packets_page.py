# SPDX-License-Identifier: Apache-2.0
"""The Packets page in a real browser before real agents: what is saved is what tshark reads, and what cannot be had is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from site_kit import SIZES, THEMES, Theme, unreadable

from console_kit import running_console
from flowgauge.console.settings import ConsoleSettings
from heads_kit import tshark
from node_kit import A, B
from packets_kit import NOWHERE, Nodes, two_nodes

pytestmark = [pytest.mark.browser, pytest.mark.root, pytest.mark.slow]

TO_B = f"dst_addr%20%3D%20{B}"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[Nodes]:
    with two_nodes(tmp_path_factory.mktemp("nodes")) as found:
        yield found


def saved(page: Page, button: str, path: Path) -> list[list[str]]:
    """Source, destination and node of each packet that the click of ``button`` saves."""
    with page.expect_download(timeout=90_000) as download:
        page.get_by_role("button", name=button).click()
    assert re.fullmatch(r"flowgauge-\d{8}-\d{6}\.pcapng", download.value.suggested_filename)
    download.value.save_as(path)
    return tshark(path, "ip.src", "ip.dst", "frame.interface_description")


@pytest.mark.tool("tshark")
def test_what_comes_is_counted_shown_and_saved(page: Page, nodes: Nodes, tmp_path: Path) -> None:
    page.goto(f"{nodes.console.url}/packets?filter={TO_B}&length=10m")
    expect(page.get_by_text(f"flowgauge capture 'dst_addr = {B}' --for 10m -w packets.pcapng")).to_be_visible()
    page.get_by_role("button", name="Capture").click()
    expect(page.get_by_role("status").filter(has_text="Capturing: ")).to_contain_text(re.compile(r"\d\d packets"))
    rows = saved(page, "Stop and save", tmp_path / "live.pcapng")
    assert {tuple(row) for row in rows} == {(A, B, "node n1"), (A, B, "node n2")}
    expect(page.get_by_role("status").filter(has_text="packets saved as flowgauge-")).to_be_visible()
    first = page.locator(".fg-packet-table tbody tr").first
    expect(first).to_contain_text(re.compile(rf"n[12] v\w+ (in|out).*{A}:\d+ → {B}:9.*UDP"))


@pytest.mark.tool("tshark")
def test_the_past_says_who_does_not_keep_it(page: Page, nodes: Nodes, tmp_path: Path) -> None:
    page.goto(f"{nodes.console.url}/packets?filter={TO_B}&when=past")
    kept = page.locator(".fg-nodes li")
    expect(kept.filter(has_text="n1")).to_contain_text(re.compile(r"[1-9]\S* packets since .* of memory"))
    expect(kept.filter(has_text="n2")).to_contain_text("does not keep the past")
    expect(page.get_by_text("spec.exporter.heads.enable: true")).to_be_visible()
    rows = saved(page, "Get the packets", tmp_path / "past.pcapng")
    assert {tuple(row) for row in rows} == {(A, B, "node n1")}
    expect(page.get_by_text("Without n2")).to_be_visible()
    page.get_by_role("combobox", name="Nodes").select_option("n2")
    page.get_by_role("button", name="Get the packets").click()
    expect(page.get_by_text("Nothing was captured: node n2 keeps no packet heads")).to_be_visible()


def test_the_past_can_be_frozen_and_let_go(page: Page, nodes: Nodes) -> None:
    page.goto(f"{nodes.console.url}/packets")
    page.get_by_role("button", name="Freeze for 10 minutes").click()
    expect(page.locator(".fg-nodes li").filter(has_text="n1")).to_contain_text("frozen")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Freeze for 10 minutes")).to_be_visible()
    expect(page.locator(".fg-nodes li").filter(has_text="n1")).not_to_contain_text("frozen")


def test_a_wrong_filter_and_one_that_nothing_passes_are_said(page: Page, nodes: Nodes) -> None:
    page.goto(f"{nodes.console.url}/packets?filter=rtt_avg_ns%20%3E%205")
    page.get_by_role("button", name="Capture").click()
    expect(page.get_by_text("Nothing was captured: a packet has no rtt_avg_ns")).to_be_visible()
    page.goto(f"{nodes.console.url}/packets?filter=port%20%3D%201&when=past")
    page.get_by_role("button", name="Get the packets").click()
    expect(page.get_by_text("No packet passed this filter in what nodes keep of that time.")).to_be_visible()


def test_a_console_without_agents_says_so(page: Page, built: None) -> None:
    with running_console(ConsoleSettings(NOWHERE, "secret")) as console:
        page.goto(f"{console.url}/packets")
        expect(page.get_by_text("this console knows no agents")).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", ["laptop", "phone"])
def test_the_page_is_readable_and_fits(browser: Browser, nodes: Nodes, theme: Theme, size: str) -> None:
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
    page.goto(f"{nodes.console.url}/packets?filter={TO_B}&when=past&node=n1")
    page.get_by_role("button", name="Get the packets").click()
    expect(page.locator(".fg-packet-table tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert unreadable(page) == []
    page.context.close()
