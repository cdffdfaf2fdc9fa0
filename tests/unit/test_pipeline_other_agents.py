# SPDX-License-Identifier: Apache-2.0
"""Flows of NetObserv's agents through the whole pipeline: a packet that two of them saw counts once, whichever way it went."""

from __future__ import annotations

from enrich_kit import NOON_MS, Cluster
from flowgauge.config.model import Enrichment
from flowgauge.enrich.stage import Enricher
from flowgauge.flow.rows import to_rows
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.graph import Pipeline
from flowgauge.pipeline.tally import Tally
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.pbflow.decoder import PbflowDecoder
from pbflow_kit import address, call, record

NODE_A, NODE_B, NODE_C = "192.168.1.1", "192.168.1.2", "192.168.1.3"
ENDED_S = NOON_MS // 1000 + 60
POD_A, POD_B, OUTSIDE = "10.244.1.5", "10.244.2.6", "203.0.113.9"


def through(*entries: object) -> list[dict[str, object]]:
    """Rows behind the pipeline, in the order of the records."""
    cluster = Cluster()
    for name, node, block in (("node-a", NODE_A, 1), ("node-b", NODE_B, 2), ("node-c", NODE_C, 3)):
        cluster.node(name, "zone-1", node, f"10.244.{block}.0/24")
    for name, node, at in (("web", ("node-a", NODE_A), POD_A), ("db", ("node-b", NODE_B), POD_B)):
        cluster.pod(cluster.replica_set("shop", name), name, at, node=node)
    directory, tally = ExporterDirectory(), Tally()
    pipeline = Pipeline(
        directory, Enricher(cluster.index, Enrichment()), Dedup(directory, "Mark", tally), tally, retention_hours=1_000_000
    )
    decoded = PbflowDecoder().decode(Datagrams.from_payloads([call(*entries)], received_ns=ENDED_S * 10**9)).flows
    directory.count(decoded, ENDED_S * 10**9)
    rows: list[dict[str, object]] = to_rows(pipeline(decoded).flows)
    return rows


def seen(by: str, src: str, dst: str, **more: object) -> object:
    return record(
        agent_ip__ipv4=address(by), network__src_addr__ipv4=address(src), network__dst_addr__ipv4=address(dst), **more
    )


def told(rows: list[dict[str, object]], *names: str) -> list[tuple[object, ...]]:
    return [tuple(row.get(name) for name in names) for row in rows]


def test_a_packet_between_two_nodes_counts_once_at_its_source() -> None:
    rows = through(seen(NODE_A, POD_A, POD_B), seen(NODE_B, POD_A, POD_B, direction=0))
    assert told(rows, "node_reporter", "local_ends", "duplicate_of") == [
        ("node-a", "src", "counted"), ("node-b", "dst", "far_end"),
    ]  # fmt: skip


def test_what_comes_from_outside_counts_where_it_arrives_and_not_in_transit() -> None:
    rows = through(seen(NODE_C, OUTSIDE, POD_B), seen(NODE_B, OUTSIDE, POD_B))
    assert told(rows, "local_ends", "duplicate_of") == [("none", "transit"), ("dst", "counted")]


def test_an_agent_that_nobody_knows_is_believed() -> None:
    rows = through(seen("198.51.100.7", POD_A, POD_B))
    assert told(rows, "local_ends", "duplicate_of", "node_reporter") == [(None, "counted", None)]


def test_interfaces_that_the_records_name_keep_their_names() -> None:
    rows = through(seen(NODE_A, POD_A, POD_B, interface="vethA", direction=0))
    assert told(rows, "in_if_name", "observed_if_names", "src_name", "dst_name") == [("vethA", ["vethA"], "web", "db")]
