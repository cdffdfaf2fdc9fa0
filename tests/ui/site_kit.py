# SPDX-License-Identifier: Apache-2.0
"""For browser tests: what a console under test consists of, and the counters in its ledger."""

from __future__ import annotations

from dataclasses import dataclass

from console_kit import Collector
from flowgauge.store.store import FlowStore, LedgerRow
from store_kit import now_ms

CHROMIUM = "/usr/bin/chromium"
"""The one whose absence skips these tests (``tests/conftest.py``)."""

BROWSER_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync")  # fmt: skip
STARTED_BEFORE_MS = 10 * 60_000
LOST = 12


@dataclass(frozen=True)
class Site:
    """A console, the store behind it, and the collector that it takes live flows from."""

    url: str
    store: FlowStore
    collector: Collector


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
