# SPDX-License-Identifier: Apache-2.0
"""What is known of a stream, for people: exporters' pages and tables."""

from __future__ import annotations

from flowgauge.wire.decoded import StreamReport
from flowgauge.wire.streams import Stream


def report(stream: Stream, flow_format: int) -> StreamReport:
    """How a stream of a protocol stands."""
    totals, templates = stream.sequence.totals, list(stream.templates)
    options = sum(held.template.layout.is_options for held in templates)
    return StreamReport(
        exporter_addr=stream.exporter_addr,
        obs_domain_id=stream.domain,
        flow_format=flow_format,
        source_port=stream.port,
        heard_ns=stream.heard_ns,
        skew_ns=stream.skew_ns,
        lost_records=totals.get("sequence_gap_records", 0),
        lost_datagrams=totals.get("sequence_gap_datagrams", 0),
        late=totals.get("sequence_late_datagrams", 0),
        duplicates=totals.get("sequence_duplicate_datagrams", 0),
        resets=totals.get("sequence_resets", 0),
        templates=len(templates) - options,
        options_templates=options,
        provisional=sum(held.provisional for held in templates),
        announced_ns=stream.templates.announced_ns,
        refresh_ns=stream.templates.refresh_ns,
        waiting_sets=len(stream.pending),
        waiting_since_ns=stream.pending.since_ns,
        said=dict(stream.said),
    )
