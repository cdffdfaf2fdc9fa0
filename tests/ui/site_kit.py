# SPDX-License-Identifier: Apache-2.0
"""For browser tests: what a console under test consists of, and the counters in its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from playwright.sync_api import Page

from console_kit import Collector
from flowgauge.store.store import FlowStore, LedgerRow
from store_kit import now_ms

CHROMIUM = "/usr/bin/chromium"
"""The one whose absence skips these tests (``tests/conftest.py``)."""

BROWSER_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync")  # fmt: skip
PATIENCE_MS = 90_000
"""A busy machine is no failure: under ten times its load a page takes half a minute to come."""
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
SIZES = {"wide": (1440, 900), "laptop": (1280, 800), "small": (800, 900), "phone": (390, 844)}

STARTED_BEFORE_MS = 10 * 60_000
LOST = 12


@dataclass(frozen=True)
class Site:
    """A console, the store behind it, and the collector that it takes live flows from."""

    url: str
    store: FlowStore
    collector: Collector


def noon_zone() -> str:
    """A time zone in which it is about noon: what happened some minutes ago is of today there, and is said without its day."""
    behind = datetime.now(UTC).hour - 12  # POSIX: west of Greenwich is positive, and Etc goes from 14 east to 12 west
    return f"Etc/GMT{behind:+d}" if behind else "Etc/GMT"


def ledger() -> list[LedgerRow]:
    """Counters of an agent and the collector: all is there but ``LOST`` records that a sequence gap tells of."""
    now, began = now_ms(), now_ms() - STARTED_BEFORE_MS
    node, collector = f"node-a@{began}", f"collector@{began}"
    final = [
        ("agent", node, "kernel_packets_seen", 96_400), ("agent", node, "kernel_packets_in_flows", 96_400),
        ("agent", node, "export_records_sent", 24_000 + LOST), ("collector", collector, "sequence_gap_records", LOST),
        ("collector", collector, "decode_options_records", 480), ("collector", collector, "store_rows_written", 23_520),
        ("collector", collector, "receive_socket_drops", 1),
    ]  # fmt: skip
    start = [LedgerRow(began, component, instance, counter, 0) for component, instance, counter, _ in final]
    return start + [LedgerRow(now - 500, *row) for row in final]


_CONTRAST = """
() => {
  const pixel = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const parse = colour => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    return [...pixel.getImageData(0, 0, 1, 1).data];
  };
  const linear = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const seen = element => element.checkVisibility({opacityProperty: true}) && !element.closest('[disabled], .fg-hidden, mark');
  const found = new Set();
  const walker = document.createTreeWalker(document.getElementById('root'), NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || !seen(element)) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.add(`${ratio.toFixed(2)} ${element.className}: ${node.data.trim().slice(0, 40)}`);
  }
  return [...found];
}
"""
"""Texts whose contrast with the nearest opaque ground is below 4.5 : 1 (WCAG 2.2, success criterion 1.4.3)."""


def unreadable(page: Page) -> Any:
    """Texts of the page that its ground swallows."""
    return page.evaluate(_CONTRAST)
