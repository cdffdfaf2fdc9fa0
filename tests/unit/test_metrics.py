# SPDX-License-Identifier: Apache-2.0
"""The ledger as Prometheus text, read back with Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.metrics import Exposition, Sample


def scraped(exposition: Exposition) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(exposition.text().decode())
    return {(s.name, s.labels.get("interface", "")): s.value for family in families for s in family.samples}


def test_each_touched_counter_is_a_total_with_component_and_instance() -> None:
    ledger = Ledger("agent", "node-a@1")
    ledger.add("export_records_sent", 7)
    ledger.set("kernel_packets_seen", 9)
    text = Exposition(ledger).text().decode()
    assert 'flowgauge_export_records_sent_total{component="agent",instance="node-a@1"} 7.0' in text
    assert 'flowgauge_kernel_packets_seen_total{component="agent",instance="node-a@1"} 9.0' in text
    assert "store_rows_written" not in text


def test_a_scrape_sees_the_ledger_as_it_is_now() -> None:
    ledger = Ledger("collector", "c@1")
    exposition = Exposition(ledger)
    ledger.add("receive_datagrams", 1)
    assert scraped(exposition)["flowgauge_receive_datagrams_total", ""] == 1
    ledger.add("receive_datagrams", 4)
    assert scraped(exposition)["flowgauge_receive_datagrams_total", ""] == 5


def test_samples_beyond_the_ledger_share_a_family_by_name() -> None:
    samples = [Sample("agent_not_ip_packets", "Not IP.", n, {"interface": i}, cumulative=True) for i, n in (("a", 1), ("b", 2))]
    values = scraped(Exposition(Ledger("agent", "x@1"), lambda: samples))
    assert values["flowgauge_agent_not_ip_packets_total", "a"] == 1
    assert values["flowgauge_agent_not_ip_packets_total", "b"] == 2
    assert values["flowgauge_build_info", ""] == 1
