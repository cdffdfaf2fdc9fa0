# SPDX-License-Identifier: Apache-2.0
"""Dedup by role, case by case: what each rule says, and what Mark, Drop and Off do."""

from __future__ import annotations

import pytest

from collector_kit import SECOND_NS, column, decoded, directory, labels, options, report
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline import dedup
from flowgauge.pipeline.dedup import Dedup, TransitPaths
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.runtime.ledger import Ledger


def seen(local_ends: str | list[str], src_node: str = "", dst_node: str = "", rows: int = 1, **more: object) -> FlowBatch:
    """Observations after ``enrich``: which ends live on the reporter, and where the ends are."""
    batch = decoded(rows, local_ends=local_ends, **more)
    return batch.with_columns({"src_node": column("src_node", src_node, rows), "dst_node": column("dst_node", dst_node, rows)})


def marked(batch: FlowBatch, known: ExporterDirectory) -> list[str]:
    return labels(Dedup(known, "Mark", Ledger("collector", "x@1"))(batch), "duplicate_of")


@pytest.mark.parametrize(
    ("local_ends", "src_node", "dst_node", "expected"),
    [
        ("src", "node-a", "node-b", "counted"),
        ("both", "node-a", "node-a", "counted"),
        ("dst", "node-a", "node-b", "far_end"),
        ("dst", "node-c", "node-b", "counted"),  # no agent on the source's node
        ("dst", "", "node-b", "counted"),  # the source is outside
        ("none", "node-a", "node-b", "transit"),
        ("none", "node-a", "", "transit"),
        ("none", "", "node-b", "transit"),
        ("none", "node-c", "", "counted"),  # nobody else sees it
        ("", "node-a", "node-b", "counted"),  # a router, not an agent
    ],
)
def test_each_role(local_ends: str, src_node: str, dst_node: str, expected: str) -> None:
    assert marked(seen(local_ends, src_node, dst_node), directory(["node-a", "node-b"])) == [expected]


def test_the_node_that_translates_the_source_stands_for_it() -> None:
    """An outside client reaches a pod of node-b through node-a, which gives its own address: node-b sees node-a as source."""
    known = directory(["node-a", "node-b"])
    at_a = seen("none", "", "node-b", src_addr="203.0.113.9", post_nat_src_addr="10.1.0.1")
    at_b = seen("dst", "node-a", "node-b", src_addr="10.1.0.1")
    assert marked(at_a, known) == ["counted"]
    assert marked(at_b, known) == ["far_end"]


def test_a_node_is_also_known_by_the_address_from_which_its_agent_exports() -> None:
    """Linux boxes without Kubernetes: enrichment names no node, but an agent's own address tells."""
    known = directory(["box-a", "box-b"])
    assert marked(seen("dst", src_addr=["192.0.2.1", "203.0.113.9"], rows=2), known) == ["far_end", "counted"]


def test_between_foreign_ends_the_lowest_domain_counts_once_the_path_is_known() -> None:
    stage = Dedup(directory(["node-a", "node-b"]), "Mark", Ledger("collector", "x@1"))

    def count(*domains: int) -> list[str]:
        return labels(stage(seen("none", rows=len(domains), domain=list(domains))), "duplicate_of")

    assert count(7, 3) == ["transit", "counted"]
    assert count(7) == ["transit"]
    assert count(3) == ["counted"]


def test_a_domain_that_packets_no_longer_pass_hands_over_to_the_next() -> None:
    """Two routers, of which the one with the lower domain stops forwarding: its agent goes on reporting other traffic."""
    known = ExporterDirectory()
    for domain, node in ((3, "router-a"), (7, "router-b")):
        known.learn([options(report(node), domain=domain)])
    stage = Dedup(known, "Mark", Ledger("collector", "x@1"))

    def count(at_s: int, *domains: int) -> list[str]:
        batch = seen("none", rows=len(domains), domain=list(domains), time_end_ms=1_000 * at_s)
        return labels(stage(batch), "duplicate_of")

    assert count(0, 7, 3) == ["transit", "counted"]
    assert count(50, 7) == ["transit"]
    assert count(70, 7) == ["counted"]
    assert count(75, 7) == ["counted"]
    assert count(80, 7, 3) == ["transit", "counted"]  # back again


def test_slow_export_intervals_are_no_silence() -> None:
    """Agents that export every ten minutes, one five minutes after the other."""
    known = ExporterDirectory()
    for at_s in (0, 600):
        for domain, node in ((3, "router-a"), (7, "router-b")):
            known.learn([options(report(node), domain=domain, received_ns=(1 + at_s) * SECOND_NS)])
    stage = Dedup(known, "Mark", Ledger("collector", "x@1"))
    assert labels(stage(seen("none", domain=3, time_end_ms=1_000_000)), "duplicate_of") == ["counted"]
    assert labels(stage(seen("none", domain=7, time_end_ms=1_300_000)), "duplicate_of") == ["transit"]


def test_known_paths_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "MAX_PATHS", 10)
    paths = TransitPaths()
    for number in range(100):
        assert paths.lowest(decoded(1, src_addr=f"10.0.0.{number}"), 60_000).all()
        assert len(paths._lowest) <= 10


def test_mark_drop_and_off() -> None:
    known = directory(["node-a", "node-b"])
    batch = seen(["src", "dst", "none"], "node-a", "node-b", rows=3, bytes=[1, 2, 3])
    ledgers = {mode: Ledger("collector", "x@1") for mode in ("Mark", "Drop", "Off")}
    got = {mode: Dedup(known, mode, ledger)(batch) for mode, ledger in ledgers.items()}
    assert labels(got["Mark"], "duplicate_of") == ["counted", "far_end", "transit"]
    assert ledgers["Mark"].snapshot() == {"pipeline_duplicates_marked": 2}
    assert got["Drop"].array("bytes").tolist() == [1]
    assert labels(got["Drop"], "duplicate_of") == ["counted"]
    assert ledgers["Drop"].snapshot() == {"pipeline_duplicates_dropped": 2}
    assert labels(got["Off"], "duplicate_of") == ["counted"] * 3
    assert ledgers["Off"].snapshot() == {}


def test_the_mode_changes_while_it_works() -> None:
    stage = Dedup(directory(["node-a"]), "Mark", Ledger("collector", "x@1"))
    batch = seen("dst", "node-a", "node-b")
    assert labels(stage(batch), "duplicate_of") == ["far_end"]
    stage.mode = "Off"
    assert labels(stage(batch), "duplicate_of") == ["counted"]


def test_a_name_that_an_agent_gives_counts_only_while_it_reports() -> None:
    """A router that calls itself node-a is no agent of node-a."""
    known = ExporterDirectory()
    known.learn([options({"observationDomainName": "node-a", "samplingInterval": 1})])
    assert marked(seen("dst", "node-a", "node-b"), known) == ["counted"]
    known.learn([options(report("node-a"))])
    assert marked(seen("dst", "node-a", "node-b"), known) == ["far_end"]
